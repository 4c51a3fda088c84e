"""The page of themes in a browser, opened from a file; the fixture ``page`` fails on network and console errors."""

import csv
import io
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contrast import CONTRAST
from effort import in_torture_only
from themes.folders import HOSTILE, make_folder

from topicgen.themes.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "themes", 300, themes=6)


@pytest.fixture
def opened(page: Any, folder: Path) -> Any:
    return open_page(page, folder)


def open_page(page: Any, folder: Path) -> Any:
    page.goto(write_report(folder).as_uri())
    drawn(page)
    return page


def drawn(page: Any) -> None:
    """Waits for the next picture of the map."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def until(page: Any, condition: str) -> None:
    """Waits for a condition of the page, whose policy forbids Playwright's own way of waiting for one."""
    look = f"const look = () => ({condition}) ? done() : requestAnimationFrame(look); look();"
    page.evaluate(f"() => new Promise((done) => {{ {look} }})")


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "documents.parquet").to_pylist()
    return found


def texts(page: Any, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(selector).all_text_contents()]


def status(page: Any) -> str:
    return str(page.locator("#status").text_content())


def theme_button(page: Any, name: str) -> Any:
    return page.locator("#legend > li > button", has_text=name)


def of_theme(folder: Path, theme: str) -> list[dict[str, Any]]:
    return [row for row in rows(folder) if row["theme"] == theme]


def test_page_opens_with_map_boxes_trends_and_documents(opened: Any) -> None:
    assert opened.title() == "6 themes in 300 documents"
    assert status(opened) == "300 documents, all shown"
    assert opened.locator("#legend > li").count() == 6
    assert opened.locator("#boxes .level1:visible").count() == 6
    assert opened.locator("#cards article:visible").count() == 6
    assert opened.locator("#table tbody tr").count() == 25
    assert opened.locator("#names .level1:visible").count() == 6
    colours = opened.evaluate("""() => {
        const canvas = document.getElementById("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    }""")
    assert colours > 6


def test_names_on_the_map_do_not_overlap(page: Any, tmp_path: Path) -> None:
    open_page(page, make_folder(tmp_path / "many", 2000, themes=40))
    for width in (1100, 400):
        page.set_viewport_size({"width": width, "height": 850})
        drawn(page)
        boxes = [name.bounding_box() for name in page.locator("#names button:visible").all()]
        assert len(boxes) > 8
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                beside = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
                assert beside or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]


@pytest.mark.parametrize("where", ["#legend > li > button", "#boxes .level1", "#cards button", "#names .level1"])
def test_click_on_a_theme_shows_its_documents_everywhere(opened: Any, folder: Path, where: str) -> None:
    opened.locator(where, has_text="Language models").first.click(position={"x": 12, "y": 8})
    expected = of_theme(folder, "t4")
    assert status(opened) == f"{len(expected)} of 300 documents: Language models"
    assert opened.locator("#theme option:checked").text_content() == f"Language models ({len(expected)})"
    assert set(texts(opened, "#table tbody .of button")) == {"Language models"}
    assert theme_button(opened, "Language models").get_attribute("aria-pressed") == "true"
    opened.get_by_role("button", name="Clear").click()
    assert status(opened) == "300 documents, all shown"


def test_second_click_on_a_theme_shows_everything_again(opened: Any) -> None:
    theme_button(opened, "Language models").click()
    theme_button(opened, "Language models").click()
    assert status(opened) == "300 documents, all shown"


def test_subtheme_is_chosen_in_boxes_legend_and_field(opened: Any, folder: Path) -> None:
    expected = sum(row["subtheme"] == "t4.2" for row in rows(folder))
    told = f"{expected} of 300 documents: Language models · Fine-tuning"
    opened.locator("#boxes .level2", has_text="Fine-tuning").click()
    assert status(opened) == told
    opened.locator("#legend ul button", has_text="Fine-tuning").click()
    assert status(opened).endswith(": Language models")
    opened.get_by_label("Sub-theme").select_option(f"Fine-tuning ({expected})")
    assert status(opened) == told


def test_period_and_search_and_theme_add_up(opened: Any, folder: Path) -> None:
    opened.get_by_label("Period").select_option("2020")
    opened.get_by_label("Search").fill("  FERRY  night ")
    until(opened, "document.getElementById('status').textContent.includes('“')")
    expected = [
        row
        for row in rows(folder)
        if row["date"].year == 2020 and "night" in row["topic"].lower() and "ferry" in row["topic"].lower()
    ]
    assert expected
    assert status(opened) == f"{len(expected)} of 300 documents: 2020 · “FERRY night”".replace("FERRY ", "FERRY  ")
    opened.get_by_label("Search").fill("no such words")
    until(opened, "document.getElementById('status').textContent.startsWith('0 of')")
    assert opened.locator("#download").is_disabled()


def test_click_on_a_period_of_a_trend_shows_its_documents(opened: Any, folder: Path) -> None:
    opened.locator("#cards article", has_text="Language models").locator("rect").nth(6).click()
    expected = [row for row in of_theme(folder, "t4") if row["date"].year == 2020]
    assert status(opened) == f"{len(expected)} of 300 documents: Language models · 2020"


def test_trends_say_their_direction_in_words_rising_first(opened: Any, folder: Path) -> None:
    directions = [text.split()[-1] for text in texts(opened, "#cards .way")]
    assert directions == sorted(directions, key=["rising", "falling", "steady"].index)
    told = opened.locator("#cards").get_by_role("img").first.get_attribute("aria-label")
    assert " in 2014, " in told
    assert "p < 0.001" in " ".join(texts(opened, "#cards .note"))


def test_pointer_over_a_point_shows_its_text_and_click_chooses_its_theme(opened: Any, folder: Path) -> None:
    opened.set_viewport_size({"width": 1100, "height": 1300})
    drawn(opened)
    row = max(rows(folder), key=lambda row: row["x"])
    box = opened.locator("#canvas").bounding_box()
    ys = [found["y"] for found in rows(folder)]
    x = box["x"] + box["width"] * 1.05 / 1.1
    y = box["y"] + box["height"] * (0.05 + (row["y"] - min(ys)) / (max(ys) - min(ys))) / 1.1
    opened.mouse.move(x, y)
    card = opened.locator("#card")
    assert card.is_visible()
    assert row["topic"] in card.text_content()
    assert row["text"][:150] in card.text_content()
    assert f"{row['source']}, {row['position']}" in card.text_content()
    opened.mouse.click(x, y)
    assert status(opened).startswith(f"{len(of_theme(folder, row['theme']))} of 300 ")
    opened.mouse.move(0, 0)
    assert not card.is_visible()


def test_keyboard_goes_from_document_to_document_zooms_and_chooses(opened: Any) -> None:
    opened.locator("#canvas").focus()
    opened.keyboard.press("ArrowRight")
    first = opened.locator("#spoken").text_content()
    assert first
    opened.keyboard.press("ArrowRight")
    assert opened.locator("#spoken").text_content() != first
    assert opened.locator("#card").is_visible()
    opened.keyboard.press("+")
    drawn(opened)
    assert opened.get_by_role("button", name="Zoom out").is_enabled()
    name = opened.locator("#card .of bdi").text_content()
    opened.keyboard.press("Enter")
    assert status(opened).endswith(f": {name}")
    opened.keyboard.press("Escape")
    assert status(opened) == "300 documents, all shown"
    assert opened.get_by_role("button", name="Zoom out").is_disabled()


def test_zoom_brings_names_of_subthemes_and_dragging_moves_them(opened: Any) -> None:
    opened.set_viewport_size({"width": 1100, "height": 1300})
    assert opened.locator("#names .level2:visible").count() == 0
    for _ in range(3):
        opened.get_by_role("button", name="Zoom in").click()
    drawn(opened)
    name = opened.locator("#names button:visible").first
    before = name.bounding_box()
    assert opened.locator("#names .level2:visible").count() > 0
    box = opened.locator("#canvas").bounding_box()
    start = (box["x"] + 20, box["y"] + box["height"] - 20)
    opened.mouse.move(*start)
    opened.mouse.down()
    opened.mouse.move(start[0] + 30, start[1] - 40, steps=4)
    opened.mouse.up()
    drawn(opened)
    assert name.bounding_box() != before
    assert status(opened) == "300 documents, all shown", "a drag is no click"


def test_wheel_scrolls_the_page_and_zooms_with_ctrl(opened: Any) -> None:
    box = opened.locator("#canvas").bounding_box()
    opened.mouse.move(box["x"] + 200, box["y"] + 200)
    opened.mouse.wheel(0, 100)
    until(opened, "scrollY > 0")
    assert opened.locator("#farther").is_disabled()
    opened.keyboard.down("Control")
    opened.mouse.wheel(0, -100)
    until(opened, "!document.getElementById('farther').disabled")
    opened.keyboard.up("Control")


@pytest.mark.parametrize("group", ["#legend", "#boxes"])
def test_a_group_of_buttons_is_one_tab_stop_with_arrows_inside(opened: Any, group: str) -> None:
    assert opened.locator(f"{group} button[tabindex='0']").count() == 1
    opened.locator(f"{group} button[tabindex='0']").focus()
    opened.keyboard.press("End")
    opened.keyboard.press("ArrowUp")
    opened.keyboard.press("ArrowDown")
    assert opened.locator(f"{group} button[tabindex='0']").count() == 1
    focused = opened.evaluate("document.activeElement.querySelector('.label').textContent")
    opened.keyboard.press("Enter")
    assert focused in status(opened)


def test_table_sorts_by_its_headers_and_turns_pages(opened: Any, folder: Path) -> None:
    fits = [float(text) for text in texts(opened, "#table tbody .number")]
    assert fits == sorted(fits, reverse=True)
    header = opened.get_by_role("columnheader", name="Date")
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    days = sorted(row["date"].isoformat() for row in rows(folder))
    assert texts(opened, "#table tbody .when") == days[:25]
    opened.get_by_role("button", name="Next").click()
    assert texts(opened, "#table tbody .when") == days[25:50]
    opened.get_by_role("button", name="Last page").click()
    assert texts(opened, "#table tbody .when") == days[275:]
    assert opened.get_by_role("button", name="Next").is_disabled()
    opened.locator("#page").fill("3")
    opened.locator("#page").press("Enter")
    assert texts(opened, "#table tbody .when") == days[50:75]
    header.get_by_role("button").press("Enter")
    assert texts(opened, "#table tbody .when") == days[::-1][:25]


def test_only_addresses_of_the_web_become_links(page: Any, folder: Path) -> None:
    table = pq.read_table(folder / "documents.parquet").to_pylist()
    table[0] |= {"source": "https://example.org/a?b", "score": 1.0}
    table[1] |= {"source": "javascript:alert(1)//https://", "score": 1.0}
    schema = pq.read_schema(folder / "documents.parquet")
    pq.write_table(pa.Table.from_pylist(table, schema), folder / "documents.parquet")
    open_page(page, folder)
    links = page.locator("#table a")
    assert [link.get_attribute("href") for link in links.all()] == ["https://example.org/a?b"]
    assert "noreferrer" in links.first.get_attribute("rel")


def exported(page: Any) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert download.value.suggested_filename == "documents.csv"
    content = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(content, newline="")))


def test_export_has_the_selection_and_no_formulas(page: Any, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "wild", 80, themes=4, hostile=True)
    open_page(page, folder).locator("#theme").select_option(index=1)
    found = exported(page)
    expected = of_theme(folder, "t1")
    assert len(found) == len(expected)
    by_id = {row["id"]: row for row in found}
    assert "'=cmd()" in by_id
    assert by_id["'=cmd()"]["topic"] == HOSTILE
    plain = next(row for row in expected if row["id"] != "=cmd()")
    row = by_id[plain["id"]]
    assert (row["topic"], row["theme_id"], row["subtheme_id"]) == (plain["topic"], "t1", plain["subtheme"])
    assert (row["date"], row["source"]) == (plain["date"].isoformat(), plain["source"])
    assert row["position"] == str(plain["position"])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "＝"])
def test_every_start_of_a_formula_is_escaped_in_the_export(opened: Any, start: str) -> None:
    assert opened.evaluate("(text) => csvCell(text)", f"{start}A1") == f"'{start}A1"
    assert opened.evaluate("[csvCell(-0.5), csvCell('-1e3'), csvCell('+7')]") == ["-0.5", "-1e3", "+7"]


def test_hostile_texts_are_shown_as_they_are(page: Any, tmp_path: Path) -> None:
    open_page(page, make_folder(tmp_path / "wild", 80, themes=4, hostile=True))
    page.get_by_label("Search").fill("onerror")
    until(page, "document.getElementById('status').textContent.startsWith('1 of')")
    assert page.title() == "4 themes in 80 documents"
    assert page.locator("img").count() == 0
    shown = page.locator("#table tbody .topic, #table tbody .text, #table tbody .of button bdi, #legend .label")
    assert shown.all_text_contents().count(HOSTILE) >= 4
    for box in page.locator("#table tbody .topic, #table tbody .text, bdi").all():
        assert box.evaluate("box => getComputedStyle(box).unicodeBidi") == "isolate"
        assert box.evaluate("box => box.childElementCount") == 0
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#card .topic").text_content().strip() == HOSTILE


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("hostile", [False, True])
def test_narrow_page_does_not_scroll_sideways(page: Any, tmp_path: Path, scheme: str, hostile: bool) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme=scheme)
    open_page(page, make_folder(tmp_path / "t", 120, themes=12, hostile=hostile))
    page.locator("#theme").select_option(index=1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(page: Any, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    open_page(page, make_folder(tmp_path / "t", 120, themes=12))
    page.mouse.move(0, 0)
    found = page.locator("h1, h2, .lead, .facts dt, .label, .amount, .way, .note, #status, #table td").evaluate_all(
        f"(boxes) => boxes.filter((box) => box.checkVisibility()).map((box) => [({CONTRAST})(box), box.outerHTML])"
    )
    assert len(found) > 50
    # WCAG 2.2, success criterion 1.4.3
    assert [box for contrast, box in found if contrast < 4.5] == []


def test_policy_stops_scripts_that_the_page_did_not_bring(opened: Any, console_errors: list[str]) -> None:
    with opened.expect_console_message(lambda message: "Content Security Policy" in message.text):
        opened.evaluate("""() => {
            const script = document.createElement("script");
            script.textContent = "window.owned = true";
            document.body.append(script);
        }""")
    assert opened.evaluate("window.owned") is None
    console_errors.clear()


@pytest.mark.parametrize("documents", [0, 1, 5])
def test_very_small_collections_open(page: Any, tmp_path: Path, documents: int) -> None:
    open_page(page, make_folder(tmp_path / "t", documents, themes=1, dates=documents > 0))
    assert page.locator("#table tbody tr").count() == documents
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#card").is_visible() == (documents > 0)


@pytest.mark.torture
@in_torture_only
def test_hundred_thousand_documents_open_and_answer_quickly(page: Any, tmp_path: Path) -> None:
    report = write_report(make_folder(tmp_path / "large", 100_000, themes=18))
    assert report.stat().st_size < 40_000_000
    began = time.perf_counter()
    page.goto(report.as_uri())
    drawn(page)
    assert time.perf_counter() - began < 8
    assert status(page) == "100,000 documents, all shown"

    def seconds(script: str) -> float:
        timed = f"const began = performance.now(); {script}; return performance.now() - began"
        return float(page.evaluate(f"() => {{ {timed} }}")) / 1000

    assert seconds("document.querySelectorAll('#legend > li > button')[3].click()") < 1
    assert seconds("document.querySelector('[data-key=topic]').click()") < 2
    began = time.perf_counter()
    page.get_by_label("Search").fill("night ferry")
    until(page, "document.getElementById('status').textContent.includes('“')")
    assert time.perf_counter() - began < 3
    began = time.perf_counter()
    for _ in range(5):
        page.locator("#closer").click()
        drawn(page)
    assert time.perf_counter() - began < 5
