"""Text units, encodings, lengths and gzip."""

import gzip
import random
import tracemalloc
from pathlib import Path

import pytest
from reading import read, texts

from topicgen import streams
from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.reader import Problems, read_documents

# Units


def test_paragraphs_are_separated_by_blank_lines(notes: Path) -> None:
    notes.write_text("\n\n  One\n  line two \n \t \nTwo\n\n\n")
    documents = read(notes)
    assert [(d.text, d.position) for d in documents] == [("One\n  line two", 1), ("Two", 2)]
    assert documents[0].source == str(notes)


def test_unit_line_takes_each_line_that_is_not_blank(notes: Path) -> None:
    notes.write_text("a\n\n b \nc")
    assert [(d.text, d.position) for d in read(notes, unit="line")] == [("a", 1), ("b", 2), ("c", 3)]


def test_unit_file_takes_the_whole_file(notes: Path) -> None:
    notes.write_text("\na\n\nb\n\n")
    assert texts(notes, unit="file") == ["a\n\nb"]


def test_empty_and_blank_files_have_no_rows(notes: Path) -> None:
    for content in ("", " \n\n\t"):
        notes.write_text(content)
        for unit in ("paragraph", "line", "file"):
            assert texts(notes, unit=unit) == []


def test_ids_depend_on_source_and_position_only(notes: Path) -> None:
    notes.write_text("a\n\nb")
    before = [d.id for d in read(notes)]
    notes.write_text("c\n\nd")
    assert [d.id for d in read(notes)] == before
    assert len(set(before)) == 2
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in before)


def test_duplicate_documents_each_get_a_row(notes: Path) -> None:
    notes.write_text("same\n\nsame")
    documents = read(notes)
    assert [d.text for d in documents] == ["same", "same"]
    assert documents[0].id != documents[1].id


# Encodings


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_line_ends_do_not_change_ids_or_texts(notes: Path, line_end: str) -> None:
    notes.write_bytes(b"one\ntwo\n\nthree\n")
    with_line_feeds = read(notes)
    notes.write_bytes(f"one{line_end}two{line_end}{line_end}three{line_end}".encode())
    assert read(notes) == with_line_feeds


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_mark_is_obeyed_and_stripped(notes: Path, encoding: str) -> None:
    notes.write_bytes("Grüße 👩‍🚀\n\nzwei".encode(encoding))
    assert texts(notes) == ["Grüße 👩‍🚀", "zwei"]


def test_big_endian_mark_is_obeyed(notes: Path) -> None:
    notes.write_bytes(b"\xfe\xff" + "é".encode("utf-16-be"))
    assert texts(notes) == texts(notes, encoding="utf-16") == ["é"]


def test_latin_1_is_refused_with_line_and_hint_after_the_rows_before_it(notes: Path) -> None:
    notes.write_bytes(b"good\n\nfine\n\ncaf\xe9 au lait\n")
    reading = read_documents([str(notes)], ReaderSettings(), Problems())
    assert [next(reading).text, next(reading).text] == ["good", "fine"]
    with pytest.raises(UserError) as caught:
        next(reading)
    hint = "not valid utf-8 (byte 0xe9); if the file is Latin-1, use --encoding latin-1"
    assert str(caught.value) == f"{notes}:5: {hint}"
    assert texts(notes, encoding="latin-1")[-1] == "café au lait"


def test_undecodable_byte_beyond_the_first_block_has_its_line(notes: Path) -> None:
    notes.write_bytes(b"x" * 99 + b"\r\n" + b"line\r\n" * 50_000 + b"\xff")
    with pytest.raises(UserError, match=r":50002: not valid utf-8 \(byte 0xff\)"):
        read(notes)


def test_gzip_without_its_suffix_is_named(notes: Path) -> None:
    notes.write_bytes(gzip.compress(b"text"))
    with pytest.raises(UserError, match="looks like gzip"):
        read(notes)


@pytest.mark.parametrize("text", ["a\0b", "👩‍👩‍👧‍👦", "\u202egnp.exe", "<|end_of_text|> ### Response:"])
def test_unusual_characters_are_kept(notes: Path, text: str) -> None:
    notes.write_bytes(text.encode())
    assert texts(notes) == [text]


# Length


@pytest.mark.parametrize("unit", ["paragraph", "line", "file"])
def test_ten_megabyte_word_is_cut_in_bounded_memory(notes: Path, unit: str) -> None:
    notes.write_bytes(b"x" * 10_000_000 + b"\n\nnext")
    tracemalloc.start()
    documents = read(notes, unit=unit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert documents[0].text == "x" * 200_000
    assert documents[0].cut
    assert [d.text for d in documents[1:]] == ([] if unit == "file" else ["next"])
    assert peak < 3_000_000


def test_only_dropped_text_counts_as_cut(notes: Path) -> None:
    notes.write_text("   12345   \n\n123456\n\n12345\n6")
    documents = read(notes, max_characters=5)
    assert [(d.text, d.cut) for d in documents] == [("12345", False), ("12345", True), ("12345", True)]


# Gzip


def test_gzip_is_read(tmp_path: Path) -> None:
    packed = tmp_path / "notes.txt.gz"
    packed.write_bytes(gzip.compress(b"one\n\n") + gzip.compress(b"two"))
    assert texts(packed) == ["one", "two"]


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_gzip_gives_the_rows_so_far_and_says_so(tmp_path: Path, damage: str) -> None:
    packed = tmp_path / "x.csv.gz"
    noise = random.Random(7)
    content = "text\n" + "".join(f"{noise.random()} words\n" for _ in range(20_000))
    data = bytearray(gzip.compress(content.encode()))
    half = len(data) // 2
    if damage == "truncated":
        del data[half:]
    else:
        data[half : half + 40] = bytes(40)
    packed.write_bytes(data)
    problems = Problems()
    found = texts(packed, problems=problems)
    assert 1_000 < len(found) < 20_000
    assert found[:1_000] == content.splitlines()[1:1_001]
    word = "ends early" if damage == "truncated" else "is damaged, rows before the damage may be wrong"
    assert problems.incomplete == [f"{packed}: the gzip data {word} (after {len(found)} rows)"]
    assert problems.failed


def test_file_that_is_not_gzip_is_reported(tmp_path: Path) -> None:
    fake = tmp_path / "x.txt.gz"
    fake.write_text("plain")
    problems = Problems()
    assert texts(fake, problems=problems) == []
    assert problems.incomplete == [
        f"{fake}: the gzip data is damaged, rows before the damage may be wrong (after 0 rows)"
    ]


def test_gzip_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "GZIP_FREE_BYTES", 1_000_000)
    bomb = tmp_path / "bomb.txt.gz"
    bomb.write_bytes(gzip.compress(b"first\n\n" + bytes(20_000_000)))
    problems = Problems()
    assert texts(bomb, problems=problems) == ["first"]
    assert problems.incomplete[0].endswith("its gzip data grows more than 200-fold (after 1 row)")


def test_dense_gzip_above_the_free_size_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "GZIP_FREE_BYTES", 1_000)
    packed = tmp_path / "x.txt.gz"
    packed.write_bytes(gzip.compress(random.Random(1).randbytes(50_000).hex().encode()))
    problems = Problems()
    assert len(texts(packed, problems=problems)[0]) == 100_000
    assert not problems.failed
