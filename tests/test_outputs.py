"""Outputs that appear, that cannot be written, and that fill up."""

import io
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from writing import PLAIN, full_disk, names, topic, write

from topicgen import parquet_output
from topicgen.config import WriterSettings
from topicgen.errors import UsageError, UserError
from topicgen.records import Topic
from topicgen.writer import open_writer, output_format

# Files


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_file_appears_at_the_end_also_after_an_interrupt(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    def interrupted() -> Iterator[Topic]:
        yield PLAIN
        raise KeyboardInterrupt

    kind = output_format(name, None, False)
    with pytest.raises(KeyboardInterrupt), open_writer(str(path), WriterSettings(kind)) as writer:
        assert not path.exists()
        writer.write(interrupted())
    assert names(tmp_path) == [name]
    rows = pq.read_table(path).num_rows if name == "x.parquet" else len(path.read_text().splitlines()) - 1
    assert rows == 1


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet"])
def test_existing_output_is_kept_unless_forced(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("old")
    settings = WriterSettings(output_format(name, None, False))
    with pytest.raises(UserError, match="exists already; use --force"):
        open_writer(str(path), settings)
    assert path.read_text() == "old"
    with open_writer(str(path), settings, force=True) as writer:
        writer.write([PLAIN])
    assert path.read_bytes() != b"old"
    assert names(tmp_path) == [name]


def test_output_through_a_link_replaces_its_target(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write(tmp_path / "link.csv", [PLAIN])
    assert (tmp_path / "link.csv").is_symlink()
    assert "Solar" in (tmp_path / "real.csv").read_text()


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_output_that_cannot_be_written_fails_at_open(tmp_path: Path, kind: Any) -> None:
    loop = tmp_path / f"loop.{kind}"
    loop.symlink_to(loop)
    cases = {
        f"{tmp_path}/absent/x.{kind}": "there is no folder",
        f"{tmp_path}": "is a folder",
        f"/proc/x.{kind}": "cannot be written",
        f"{loop}": "cannot be written",
        "x" * 5_000: "cannot be written",
        "nul\0": "cannot be written",
    }
    for path, message in cases.items():
        with pytest.raises(UserError, match=message):
            open_writer(path, WriterSettings(kind))


@pytest.mark.parametrize("given", ["data.jsonl", "./data.jsonl", "link.jsonl"])
def test_output_that_is_an_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.jsonl").write_text("precious")
    Path("link.jsonl").symlink_to("data.jsonl")
    with pytest.raises(UsageError, match="is also an input"):
        open_writer("data.jsonl", WriterSettings(), force=True, inputs=["-", given])
    assert Path("data.jsonl").read_text() == "precious"


# Failures while writing


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_full_device_is_a_clean_error(kind: Any) -> None:
    with (
        pytest.raises(UserError, match="/dev/full: cannot be written: No space left on device"),
        open_writer("/dev/full", WriterSettings(kind), force=True) as writer,
    ):
        writer.write([PLAIN])
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_full_disk_leaves_whole_rows_only(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    kind = output_format(name, None, False)
    with (
        full_disk(1_000),
        pytest.raises(UserError, match=f"{name}: cannot be written"),
        open_writer(str(path), WriterSettings(kind)) as writer,
    ):
        writer.write([PLAIN] * 100)
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) > 5
    assert all(line.endswith("\n") for line in lines)
    assert lines[-1] == lines[-2]
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(("name", "limit"), [("x.parquet", 100), ("x.parquet", 10_000), ("x.csv", 10)])
def test_full_disk_leaves_an_earlier_file_rather_than_a_broken_one(tmp_path: Path, name: str, limit: int) -> None:
    path = tmp_path / name
    path.write_text("old")
    settings = WriterSettings(output_format(name, None, False), with_text=True)
    rows = [replace(PLAIN, text=random.Random(n).randbytes(500).hex()) for n in range(100)]
    with (
        full_disk(limit),
        pytest.raises(UserError, match=f"{name}: cannot be written"),
        open_writer(str(path), settings, force=True) as writer,
    ):
        writer.write(rows)
    assert names(tmp_path) == [name]
    assert path.read_text() == "old"


def test_full_disk_while_a_parquet_column_is_widened_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_output, "MAX_GROUP_ROWS", 10)
    path = tmp_path / "x.parquet"
    with (
        pytest.raises(UserError, match=r"x\.parquet: cannot be written"),
        open_writer(str(path), WriterSettings("parquet", keep=("k",))) as writer,
    ):
        writer.write([topic(random.Random(n).randbytes(500).hex(), k=n) for n in range(20)])
        with full_disk(1_000):
            writer.write([topic(k="no longer an integer")] * 10)
    assert names(tmp_path) == []


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.csv", "x.parquet"):
        writer = open_writer(str(tmp_path / name), WriterSettings(output_format(name, None, False)))
        writer.close()
        writer.close()
        with pytest.raises(ValueError):
            writer.write([PLAIN])


@pytest.mark.parametrize("kind", ["jsonl", "csv", "table"])
def test_closed_pipe_passes_through(kind: Any) -> None:
    reader, end = os.pipe()
    os.close(reader)
    stdout = io.TextIOWrapper(os.fdopen(end, "wb"))
    with pytest.raises(BrokenPipeError), open_writer(None, WriterSettings(kind), stdout=stdout) as writer:
        writer.write([PLAIN] * 100)
    with suppress(BrokenPipeError):
        stdout.close()
