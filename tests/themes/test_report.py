"""A folder of themes becomes one file, or one line that says what is wrong with it."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from themes.folders import HOSTILE, make_folder

from topicgen.errors import UserError
from topicgen.themes.page_folder import read_folder
from topicgen.themes.report import write_report
from topicgen.themes.report_markdown import escaped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "themes", 60, themes=4)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def markdown(folder: Path) -> str:
    return write_report(folder, format="md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["html", "md"])
def test_report_is_written_into_the_folder_and_again_in_its_place(folder: Path, kind: Any) -> None:
    before = {path.name for path in folder.iterdir()}
    path = write_report(folder, format=kind)
    assert path == folder / f"report.{kind}"
    first = path.read_bytes()
    assert write_report(folder, format=kind).read_bytes() == first
    assert {found.name for found in folder.iterdir()} == before | {path.name}


def test_markdown_has_themes_subthemes_trends_and_documents(folder: Path) -> None:
    text = markdown(folder)
    assert text.startswith("# 4 themes in 60 documents\n\n- Documents: 60\n")
    collection = read_folder(folder)
    for theme in collection.themes:
        assert f"\n## {theme.name}\n\n{theme.size} documents, " in text
        assert f"| {theme.name} | {theme.id} | {theme.size} | " in text
    assert sum(theme.size for theme in collection.themes) == 60
    assert "- **Ferry services**, " in text
    assert "Share of each theme by year, from 2014 to 2023." in text
    best = max(range(60), key=lambda i: collection.documents.scores[i])
    assert f"> **{collection.documents.topics[best]}** (" in text


def test_markdown_without_dates_or_texts_says_nothing_of_them(tmp_path: Path) -> None:
    text = markdown(make_folder(tmp_path / "t", 20, themes=3, dates=False, texts=False))
    assert "Over time" not in text
    assert "None" not in text


def test_hostile_texts_are_no_markup_in_markdown(tmp_path: Path) -> None:
    text = markdown(make_folder(tmp_path / "t", 20, themes=3, hostile=True))
    assert not re.search(r"<\S", text)
    assert "\u202e" not in text
    assert "&lt;/script>" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# not a heading", r"\# not a heading"),
        ("- no list\n1. no list", r"\- no list 1. no list"),
        ("12. no list", r"12\. no list"),
        ("a | b `c` *d* _e_ ~f~ $g$", r"a \| b \`c\` \*d\* \_e\_ \~f\~ \$g\$"),
        ("[x](javascript:y) ![i](j)", r"\[x\](javascript:y) !\[i\](j)"),
        ("see https://example.org or www.example.org or a@example.org", None),
        ("C# and C++ cost 3.5 & more", "C# and C++ cost 3.5 &amp; more"),
        ("\\*", r"\\\*"),
    ],
)
def test_markup_in_texts_is_escaped_and_plain_words_stay_readable(text: str, expected: str | None) -> None:
    wanted = expected or r"see https\://example.org or www\.example.org or a\@example.org"
    assert escaped(text) == wanted


def test_documents_of_a_merged_theme_count_for_the_one_it_joined(folder: Path) -> None:
    registry = json.loads((folder / "registry.json").read_text(encoding="utf-8"))
    sizes = {theme["id"]: theme["size"] for theme in registry["themes"]}
    for theme in registry["themes"]:
        if theme["id"] == "t2":
            theme |= {"status": "merged", "merged_into": "t3"}
        if theme["id"] == "t3":
            theme |= {"size": 0}
    change(folder / "registry.json", themes=registry["themes"])
    found = read_folder(folder)
    assert {theme.id: theme.size for theme in found.themes} == {
        "t1": sizes["t1"],
        "t3": sizes["t2"] + sizes["t3"],
        "t4": sizes["t4"],
    }
    assert found.coverage == 1


def test_themes_merged_in_a_circle_end_without_a_place(folder: Path) -> None:
    registry = json.loads((folder / "registry.json").read_text(encoding="utf-8"))
    for theme in registry["themes"]:
        theme |= {"status": "merged", "merged_into": "t2" if theme["id"] == "t1" else "t1"}
    change(folder / "registry.json", themes=registry["themes"])
    assert read_folder(folder).coverage == 0
    write_report(folder)


@pytest.mark.parametrize("documents", [0, 1, 2])
def test_very_small_collections_are_reported(tmp_path: Path, documents: int) -> None:
    folder = make_folder(tmp_path / "t", documents, themes=1, dates=documents > 0)
    assert f"1 theme in {documents} document" in write_report(folder).read_text(encoding="utf-8")
    write_report(folder, format="md")


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def without_column(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / "documents.parquet").drop(["x", "topic"]), folder / "documents.parquet")


def wrong_column(folder: Path) -> None:
    table = pq.read_table(folder / "documents.parquet")
    pq.write_table(
        table.set_column(table.column_names.index("x"), "x", pa.array(["?"] * table.num_rows)),
        folder / "documents.parquet",
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (removed("registry.json"), "has no registry.json; name a folder that `topicgen themes` wrote"),
        (removed("documents.parquet"), "has no documents.parquet"),
        (replaced("registry.json", b"{"), "registry.json: is not valid JSON"),
        (replaced("registry.json", b"\xff\xfe{"), "registry.json: is not valid JSON"),
        (replaced("registry.json", b"[" * 100_000), "registry.json: is not valid JSON"),
        (replaced("registry.json", b"[]"), "registry.json: is a JSON list, not an object"),
        (replaced("registry.json", b"{}"), "registry.json: is damaged (KeyError: 'format')"),
        (replaced("registry.json", b'{"format": 2}'), "has format 2; this version of topicgen reads format 1"),
        (replaced("registry.json", b'{"format": 1, "themes": [3]}'), "registry.json: is damaged"),
        (replaced("documents.parquet", b"PAR1"), "documents.parquet: cannot be read as Parquet"),
        (without_column, "documents.parquet: lacks the columns topic, x"),
        (wrong_column, "documents.parquet: is damaged"),
        (replaced("trends.json", b'{"unit": "year"}'), "trends.json: is damaged (KeyError: 'periods')"),
        (
            replaced(
                "trends.json",
                b'{"unit": "year", "periods": ["2020"], "themes": {"t1": {"counts": [], "shares": []}}}',
            ),
            "trends.json: is damaged (ValueError: 0 shares and 0 counts for 1 periods)",
        ),
    ],
)
def test_damaged_folder_is_one_line_that_names_the_file(
    folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    with pytest.raises(UserError) as caught:
        write_report(folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "report.html").exists()


def test_missing_folder_and_file_in_its_place_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        write_report(tmp_path / "none")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="is a file"):
        write_report(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written_is_one_line(folder: Path) -> None:
    folder.chmod(0o500)
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        write_report(folder)
    folder.chmod(0o700)


def test_report_in_the_way_as_a_folder_is_one_line(folder: Path) -> None:
    (folder / "report.html").mkdir()
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        write_report(folder)
    assert not list(folder.glob(".report*"))


def test_hostile_name_is_shown_in_the_table_of_markdown(tmp_path: Path) -> None:
    text = markdown(make_folder(tmp_path / "t", 20, themes=3, hostile=True))
    assert escaped(HOSTILE) in text
