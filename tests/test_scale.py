"""Runs over several machines: a real Ray cluster of processes here, and the command line in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Command
from passages import PASSAGES

from topicgen.manifest import MANIFEST, sha256

pytest.importorskip("ray.data", reason="needs the extra ray")
pytestmark = pytest.mark.slow

PATIENCE = 400  # seconds: the cluster alone takes many on a busy machine
EXACT = ("--precision", "float32", "--deterministic", "--max-topic-tokens", "6")


@pytest.fixture
def inputs(command: Command) -> list[str]:
    rows = [{"body": text, "stars": number} for number, text in enumerate(PASSAGES[:14])]
    pq.write_table(pa.Table.from_pylist(rows), command.folder / "a.parquet", row_group_size=5)
    command.write("b.jsonl", "".join(json.dumps(row) + "\n" for row in rows[:5]) + "broken\n")
    command.write("c.txt", "\n\n".join(PASSAGES[14:34]))
    return ["a.parquet", "b.jsonl", "c.txt"]


@pytest.fixture
def machines() -> Iterator["subprocess.Popen[str]"]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    script = Path(__file__).with_name("two_machines.py")
    with subprocess.Popen([sys.executable, str(script)], **pipes) as process:
        try:
            yield process
        finally:
            with suppress(BrokenPipeError):
                process.communicate("", timeout=PATIENCE)


def manifest(folder: Path) -> list[dict[str, Any]]:
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines(keepends=True) if "\n" in line]
    return []


def part_rows(folder: Path) -> list[dict[str, Any]]:
    parts = sorted(folder.glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text(encoding="utf-8").splitlines()]


def scaled(command: Command, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = command.argv("generate", *arguments, "--engine", "ray")
    return subprocess.run(argv, cwd=command.folder, capture_output=True, text=True, timeout=PATIENCE)


def test_run_of_which_a_machine_dies_has_every_row_of_a_plain_run_once(
    command: Command, inputs: list[str], machines: "subprocess.Popen[str]"
) -> None:
    assert machines.stdin is not None
    assert machines.stdout is not None
    address = machines.stdout.readline().strip()
    out = command.folder / "out"
    options = ("-o", "out", "--ray-block", "2", "--ray-address", address)
    with command.start("generate", *inputs, *EXACT, "--engine", "ray", *options) as process:
        while len(manifest(out)) < 4:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
            assert process.returncode is None, process.stderr and process.stderr.read().decode()
        done = len(manifest(out)) - 1
        machines.stdin.write("kill\n")
        machines.stdin.flush()
        assert machines.stdout.readline() == "killed\n"
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, err.decode()  # one row of the input is broken
    header, *parts = manifest(out)
    assert done < len(parts) == header["blocks"] == 20
    assert all(sha256(out / part["file"]) == part["sha256"] for part in parts)
    assert sorted(path.name for path in out.iterdir()) == [MANIFEST, *sorted(part["file"] for part in parts)]
    plain = command.here("generate", *inputs, *EXACT)
    assert part_rows(out) == plain.rows
    assert "2 workers" in err.decode()
    assert "rows left out: 1, written to out.quarantine.jsonl" in err.decode()
    assert command.rows("out.quarantine.jsonl") == command.rows("quarantine.jsonl")


def test_run_goes_on_where_it_was_and_nothing_is_computed_twice(command: Command, inputs: list[str]) -> None:
    arguments = (inputs[0], "-o", "out", "--ray-block", "5", "--format", "parquet", "--keep", "stars")
    first = scaled(command, *arguments)
    assert first.returncode == 0, first.stderr
    out = command.folder / "out"
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert sorted(before) == [f"part-00000{number}.parquet" for number in range(3)]
    (out / "part-000001.parquet").write_bytes(b"damaged")
    second = scaled(command, *arguments)
    assert (second.returncode, "2 of 3 blocks are done already" in second.stderr) == (0, True)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert [name for name in sorted(before) if before[name] != after[name]] == ["part-000001.parquet"]
    rows = [row for name in sorted(after) for row in pq.read_table(out / name).to_pylist()]
    assert [(row["position"], row["stars"]) for row in rows] == [(number + 1, number) for number in range(14)]
    # All is done: no cluster is started; and a run with other settings is refused.
    third = scaled(command, *arguments)
    assert (third.returncode, "3 of 3 blocks are done already" in third.stderr) == (0, True)
    assert "worker" in second.stderr
    assert "worker" not in third.stderr
    refused = scaled(command, *arguments, "--topics", "2")
    assert (refused.returncode, "holds a run with another settings" in refused.stderr) == (1, True)


def test_cluster_that_is_not_there_is_one_line(command: Command, inputs: list[str]) -> None:
    failed = scaled(command, inputs[2], "-o", "out", "--ray-address", "127.0.0.1:1")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("topicgen: --ray-address 127.0.0.1:1: no Ray cluster can be")
    assert "Traceback" not in failed.stderr


@pytest.mark.skipif(find_spec("vllm") is not None, reason="here vllm is not missing")
def test_engine_that_workers_lack_is_one_line(command: Command, inputs: list[str]) -> None:
    failed = scaled(command, inputs[2], "-o", "out", "--ray-engine", "vllm", "--ray-workers", "1")
    assert failed.returncode == 1
    assert "topicgen[vllm]" in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a.txt", "--ray-block", "5"], 2, "--ray-block needs --engine ray"),
        (["a.txt", "--engine", "ray"], 2, "name it with --output"),
        (["a.txt", "--engine", "ray", "-o", "out", "--ray-block", "0"], 2, "block must be between 1 and"),
        (["a.txt", "--engine", "ray", "-o", "out", "--format", "csv"], 2, "writes jsonl or parquet, not csv"),
        (["-", "--engine", "ray", "-o", "out"], 2, "standard input cannot be read by several machines"),
        ([".", "--engine", "ray", "-o", "out"], 2, "out: lies in the input ., which would read it"),
        (["a.txt", "--engine", "ray", "-o", "a.txt"], 2, "a.txt: lies in the input a.txt"),
        (["a.txt", "--engine", "ray", "-o", "full"], 1, "full: holds other files"),
        (["b.txt", "--engine", "ray", "-o", "out"], 1, "b.txt: cannot be read"),
        (["a.txt", "--engine", "ray", "-o", "out", "--model", "none"], 1, "no model 'none'"),
    ],
)
def test_wrong_invocation_is_one_line_before_a_cluster_starts(
    command: Command, arguments: list[str], code: int, said: str
) -> None:
    command.write("a.txt", PASSAGES[0])
    (command.folder / "full").mkdir()
    command.write("full/letter.txt", "Dear")
    result = command.here("generate", *arguments)
    assert result.code == code
    assert said in result.complaint
    assert not (command.folder / "out").exists()
