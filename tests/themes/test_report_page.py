"""The page of a collection: what its data holds, what it leaves out, and that texts stay texts."""

import datetime
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from themes.folders import HOSTILE, make_folder

from topicgen.html import csp
from topicgen.themes import page_data
from topicgen.themes.page import percent
from topicgen.themes.page_data import COLOURS, colouring, cut, excerpts, period_of, period_start, sample
from topicgen.themes.report import write_report


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def html_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_columns_have_one_value_for_each_document(tmp_path: Path) -> None:
    data = data_of(html_of(make_folder(tmp_path, 200, themes=5)))
    columns = {name: column for name, column in data["documents"].items() if name != "sources"}
    assert {len(column) for column in columns.values()} == {200}
    assert sum(theme["size"] for theme in data["themes"]) == data["total"] == 200
    sizes = [theme["size"] for theme in data["themes"]]
    assert sizes == sorted(sizes, reverse=True)
    for of, sub in zip(data["documents"]["theme"], data["documents"]["subtheme"], strict=True):
        assert data["subthemes"][sub]["parent"] == of
    for date, period in zip(data["documents"]["date"], data["documents"]["period"], strict=True):
        assert data["trends"]["periods"][period] == date[:4]


def test_collection_without_dates_subthemes_and_texts_has_no_part_for_them(tmp_path: Path) -> None:
    html = html_of(make_folder(tmp_path, 30, themes=3, dates=False, subthemes=False, texts=False))
    data = data_of(html)
    assert data["trends"] is data["documents"]["date"] is data["documents"]["period"] is None
    assert data["subthemes"] == []
    assert "The page holds no texts" in html
    assert not re.search('id="(trends|subtheme|period)"', html)


def test_hostile_texts_add_no_element(tmp_path: Path) -> None:
    tame = html_of(make_folder(tmp_path / "a", 30, themes=3))
    wild = html_of(make_folder(tmp_path / "b", 30, themes=3, hostile=True))
    assert [tag for tag, _ in Tags(wild).tags] == [tag for tag, _ in Tags(tame).tags]
    assert HOSTILE in data_of(wild)["documents"]["text"]
    assert HOSTILE in [theme["name"] for theme in data_of(wild)["themes"]]


def test_page_allows_its_own_script_and_style_and_names_nothing_outside(tmp_path: Path) -> None:
    html = html_of(make_folder(tmp_path, 10, themes=2))
    tags = Tags(html).tags
    scripts, styles = (re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL) for tag in ("script", "style"))
    policy = next(attrs["content"] for tag, attrs in tags if tag == "meta" and "http-equiv" in attrs)
    assert (len(scripts), len(styles)) == (1, 1)
    assert policy == csp(scripts, styles)
    addresses = [value for _, attrs in tags for name, value in attrs.items() if name in ("src", "href", "action")]
    assert addresses
    assert all(str(address).startswith("#") for address in addresses)
    assert not [attrs for _, attrs in tags if "style" in attrs or any(name.startswith("on") for name in attrs)]


def test_head_says_what_the_collection_is(tmp_path: Path) -> None:
    html = html_of(make_folder(tmp_path, 1234, themes=6))
    assert "<h1>6 themes in 1,234 documents</h1>" in html
    facts = dict(re.findall("<dt>(.*?)</dt><dd><bdi>(.*?)</bdi></dd>", html))
    assert facts["Coverage"] == "100 %"
    assert facts["Collected"] == "2026-11-24, topicgen 0.1.0"
    assert facts["From"] == "topics.jsonl"


def test_texts_are_cut_on_one_line_and_the_cut_is_marked() -> None:
    assert cut("a\n b\t c", 10) == "a b c"
    assert cut("x" * 200, 200) == "x" * 200
    assert cut("x" * 201, 200) == "x" * 200 + "…"
    assert cut(" " * 5000 + "x", 200) == "…"


def test_texts_beyond_the_budget_are_left_out_least_typical_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert excerpts(["aaa", "bbb", "ccc", None], [0.1, 0.9, 0.5, 1.0], 10) == [None, "bbb", "ccc", None]
    assert excerpts(["<<"], [0], 13) == [None], "escaped, a character takes six bytes"
    monkeypatch.setattr(page_data, "TEXT_BYTES", 1500)
    html = html_of(make_folder(tmp_path, 50, themes=3))
    left_out = sum(text is None for text in data_of(html)["documents"]["text"])
    assert 0 < left_out < 50
    assert f"{left_out} documents stand without their text" in html


def test_of_very_many_documents_an_even_sample_is_held_and_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sample(10, 4).tolist() == [0, 2, 5, 7]
    assert sample(3, 4).tolist() == [0, 1, 2]
    monkeypatch.setattr(page_data, "DOCUMENT_LIMIT", 40)
    html = html_of(make_folder(tmp_path, 100, themes=3))
    data = data_of(html)
    assert len(data["documents"]["id"]) == 40
    assert sum(theme["size"] for theme in data["themes"]) == 100
    assert "The page holds 40 of the 100 documents" in html


def test_neighbours_on_the_map_differ_in_colour() -> None:
    places = [(x / 9, y / 4) for x in range(10) for y in range(5)]
    colours = colouring(places)
    assert set(colours) == set(range(COLOURS))
    assert colouring(places[:10]) == list(range(10))
    for i, (x, y) in enumerate(places):
        near = [j for j, (u, v) in enumerate(places) if j != i and (x - u) ** 2 + (y - v) ** 2 < 0.13**2]
        assert colours[i] not in [colours[j] for j in near]


@pytest.mark.parametrize(
    ("period", "unit", "start"),
    [
        ("2021", "year", "2021-01-01"),
        ("2021-Q3", "quarter", "2021-07-01"),
        ("2021Q3", "quarter", "2021-07-01"),
        ("2021-04", "month", "2021-04-01"),
        ("2021-W01", "week", "2021-01-04"),
        ("2021-04-30", "day", "2021-04-30"),
        ("2021-01-04", "week", "2021-01-04"),
    ],
)
def test_period_starts_on_its_first_day(period: str, unit: str, start: str) -> None:
    assert period_start(period, unit).isoformat() == start


def test_dates_fall_into_their_period() -> None:
    dates = [None, *(datetime.date.fromisoformat(day) for day in ("2020-12-31", "2021-03-31", "2021-04-01"))]
    assert period_of(dates, "quarter", ["2021-Q1", "2021-Q2"]) == [-1, -1, 0, 1]
    assert period_of(dates, "quarter", ["spring", "summer"]) is None


@pytest.mark.parametrize(
    ("share", "text"), [(1, "100 %"), (0.99999, "99.9 %"), (0, "0.0 %"), (0.1234, "12.3 %"), (0.9994, "99.9 %")]
)
def test_what_is_not_everything_never_reads_as_everything(share: float, text: str) -> None:
    assert percent(share) == text
