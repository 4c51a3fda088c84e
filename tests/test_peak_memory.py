"""The most memory that a process had in use."""

import subprocess
import sys

from topicgen.peak_memory import peak_memory

MIB = 1 << 20
CODE = "from topicgen.peak_memory import peak_memory\nprint(peak_memory())"


def test_it_counts_what_was_freed_and_not_what_the_parent_had() -> None:
    before = peak_memory()
    held = bytearray(200 * MIB)  # zeros would not be backed by memory yet
    held[:: 1 << 12] = b"\1" * len(range(0, len(held), 1 << 12))
    del held
    assert peak_memory() >= max(before, 200 * MIB)
    child = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, timeout=120)
    assert 0 < int(child.stdout) < 100 * MIB
