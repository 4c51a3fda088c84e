"""``topicgen train`` as a process that is stopped or killed: the same command ends with the same bytes."""

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from commands import PATIENCE, Command, Result
from effort import effort
from models import tiny_llama
from passages import PASSAGES

KILLS = effort(2, torture=20)
SETTINGS = ["--max-steps", "60", "--per-device-train-batch-size", "4", "--gradient-accumulation-steps", "1"]
SETTINGS += ["--max-length", "128", "--validation-fraction", "0.1", "--shown-topics", "0", "--lora-dropout", "0.1"]
SETTINGS += ["--save-steps", "2", "--eval-steps", "10"]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base and labelled texts."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "base").mkdir()
    tiny_llama(folder / "base")
    rows = [{"text": text, "topic": " ".join(text.split()[:2])} for text in PASSAGES[:40]]
    (folder / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def start(material: Path, output: str) -> "subprocess.Popen[bytes]":
    call = ["train", "labelled.jsonl", "--base", "base", "--output-dir", output, *SETTINGS]
    return Command(material).start(
        *call,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def end(process: "subprocess.Popen[bytes]") -> Result:
    out, err = process.communicate(timeout=PATIENCE)
    return Result(process.returncode, out.decode(), err.decode())


def weights(material: Path, output: str) -> bytes:
    return (material / output / "adapter_model.safetensors").read_bytes()


def newest(material: Path, output: str) -> int:
    names = [path.name for path in (material / output / "checkpoints").glob("checkpoint-*")]
    return max((int(name.split("-")[1]) for name in names), default=0)


def wait_until(happened: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    for _ in range(100 * PATIENCE):
        if happened() or process.returncode is not None:
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module")
def uninterrupted(material: Path) -> bytes:
    done = end(start(material, "whole"))
    assert done.code == 0, done.err
    return weights(material, "whole")


def test_signals_leave_a_checkpoint_and_the_same_command_finishes(material: Path, uninterrupted: bytes) -> None:
    for number, code, said in ((signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")):
        before = newest(material, "stopped")
        process = start(material, "stopped")
        wait_until(lambda before=before: newest(material, "stopped") > before, process)  # type: ignore[misc]
        process.send_signal(number)
        stopped = end(process)
        assert stopped.code == code, stopped.err
        assert "the same command goes on from there" in stopped.err
        assert said in stopped.err.splitlines()[-1]
        assert before < newest(material, "stopped") < 60
        assert not (material / "stopped/adapter_model.safetensors").exists()
    finished = end(start(material, "stopped"))
    assert finished.code == 0, finished.err
    assert "goes on after step" in finished.err
    assert weights(material, "stopped") == uninterrupted


@pytest.mark.torture
def test_killed_runs_end_with_the_bytes_of_an_uninterrupted_one(material: Path, uninterrupted: bytes) -> None:
    moments = random.Random(30)
    kills = 0
    for attempt in range(10 * KILLS):
        output = f"killed-{attempt // 3}"
        process = start(material, output)
        target = newest(material, output) + moments.randint(0, 14)
        wait_until(lambda output=output, target=target: newest(material, output) >= target, process)  # type: ignore[misc]
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.random() * 0.05)  # anywhere within steps, or while saving
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        process.communicate()
        if attempt % 3 == 2 or kills == KILLS:
            if not (material / output / "adapter_model.safetensors").exists():
                finished = end(start(material, output))
                assert finished.code == 0, finished.err
            assert weights(material, output) == uninterrupted
        if kills == KILLS:
            break
    assert kills == KILLS
