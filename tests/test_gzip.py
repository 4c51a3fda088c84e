"""Damaged gzip: what came before the damage stands."""

import gzip
import random
from pathlib import Path

import pytest

from topicgen.sources import Source
from topicgen.streams import EarlyEndError, read_blocks


def test_little_is_lost_before_the_damage(tmp_path: Path) -> None:
    chance = random.Random(0)
    content = "".join(f"{number},{chance.randbytes(40).hex()}\n" for number in range(500)).encode()
    stored = bytearray(gzip.compress(content))
    middle = len(stored) // 2
    stored[middle : middle + 100] = b"\xff" * 100
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(stored)
    found = b""
    with pytest.raises(EarlyEndError, match="damaged"):
        for block in read_blocks(Source("rows.csv.gz", path, "csv", gzipped=True)):
            found += block
    same = next((i for i, (one, other) in enumerate(zip(found, content, strict=False)) if one != other), len(found))
    assert same > 0.4 * len(content)
