"""Memory of a run does not grow with its input."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATIENCE

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from stub_engine import stub_job
assert stub_job(["in.csv"], sys.argv[2]).run() == 0
from topicgen.peak_memory import peak_memory
print(peak_memory())
"""


def peak(folder: Path, documents: int, output: str) -> int:
    """Peak memory of a run in a process of its own, in bytes."""
    with (folder / "in.csv").open("w") as file:
        file.write("id,text\n")
        file.writelines(f"{number},Bees make honey number {number} of many.\n" for number in range(documents))
    environment = os.environ | {"TOPICGEN_CACHE": str(folder / f"cache-{documents}")}
    call = [sys.executable, "-c", CODE, str(Path(__file__).parents[1]), f"{documents}-{output}"]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, timeout=60 * PATIENCE)
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)


@pytest.mark.skipif(os.environ.get("TOPICGEN_TORTURE") != "1", reason="takes minutes: make torture")
@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_a_million_documents_take_the_memory_of_ten_thousand(tmp_path: Path, output: str) -> None:
    few, many = peak(tmp_path, 10_000, output), peak(tmp_path, 1_000_000, output)
    print(f"{output}: 10,000 documents {few}, 1,000,000 documents {many}")
    with (tmp_path / f"1000000-{output}").open("rb") as file:
        assert re.match(rb"\{|PAR1", file.read(4))
    assert many < 1.1 * few
