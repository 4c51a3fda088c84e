"""From sources to blocks, and from blocks to the documents of a plain run."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from topicgen.blocks import Block, BlockReader, plan_blocks
from topicgen.config import ReaderSettings
from topicgen.errors import UsageError
from topicgen.reader import Problems, check_inputs, read_documents
from topicgen.records import Document

ROWS = [{"id": f"x{number % 9}", "text": f"Text {number}"} for number in range(11)]


def plan(paths: list[Path], size: int, **settings: Any) -> tuple[BlockReader, list[Block], Problems]:
    reading, problems = ReaderSettings(**settings), Problems()
    sources, blocks = plan_blocks(check_inputs(list(map(str, paths)), reading), reading, problems, size)
    return BlockReader(sources, reading), blocks, problems


def make_inputs(folder: Path) -> list[Path]:
    texts = [row["text"] for row in ROWS]
    (folder / "a.txt").write_text("\n\n".join(texts))
    (folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:4]) + "broken\n{}\n")
    with (folder / "b.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS[4:])
    (folder / "c.csv").write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in ROWS) + "ragged\n")
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "d.parquet", row_group_size=3)
    with gzip.open(folder / "e.txt.gz", "wt") as file:
        file.write("\n\n".join(texts))
    (folder / "f.txt").write_text("")
    return [folder / name for name in ("a.txt", "b.jsonl", "c.csv", "d.parquet", "e.txt.gz", "f.txt")]


def plain(paths: list[Path], **settings: Any) -> tuple[list[Document], Problems]:
    problems = Problems()
    return list(read_documents(list(map(str, paths)), ReaderSettings(**settings), problems)), problems


@pytest.mark.parametrize("size", [1, 3, 100])
def test_blocks_hold_the_documents_of_a_plain_run(tmp_path: Path, size: int) -> None:
    paths = make_inputs(tmp_path)
    reader, blocks, problems = plan(paths, size)
    expected, told = plain(paths)
    assert [document for block in blocks for document in reader.read(block, problems)] == expected
    assert problems.summary() == told.summary()
    assert [block.number for block in blocks] == list(range(len(blocks)))


def test_blocks_can_be_read_in_any_order(tmp_path: Path) -> None:
    paths = make_inputs(tmp_path)
    reader, blocks, _ = plan(paths, 2)
    found = {block.number: list(reader.read(block, Problems())) for block in reversed(blocks)}
    assert [document for number in range(len(blocks)) for document in found[number]] == plain(paths)[0]


def test_id_that_was_in_an_earlier_block_is_left_out_as_in_a_plain_run(tmp_path: Path) -> None:
    paths = make_inputs(tmp_path)[1:4]
    reader, blocks, problems = plan(paths, 2, id_column="id")
    expected, told = plain(paths, id_column="id")
    assert len(expected) == 9
    assert [document for block in blocks for document in reader.read(block, Problems())] == expected
    assert problems.summary() == told.summary()


def test_parquet_is_divided_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=4)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\0" * 36  # the first pages
    path.write_bytes(content)
    reader, blocks, _ = plan([path], 5)
    assert [(block.first, block.last) for block in blocks] == [(1, 5), (6, 10), (11, 11)]
    assert [document.text for document in reader.read(blocks[2], Problems())] == ["Text 10"]


def test_paths_of_blocks_hold_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("One.\n\nTwo.")
    reader, [block], problems = plan([Path("a.txt")], 5)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert [document.source for document in reader.read(block, problems)] == ["a.txt", "a.txt"]


def test_standard_input_is_refused() -> None:
    with pytest.raises(UsageError, match="standard input cannot be read by several machines"):
        plan_blocks(check_inputs(["-"], ReaderSettings()), ReaderSettings(), Problems(), 5)
