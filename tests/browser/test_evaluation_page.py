"""The evaluation page in a browser, opened from a file; the fixture ``page`` fails on network and console errors."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from evaluations import Made, made

from topicgen.evaluation.page import render_page

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\"> \u202eabc"


@pytest.fixture
def data() -> Made:
    return made(60)


@pytest.fixture
def opened(page: Any, data: Made, tmp_path: Path) -> Any:
    """The page of ``data`` as it is; tests that change it first call ``open_page`` instead."""
    return open_page(page, data, tmp_path)


def open_page(page: Any, data: Made, folder: Path) -> Any:
    path = folder / "evaluation.html"
    path.write_text(render_page(data.evaluation, data.documents, data.answers), encoding="utf-8")
    page.goto(path.as_uri())
    return page


def texts(page: Any, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(selector).all_text_contents()]


def ids(page: Any) -> list[str]:
    return texts(page, "#rows > li .about bdi:first-child")


def scores(page: Any) -> list[float]:
    return [float(text) for text in texts(page, "#rows .chosen td:last-child")]


def status(page: Any) -> str:
    return str(page.locator("#status").text_content())


def test_page_opens_with_tables_charts_and_documents(opened: Any) -> None:
    assert opened.title() == "Evaluation of \u2068labelled.csv\u2069"
    assert opened.get_by_role("table").count() > 5
    assert opened.locator("#intervals circle").count() == 3
    assert opened.locator("#histograms rect").count() == 3 * 20
    assert status(opened) == "Showing 25 of 60 documents; scores are ROUGE-1"


def test_header_sorts_the_systems_and_says_how(opened: Any) -> None:
    names = "#scores tbody th bdi"
    header = opened.locator("#scores").get_by_role("columnheader", name="ROUGE-1")
    header.get_by_role("button").click()
    assert texts(opened, names) == ["larger model", "mini", "first words", "references"]
    assert header.get_attribute("aria-sort") == "descending"
    header.get_by_role("button").press("Enter")
    assert texts(opened, names) == ["first words", "mini", "larger model", "references"], "not measured stays last"
    assert header.get_attribute("aria-sort") == "ascending"
    system = opened.locator("#scores").get_by_role("columnheader", name="System")
    system.get_by_role("button").click()
    assert texts(opened, names) == ["first words", "larger model", "mini", "references"]
    assert header.get_attribute("aria-sort") == "none"


def test_chosen_metric_is_drawn_and_told(opened: Any) -> None:
    opened.locator("#chart-metric").select_option("bleu")
    assert opened.locator("#intervals circle").count() == 3
    assert texts(opened, "#histograms") == ["Measured on the whole collection only, not for each document."]
    opened.locator("#chart-metric").select_option("length")
    told = opened.locator("#histograms").get_by_role("img").first.get_attribute("aria-label")
    assert told.startswith("Length of mini: 60 documents from 1 to ")


def test_orders_put_worst_best_and_most_different_first(opened: Any, data: Made) -> None:
    order = opened.locator("#order")
    assert scores(opened) == sorted(scores(opened))
    order.select_option("best")
    assert scores(opened) == sorted(scores(opened), reverse=True)
    order.select_option("data")
    assert ids(opened) == [document["id"] for document in data.documents[:25]]
    order.select_option("difference")
    opened.get_by_label("Compared with").select_option("first words")
    pairs = zip(data.answers["mini"]["scores"]["rouge1"], data.answers["first words"]["scores"]["rouge1"], strict=True)
    gaps = [abs(round(a, 5) - round(b, 5)) for a, b in pairs]
    assert ids(opened)[:3] == [data.documents[i]["id"] for i in sorted(range(60), key=lambda i: -gaps[i])[:3]]


def test_lowest_value_of_an_error_measure_is_its_best(opened: Any) -> None:
    opened.locator("#metric").select_option(label="Repeated words")
    assert scores(opened) == sorted(scores(opened), reverse=True)


def test_system_without_the_metric_shows_dashes(opened: Any) -> None:
    opened.locator("#system").select_option("larger model")
    opened.locator("#metric").select_option(label="Repeated words")
    assert set(texts(opened, "#rows .chosen td:last-child")) == {"–"}


@pytest.mark.parametrize(
    ("box", "key", "kept"),
    [
        ("Exact matches", "exact", lambda score: score == 1),
        ("Zero score", "rouge1", lambda score: score == 0),
        ("Unsupported words", "supported", lambda score: score < 1),
    ],
)
def test_filters_keep_their_documents_only(opened: Any, data: Made, box: str, key: str, kept: Any) -> None:
    opened.locator("#system").select_option("first words" if key == "rouge1" else "mini")
    opened.locator("#order").select_option("data")
    opened.get_by_label(box).check()
    values = data.answers["first words" if key == "rouge1" else "mini"]["scores"][key]
    expected = [document["id"] for document, value in zip(data.documents, values, strict=True) if kept(value)]
    assert 0 < len(expected) < 25
    assert ids(opened) == expected


def test_category_and_search_reduce_the_rows(opened: Any, data: Made) -> None:
    opened.get_by_label("Category").select_option("news")
    assert status(opened).startswith("Showing 20 of 20 ")
    opened.get_by_label("Search").fill("GLACIERS")
    expected = {d["id"] for d in data.documents if d["category"] == "news" and "glaciers" in d["text"].lower()}
    assert expected
    assert set(ids(opened)) == expected
    opened.get_by_label("Search").fill("no such words anywhere")
    assert status(opened) == "No document fits these filters."
    assert opened.locator("#download").is_disabled()


def test_search_finds_topics_too(page: Any, data: Made, tmp_path: Path) -> None:
    data.add(text="Nothing to see.", first_words="zeppelins over the lake")
    open_page(page, data, tmp_path).get_by_label("Search").fill("Zeppelins")
    assert ids(page) == ["added-60"]


def test_show_more_adds_a_page_until_all_are_there(opened: Any) -> None:
    more = opened.get_by_role("button", name="Show more")
    more.click()
    assert len(ids(opened)) == 50
    assert opened.evaluate("document.activeElement === document.getElementById('rows').children[25]")
    more.click()
    assert len(set(ids(opened))) == 60
    assert not more.is_visible()


def test_long_text_unfolds(opened: Any) -> None:
    fold = opened.locator(".unfold").first
    paragraph = opened.locator(".text.folded").first
    short = paragraph.bounding_box()["height"]
    fold.press("Enter")
    assert fold.get_attribute("aria-expanded") == "true"
    assert (
        opened.locator("#rows > li", has=opened.locator("[aria-expanded=true]"))
        .locator(".text")
        .bounding_box()["height"]
        > short
    )


def test_download_has_the_filtered_rows_and_no_formulas(page: Any, data: Made, tmp_path: Path) -> None:
    data.add(text='=1+1, "quoted"\nsecond line', reference="@mention", mini="-5 degrees", first_words="+1")
    data.add(text="another row")
    open_page(page, data, tmp_path).get_by_label("Search").fill("second line")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "documents.csv"
    content = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(content, newline=""))
    assert row["id"] == "added-60"
    assert row["text"] == '\'=1+1, "quoted"\nsecond line'
    assert row["references"] == "'@mention"
    assert (row["mini topic"], row["first words topic"]) == ("'-5 degrees", "'+1")
    assert (row["mini rouge1"], row["larger model repeated"]) == ("0", "")


def test_hostile_text_appears_literally(page: Any, data: Made, tmp_path: Path) -> None:
    data.evaluation["data"] = HOSTILE
    data.add(text=HOSTILE, reference=HOSTILE, mini=HOSTILE)
    open_page(page, data, tmp_path).get_by_label("Search").fill("onerror")
    assert page.title() != "run"
    assert page.locator("img").count() == 0
    assert page.locator("#rows .text").text_content() == HOSTILE
    assert page.locator("#rows .chosen td").first.text_content() == HOSTILE
    assert page.locator("h1 bdi").text_content() == HOSTILE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_page_does_not_scroll_sideways(page: Any, data: Made, tmp_path: Path, scheme: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme=scheme)
    data.add(text="w" * 500, mini="t" * 300)
    open_page(page, data, tmp_path).locator("#order").select_option("data")
    for _ in range(2):
        page.get_by_role("button", name="Show more").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_every_control_has_a_label(opened: Any) -> None:
    unnamed = opened.evaluate(
        "[...document.querySelectorAll('select, input')].filter((control) => !control.labels.length).length"
    )
    assert unnamed == 0
