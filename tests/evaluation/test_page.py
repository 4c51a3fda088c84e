"""The evaluation page as source: what it holds, in which words, and that nothing in the data becomes HTML."""

import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from evaluations import Made, made

from topicgen.evaluation.page import render_page
from topicgen.html import csp, safe_json

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \u202eevil\u2028 & {{ 7 * 7 }}"


class Source(HTMLParser):
    """Tags with attributes, the cells of each table, and the data block."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self._raw = ""
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == ("script", {"type": "application/json", "id": "data"}):
            self._raw += data
        elif self._in_cell:
            self.tables[-1][-1][-1] += data

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._raw)
        return found

    def row(self, table: int, name: str) -> list[str]:
        found = next(row for row in self.tables[table] if row[0].startswith(name))
        return [" ".join(cell.split()) for cell in found]


def source(from_: Made) -> Source:
    return Source(render_page(from_.evaluation, from_.documents, from_.answers))


def test_hostile_strings_stay_text() -> None:
    tame, wild = made(3), made(3)
    wild.add(text=HOSTILE, reference=HOSTILE, mini=HOSTILE)
    tame.add(text="x", reference="x", mini="x")
    for key in ("data", "embedder"):
        wild.evaluation[key] = HOSTILE
    wild.documents[0] |= {"id": HOSTILE, "category": HOSTILE}
    tame.documents[0] |= {"category": "a category of its own"}
    wild.evaluation["systems"][0]["name"] = HOSTILE
    wild.evaluation["paired"][0]["a"] = HOSTILE
    wild.answers[HOSTILE] = wild.answers.pop("mini")
    found, expected = source(wild), source(tame)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in expected.tags]
    assert found.data["documents"][3]["text"] == HOSTILE
    assert found.data["systems"][0]["topics"][3] == HOSTILE


def test_script_and_style_are_those_that_the_policy_allows() -> None:
    html = render_page(made(3).evaluation, made(3).documents, made(3).answers)
    policy = next(attrs["content"] for tag, attrs in Source(html).tags if tag == "meta" and "http-equiv" in attrs)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert len(scripts) == len(styles) == 1
    assert policy == csp(scripts, styles)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_page_names_nothing_outside_itself() -> None:
    tags = source(made(3)).tags
    addresses = [value for _, attrs in tags for name, value in attrs.items() if name in ("src", "href", "action")]
    assert addresses
    assert all(str(address).startswith("#") for address in addresses)


def test_page_is_the_same_for_the_same_input() -> None:
    first, second = made(), made()
    assert render_page(first.evaluation, first.documents, first.answers) == render_page(
        second.evaluation, second.documents, second.answers
    )


def test_long_texts_are_cut_and_the_page_says_so() -> None:
    data = made(1)
    data.documents[0]["text"] = "a" * 1000
    assert "Texts are cut" not in render_page(data.evaluation, data.documents, data.answers)
    data.documents[0]["text"] = "a" * 1001
    assert "Texts are cut to 1,000 characters." in render_page(data.evaluation, data.documents, data.answers)
    assert source(data).data["documents"][0]["text"] == "a" * 1000 + "…"


def test_score_that_a_system_lacks_is_a_dash() -> None:
    found = source(made())
    assert found.row(0, "System")[6] == "Repeated words ↓ lower is better"
    assert found.row(0, "larger model")[6] == "–"
    assert found.row(0, "references")[1:5] == ["–"] * 4
    assert "repeated" not in found.data["systems"][1]["scores"]
    repeated = next(chart for chart in found.data["charts"] if chart["key"] == "repeated")
    assert [one["name"] for one in repeated["histograms"]] == ["mini", "first words"]


def test_score_of_no_number_is_null_in_the_data() -> None:
    data = made(2)
    data.answers["mini"]["scores"]["rouge1"] = [math.nan, None]
    assert source(data).data["systems"][0]["scores"]["rouge1"] == [None, None]


def scored(means: dict[str, float], *, higher: bool | None, unit: str = "percent") -> Made:
    data = made(2)
    data.evaluation["metrics"] = {"m": {"label": "M", "unit": unit, "higher_is_better": higher}}
    data.evaluation["paired"] = []
    for system in data.evaluation["systems"]:
        mean = means.get(system["name"])
        system["scores"] = {} if mean is None else {"m": {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}}
    return data


@pytest.mark.parametrize(
    ("higher", "best"),
    [(True, {"larger model"}), (False, {"mini", "first words"}), (None, set())],
)
def test_best_mean_is_marked_in_words_where_there_is_a_better(higher: bool | None, best: set[str]) -> None:
    means = {"mini": 0.25, "larger model": 0.5, "first words": 0.25, "references": 0.9}
    rows = source(scored(means, higher=higher)).tables[0][1:]
    assert {row[0].split(" ", 1)[0] for row in rows if "best" in row[1]} == {name.split()[0] for name in best}


def test_only_system_of_a_metric_is_not_called_best() -> None:
    assert "best" not in source(scored({"mini": 0.5, "references": 0.9}, higher=True)).row(0, "mini")[1]


@pytest.mark.parametrize(
    ("unit", "reading"), [("percent", "48.0 [38.0, 58.0]"), ("words", "0.5 [0.4, 0.6]"), ("ratio", "0.48 [0.38, 0.58]")]
)
def test_scores_read_in_their_unit(unit: str, reading: str) -> None:
    assert source(scored({"mini": 0.48}, higher=True, unit=unit)).row(0, "mini")[1] == reading


def pair(low: float, high: float, *, higher: bool | None, p: float | None = 0.0004) -> list[str]:
    data = scored({"mini": 0.5, "first words": 0.4}, higher=higher)
    ends = {"low": low, "high": high, "difference": (low + high) / 2, "p": p, "documents": 1234}
    data.evaluation["paired"] = [{"a": "mini", "b": "first words", "metric": "m", **ends}]
    return source(data).row(1, "mini")


def test_interval_around_zero_shows_no_difference() -> None:
    row = pair(-0.01, 0.03, higher=True)
    assert row == ["mini", "first words", "M", "+1.0", "[−1.0, +3.0]", "< 0.001", "1,234", "no difference shown"]


def test_interval_beside_zero_names_who_is_ahead() -> None:
    assert pair(0.01, 0.03, higher=True)[-1] == "mini is better"
    assert pair(-0.03, -0.01, higher=True)[-1] == "first words is better"
    assert pair(0.01, 0.03, higher=False)[-1] == "first words is better"
    assert pair(-0.03, -0.01, higher=None)[-1] == "first words is higher"


def test_too_few_documents_name_nobody() -> None:
    assert pair(0.01, 0.03, higher=True, p=None)[-1] == "too few documents to tell"


def test_side_tables_have_readable_columns_and_all_systems() -> None:
    found = source(made())
    assert found.row(2, "System") == ["System", "Distinct", "Duplicates", "Mean words", "Vocabulary"]
    assert found.row(2, "mini") == ["mini", "56", "0.067", "5.25", "1,431"]
    assert found.row(4, "first words") == ["first words", "–", "–"]


def test_table_without_any_number_is_left_out() -> None:
    data = made()
    for system in data.evaluation["systems"]:
        system["stability"] = None
    html = render_page(data.evaluation, data.documents, data.answers)
    assert 'id="faithfulness"' in html
    assert 'id="stability"' not in html


def many(values: list[float | None], *, higher: bool) -> Made:
    data = scored({"mini": 0.5}, higher=higher)
    data.documents[:] = [{"id": str(i), "text": "t", "references": [], "category": None} for i in range(len(values))]
    data.answers.clear()
    data.answers["mini"] = {"topics": ["t"] * len(values), "scores": {"m": values}}
    return data


@pytest.mark.parametrize("higher", [True, False])
def test_of_many_documents_the_worst_and_best_are_listed_and_the_page_says_so(higher: bool) -> None:
    data = many([i / 2499 for i in range(2500)], higher=higher)
    found = source(data).data
    assert [document["id"] for document in found["documents"]] == [str(i) for i in range(2500) if i < 1000 or i >= 1500]
    assert found["systems"][0]["scores"]["m"][1000] == round(1500 / 2499, 5)
    assert sum(found["charts"][0]["histograms"][0]["counts"]) == 2500
    assert "Of 2,500 documents, the page lists the 1,000 worst and the 1,000 best" in render_page(
        data.evaluation, data.documents, data.answers
    )


def test_of_many_documents_those_without_a_score_give_way() -> None:
    data = many([None] * 500 + [0.0] * 1000 + [1.0] * 1000, higher=True)
    assert [document["id"] for document in source(data).data["documents"]] == [str(i) for i in range(500, 2500)]


def test_two_thousand_documents_are_all_listed() -> None:
    data = many([0.5] * 2000, higher=True)
    assert len(source(data).data["documents"]) == 2000
    assert "the page lists" not in render_page(data.evaluation, data.documents, data.answers)


def test_lone_surrogates_can_be_written() -> None:
    data = made(2)
    data.documents[0]["text"] = data.answers["mini"]["topics"][0] = data.evaluation["data"] = "half \ud83d"
    assert "half ?" in render_page(data.evaluation, data.documents, data.answers).encode().decode()


def test_embedded_json_comes_back_and_holds_nothing_that_ends_a_script() -> None:
    value = {"<!--": [HOSTILE, "\u2029 ]]> é 😀", None, 1.5]}
    text = safe_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")
    with pytest.raises(ValueError, match="JSON"):
        safe_json(math.inf)


def test_policy_without_scripts_allows_none() -> None:
    assert "script-src 'none'; style-src 'sha256-" in csp(styles=["p { margin: 0 }"])
