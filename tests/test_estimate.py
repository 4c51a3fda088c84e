"""``topicgen generate --dry-run``."""

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Command

from topicgen import estimate
from topicgen.config import ReaderSettings
from topicgen.estimate import sample_input
from topicgen.sources import find_sources

BEES = "Bees make honey from nectar."


def lines(command: Command, *arguments: str) -> dict[str, str]:
    result = command.here("generate", *arguments, "--dry-run")
    assert (result.code, result.err) == (0, "")
    return dict(line.split(": ", 1) for line in result.out.splitlines())


def test_it_tells_documents_tokens_time_and_memory_and_writes_nothing(command: Command) -> None:
    command.write("in.csv", "text\n" + f"{BEES}\n" * 20 + f"{'word ' * 2_000}\n")
    told = lines(command, "in.csv", "-o", "out.csv", "--max-topic-tokens", "1")
    assert told["documents"].startswith("21, 4.8% of them longer than the model reads")
    assert re.fullmatch(r"about \d[\d,]* of prompts, \d+ a document", told["tokens"])
    assert re.fullmatch(r"\d+\.\d documents/s, timed on 21", told["speed here"])
    assert re.fullmatch(r"about \d+ s", told["time"])
    assert re.match(r"\d+ MB|\d+\.\d GB", told["memory"])
    assert re.fullmatch(r"about \d+ (bytes|kB) as JSON lines", told["output"])
    assert [path.name for path in command.folder.iterdir()] == ["in.csv"]


def test_an_empty_input_has_no_documents(command: Command) -> None:
    command.write("in.txt", "")
    assert lines(command, "in.txt") == {"documents": "0"}


def test_standard_input_cannot_be_sampled(command: Command) -> None:
    assert "standard input cannot be sampled" in command.here("generate", "-", "--dry-run").complaint


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "SAMPLED_BYTES", 20_000)
    monkeypatch.setattr(estimate, "SAMPLED_SOURCES", 4)


def content(kind: str, documents: int) -> bytes:
    texts = [f"{BEES} Number {number:05}." for number in range(documents)]
    if kind == "csv":
        return ("text\n" + "".join(f'"{text}"\n' for text in texts)).encode()
    if kind.startswith("jsonl"):
        plain = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
        return gzip.compress(plain, 1) if kind.endswith("gz") else plain
    return "\n\n".join(texts).encode()


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "jsonl.gz"])
def test_large_files_are_judged_by_their_beginning(tmp_path: Path, small_sample: None, kind: str) -> None:
    path = tmp_path / f"in.{kind}"
    path.write_bytes(content(kind, 10_000))
    sources = find_sources([str(path)], ReaderSettings())
    documents, total, exact = sample_input(sources, ReaderSettings())
    assert len(documents) < 10_000
    assert not exact
    assert total == pytest.approx(10_000, rel=0.15)


def test_parquet_says_how_many_rows_it_has(tmp_path: Path, small_sample: None) -> None:
    pq.write_table(pa.table({"text": [f"{BEES} {n}" for n in range(10_000)]}), tmp_path / "in.parquet")
    sources = find_sources([str(tmp_path / "in.parquet")], ReaderSettings())
    documents, total, exact = sample_input(sources, ReaderSettings())
    assert (len(documents), total, exact) == (estimate.SAMPLED_DOCUMENTS, 10_000, True)


def test_many_files_are_judged_by_some(tmp_path: Path, small_sample: None) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_bytes(content("txt", 10))
    sources = find_sources([str(tmp_path)], ReaderSettings())
    documents, total, exact = sample_input(sources, ReaderSettings())
    assert (len(documents), total, exact) == (40, 400, False)
    by_file = ReaderSettings(unit="file")
    assert sample_input(sources, by_file)[1] == 40


def test_all_passages_of_a_long_document_are_counted(command: Command) -> None:
    command.write("one.csv", f"text\n{'word ' * 2_000}\n")
    command.write("two.csv", f"text\n{'word ' * 4_000}\n")

    def tokens(name: str) -> int:
        told = lines(command, name, "--max-topic-tokens", "1")["tokens"]
        return int(told.removeprefix("about ").split()[0].replace(",", ""))

    assert tokens("one.csv") >= 2_000
    assert 1.8 < tokens("two.csv") / tokens("one.csv") < 2.2


def test_a_sample_ends_with_a_whole_line(command: Command, small_sample: None) -> None:
    path = command.write("in.csv", "text\n" + "ä Ausflug in die Berge\n" * 3_000)
    for size in range(5_000, 5_010):
        found = estimate._sample(find_sources([str(path)], ReaderSettings())[0], ReaderSettings(), size)
        assert found[0][-1].text == "ä Ausflug in die Berge"
