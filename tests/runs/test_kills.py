"""Killed runs: the same command ends with the rows, the bad rows and the exit code of an uninterrupted one."""

import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from commands import PATIENCE, Command
from passages import PASSAGES

TORTURE = os.environ.get("TOPICGEN_TORTURE") == "1"
KILLS = 200 if TORTURE else 20
OUTPUTS = ("out.jsonl", "out.csv", "out.parquet")
SCRIPT = Path(__file__).with_name("kill_points.py")


def table(path: Path, documents: int) -> None:
    """Rows with repeats of texts, blank texts, duplicate ids and, at the end, one that is ragged."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "note"])
        for number in range(documents):
            text = " ".join(PASSAGES[number % len(PASSAGES)].split()[:6]) if number % 17 else ""
            rows.writerow([number if number % 40 else 0, text, f"=note {number}"])
        rows.writerow([documents, "too many fields", "", ""])


@pytest.mark.parametrize("output", OUTPUTS if TORTURE else OUTPUTS[:2])
def test_a_run_killed_before_any_change_of_a_file_resumes_to_the_same_bytes(tmp_path: Path, output: str) -> None:
    table(tmp_path / "in.csv", 200)
    environment = os.environ | {"TOPICGEN_CACHE": str(tmp_path / "../cache"), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, SCRIPT, output], cwd=tmp_path, env=environment, capture_output=True, timeout=8 * PATIENCE
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) > 10


OPTIONS = ["--keep", "id,note", "--with-text", "--max-topic-tokens", "2", "--no-second-look", "--threads", "1", "-q"]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of what a run leaves, but for its record."""
    files = [path for path in folder.iterdir() if path.name.startswith((".", "out")) and path.suffix != ".json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Victim:
    """A run of the embedded model over one table, in folders of its own, each with a cache of its own."""

    def __init__(self, folder: Path, output: str) -> None:
        folder.mkdir()
        table(folder / "in.csv", 130)
        self.folder = folder
        self._call = ["generate", "in.csv", "-o", output, *OPTIONS]
        (folder / "cache").mkdir()
        for path in Path(os.environ["TOPICGEN_CACHE"]).glob("ct2-*"):
            (folder / "cache" / path.name).symlink_to(path)

    def start(self) -> "subprocess.Popen[bytes]":
        environment = os.environ | {"TOPICGEN_CACHE": str(self.folder / "cache")}
        return Command(self.folder).start(*self._call, env=environment)

    def finish(self) -> None:
        process = self.start()
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 3, err.decode()


def test_runs_killed_at_random_moments_resume_to_the_same_bytes(generator: object, tmp_path: Path) -> None:
    expected, longest = {}, 0.0
    for output in OUTPUTS:
        whole = Victim(tmp_path / f"whole-{output}", output)
        began = time.monotonic()
        whole.finish()
        longest = max(longest, time.monotonic() - began)
        expected[output] = digests(whole.folder)
    moments, kills, number = random.Random(38), 0, 0
    while kills < KILLS:
        output = OUTPUTS[number % len(OUTPUTS)]
        victim = Victim(tmp_path / f"victim-{number}", output)
        number += 1
        for _ in range(moments.randint(3, 7)):
            process = victim.start()
            with suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0.1, 1) * longest)
            process.kill()
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
        victim.finish()
        assert digests(victim.folder) == expected[output], f"victim {number}, {kills} kills"
