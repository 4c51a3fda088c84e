"""The page of ``topicgen serve`` in a real browser, from a real server; it may ask that server only."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from contrast import CONTRAST
from serving.servers import PATIENCE, Server, served
from watching import watched

from topicgen import TopicGenerator

pytestmark = [pytest.mark.browser, pytest.mark.allow_hosts(["127.0.0.1"])]

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
expect = sync_api.expect

EXAMPLES = 40
HOSTILE = "</script><script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\"> \u202eabc"
REVIEWS = """\
nr;review;city
1;The ferry was late again, and nobody told us why. The captain said sorry.;Bergen
2;Solar panels on the roof of the school give power to the whole street.;=1+1
3;The bakery sells bread of rye and wheat, baked every morning in an oven of stone.;-5
4;too;many;fields
5;;Oslo
"""


@pytest.fixture(scope="module")
def server(generator: TopicGenerator) -> Iterator[Server]:
    with served() as running:
        yield running


@pytest.fixture
def page(browser: Any, server: Server, console_errors: list[str]) -> Iterator[Any]:
    """The page, open; the test fails when it asks anything but its server or reports an error on its console."""
    with watched(browser.new_context(viewport={"width": 1100, "height": 850}), console_errors, server.url) as page:
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        page.goto(server.url)
        expect(page.locator("#model option")).to_have_text(["mini"])
        yield page


def choose(page: Any, name: str, content: str | bytes) -> None:
    buffer = content.encode() if isinstance(content, str) else content
    page.set_input_files("#chosen-file", {"name": name, "mimeType": "", "buffer": buffer})


def drop(page: Any, name: str, content: str) -> None:
    page.locator("#text").evaluate(
        """(target, [name, content]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([content], name));
            for (const type of ["dragenter", "dragover", "drop"]) {
                target.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }""",
        [name, content],
    )


def write(page: Any, texts: str | None = None) -> None:
    if texts is not None:
        page.get_by_label("Texts", exact=True).fill(texts)
    page.get_by_role("button", name="Write topics").click()


def progress(page: Any) -> Any:
    return page.locator("#progress")


def wait_until_written(page: Any, number: int) -> None:
    expect(progress(page)).to_contain_text(f"{number} topic{'s' if number != 1 else ''} written")


def topics(page: Any) -> list[str]:
    found: list[str] = page.locator("#table tbody .topic bdi").all_text_contents()
    return found


def download(page: Any, kind: str, folder: Path) -> Path:
    with page.expect_download() as caught:
        page.get_by_role("group", name="Download").get_by_role("button", name=kind).click()
    path = folder / caught.value.suggested_filename
    caught.value.save_as(path)
    return path


def csv_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def test_example_becomes_topics_themes_and_files(page: Any, tmp_path: Path) -> None:
    page.get_by_role("button", name="Try an example").click()
    wait_until_written(page, EXAMPLES)
    assert len(topics(page)) == 25
    expect(page.get_by_role("button", name="Group into themes")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Themes")).to_be_focused()
    names = page.locator("#legend > li > button .label").all_text_contents()
    assert len(names) > 3
    assert page.locator("#names .level1:visible").count() > 3
    assert sum(int(text) for text in page.locator("#legend > li > button > .amount").all_text_contents()) == EXAMPLES

    page.locator("#legend > li > button").first.click()
    size = page.locator("#table tbody tr").count()
    expect(page.locator("#status")).to_have_text(f"{size} of {EXAMPLES} topics: {names[0]}")
    saved = csv_rows(download(page, "CSV", tmp_path))
    assert [row["theme"] for row in saved] == [names[0]] * size

    page.get_by_role("button", name="Clear").click()
    lines = [json.loads(line) for line in download(page, "JSON lines", tmp_path).read_text("utf-8").splitlines()]
    table = pq.read_table(download(page, "Parquet", tmp_path)).to_pylist()
    assert len(lines) == EXAMPLES
    assert list(lines[0]) == ["id", "topic", "score", "status", "source", "position", "theme", "subtheme", "text"]
    assert table == lines
    assert [line["topic"] for line in lines[:25]] == topics(page)
    assert {line["theme"] for line in lines} == set(names)


def test_dropped_table_is_read_with_the_chosen_column_and_keeps_the_others(
    page: Any, tmp_path: Path, generator: TopicGenerator
) -> None:
    drop(page, "reviews.csv", REVIEWS)
    expect(page.locator("#file-name")).to_have_text("reviews.csv")
    expect(page.locator("#preview th")).to_have_text(["nr", "review", "city"])
    assert page.get_by_label("Separator").input_value() == ";"
    assert page.get_by_label("Text column").input_value() == "review"
    page.get_by_label("Text column").select_option("city")
    assert page.locator("#preview .chosen-column").all_text_contents() == ["city", "Bergen", "=1+1", "-5"]
    page.get_by_label("Text column").select_option("review")
    page.get_by_label("Id column").select_option("nr")
    write(page)
    wait_until_written(page, 4)
    expect(page.locator("#problems summary")).to_have_text("rows left out: 1")
    assert "reviews.csv:5" in page.locator("#problems li").first.text_content()
    texts = [row["review"] for row in csv.DictReader(io.StringIO(REVIEWS), delimiter=";")]
    expected = generator.generate(texts[:3])
    assert topics(page) == [*(topic.topic for topic in expected), "–"]
    page.get_by_label("Status").select_option("empty")
    expect(page.locator("#table tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    found = csv_rows(download(page, "CSV", tmp_path))
    assert [row["id"] for row in found] == ["1", "2", "3", "5"]
    assert [row["city"] for row in found] == ["Bergen", "'=1+1", "-5", "Oslo"]
    assert [row["city"] for row in pq.read_table(download(page, "Parquet", tmp_path)).to_pylist()][1] == "=1+1"


def test_json_lines_without_a_usual_column_ask_for_it(page: Any) -> None:
    choose(page, "notes.jsonl", '{"a": "Bees make honey.", "b": "Trains run at night."}\n')
    expect(page.locator("#preview td")).to_have_text(["Bees make honey.", "Trains run at night."])
    write(page)
    expect(page.get_by_role("alert")).to_have_text("Choose the column that holds the texts.")
    expect(page.get_by_label("Text column")).to_be_focused()
    page.get_by_label("Text column").select_option("b")
    write(page)
    wait_until_written(page, 1)


def test_search_and_headers_select_and_sort(page: Any) -> None:
    write(page, "Bees make honey in June.\n\nNight trains are full in June.\n\nThe baker sells bread of rye.")
    wait_until_written(page, 3)
    page.get_by_label("Search").fill("june NIGHT")
    expect(page.locator("#status")).to_have_text("1 of 3 topics")
    assert page.locator("#table tbody .text").all_text_contents() == ["Night trains are full in June."]
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#table tbody tr")).to_have_count(3)
    page.get_by_role("columnheader", name="Score").get_by_role("button").press("Enter")
    scores = [float(text) for text in page.locator("#table tbody .number").all_text_contents()]
    assert scores == sorted(scores, reverse=True)
    assert page.get_by_role("columnheader", name="Score").get_attribute("aria-sort") == "descending"


def test_stopped_run_keeps_its_topics_and_goes_on(page: Any, tmp_path: Path) -> None:
    texts = [f"Ferry number {number} crosses the fjord with {number + 2} cars on board." for number in range(900)]
    write(page, "\n\n".join(texts))
    expect(page.locator("#table tbody tr").first).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(progress(page)).to_contain_text("Stopped: ")
    expect(page.get_by_role("button", name="Continue")).to_be_focused()
    lines = [json.loads(line) for line in download(page, "JSON lines", tmp_path).read_text("utf-8").splitlines()]
    assert 0 < len(lines) < len(texts)
    assert [line["text"] for line in lines] == texts[: len(lines)]
    page.get_by_role("button", name="Continue").click()
    wait_until_written(page, len(texts))
    after = [json.loads(line) for line in download(page, "JSON lines", tmp_path).read_text("utf-8").splitlines()]
    assert after[: len(lines)] == lines
    assert [line["text"] for line in after] == texts


def test_run_waits_for_a_server_that_is_gone_and_goes_on(page: Any, console_errors: list[str]) -> None:
    requests: list[str] = []

    def refuse_some(route: Any) -> None:
        requests.append(route.request.url)
        if len(requests) in (2, 3):
            route.abort("connectionrefused")
        else:
            route.continue_()

    page.route("**/v1/topics*", refuse_some)
    write(page, "\n\n".join(f"Ferry number {number} crosses the fjord." for number in range(60)))
    expect(progress(page)).to_contain_text("The server cannot be reached")
    wait_until_written(page, 60)
    console_errors.clear()


def test_busy_server_is_asked_again_when_it_says(page: Any, console_errors: list[str]) -> None:
    answer = {"error": {"message": "the queue is full", "code": "overloaded"}}
    page.route(
        "**/v1/topics*", lambda route: route.fulfill(status=503, headers={"Retry-After": "2"}, json=answer), times=1
    )
    write(page, "Bees make honey.")
    expect(progress(page)).to_have_text("The server is busy: the queue is full. Trying again in 2 s.")
    wait_until_written(page, 1)
    console_errors.clear()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.docx", b"PK", "a.docx: unknown file type '.docx'; known are .txt"),
        ("a.csv", "a,review\n1,Caf\xe9\n".encode("latin-1"), "use Encoding latin-1"),
        ("a.parquet", b"PAR1", "cannot be read as Parquet"),
        ("a.csv", b'a,b,a\n1,"x",2\n', "two columns are named 'a'"),
    ],
)
def test_file_that_cannot_be_read_is_told_in_one_line(
    page: Any, console_errors: list[str], name: str, content: bytes, message: str
) -> None:
    choose(page, name, content)
    expect(page.get_by_role("alert")).to_contain_text(message)
    expect(page.get_by_role("button", name="Write topics")).to_be_disabled()
    assert all("422" in error for error in console_errors)
    console_errors.clear()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.get_by_role("button", name="Write topics")).to_be_enabled()


def test_encoding_is_mended_where_it_was_wrong(page: Any, console_errors: list[str]) -> None:
    choose(page, "a.csv", "id,review\n1,Un caf\xe9 sur la place du village.\n".encode("latin-1"))
    expect(page.get_by_role("alert")).to_contain_text("latin-1")
    console_errors.clear()
    page.get_by_label("Encoding").select_option("Latin-1")
    expect(page.locator("#preview td").last).to_have_text("Un caf\xe9 sur la place du village.")
    write(page)
    wait_until_written(page, 1)


def test_nothing_to_read_is_told(page: Any) -> None:
    write(page, "  \n ")
    expect(page.get_by_role("alert")).to_have_text("Paste some text or choose a file first.")
    expect(page.get_by_label("Texts", exact=True)).to_be_focused()


def test_keyboard_alone_is_enough(page: Any) -> None:
    page.keyboard.press("Tab")
    page.keyboard.insert_text("Bees make honey from nectar.\n\nNight trains are returning.\n\nBread is baked of rye.")
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Write topics")).to_be_focused()
    page.keyboard.press("Enter")
    wait_until_written(page, 3)
    expect(page.locator("#told")).to_contain_text("3 topics written")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Themes")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#canvas")).to_be_focused()
    page.keyboard.press("ArrowRight")
    assert page.locator("#spoken").text_content()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text(" of 3 topics: ")
    page.keyboard.press("Escape")
    expect(page.locator("#table tbody tr")).to_have_count(3)


def test_every_control_has_a_name(page: Any) -> None:
    write(page, "Bees make honey from nectar.")
    wait_until_written(page, 1)
    page.get_by_role("button", name="New texts").click()
    controls = page.locator(
        "button:visible, select:visible, input:visible, textarea:visible, progress, [role=region]:visible"
    )
    assert controls.count() > 10
    for control in controls.all():
        expect(control).to_have_accessible_name(re.compile(r"\S"))


def test_hostile_texts_are_shown_as_they_are(page: Any, tmp_path: Path) -> None:
    choose(page, f"{HOSTILE[:40].replace('/', ' ')}.jsonl", json.dumps({"text": HOSTILE, HOSTILE: HOSTILE}) + "\n")
    expect(page.locator("#preview td").first).to_have_text(HOSTILE)
    page.get_by_label("Text column").select_option("text")
    write(page)
    wait_until_written(page, 1)
    assert page.title() == "topicgen"
    assert page.locator("img").count() == 0
    assert page.locator("#table tbody .text").text_content() == HOSTILE
    for box in page.locator("#table tbody bdi, #table tbody .text, #job-name, #preview td, #preview th bdi").all():
        assert box.evaluate("box => getComputedStyle(box).unicodeBidi") == "isolate"
        assert box.evaluate("box => box.childElementCount") == 0
    [row] = [json.loads(line) for line in download(page, "JSON lines", tmp_path).read_text("utf-8").splitlines()]
    assert row["text"] == row[HOSTILE] == HOSTILE


def test_policy_stops_scripts_and_styles_that_the_page_did_not_bring(page: Any, console_errors: list[str]) -> None:
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate("""() => {
            const script = document.createElement("script");
            script.textContent = "window.owned = true";
            document.body.append(script);
            document.body.setAttribute("style", "display: none");
        }""")
    assert page.evaluate("window.owned") is None
    assert page.locator("body").is_visible()
    console_errors.clear()


def test_unsaved_topics_are_not_lost_by_a_new_run_without_asking(page: Any, tmp_path: Path) -> None:
    write(page, "Bees make honey from nectar.")
    wait_until_written(page, 1)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="New texts").click()
    write(page, "Night trains are returning.")
    assert asked == ["1 topic is not saved. Write new ones in their place?"]
    assert page.locator("#table tbody .text").all_text_contents() == ["Bees make honey from nectar."]
    download(page, "CSV", tmp_path)
    write(page)
    expect(page.locator("#table tbody .text")).to_have_text(["Night trains are returning."])
    assert len(asked) == 1


def test_long_text_opens_whole(page: Any) -> None:
    text = "Bees make honey. " * 40
    write(page, text)
    wait_until_written(page, 1)
    page.locator("#table tbody details summary").click()
    expect(page.locator("#table tbody details summary")).to_have_text(text.strip())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_readable_in_light_and_dark_and_narrow(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    choose(page, "reviews.csv", REVIEWS)
    expect(page.locator("#preview td").first).to_be_visible()
    readable(page)
    write(page)
    wait_until_written(page, 4)
    page.get_by_role("button", name="Group into themes").click()
    expect(page.locator("#legend button").first).to_be_visible()
    page.locator("#problems summary").click()
    readable(page)
    page.set_viewport_size({"width": 390, "height": 800})
    page.get_by_role("button", name="New texts").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def readable(page: Any) -> None:
    """WCAG 2.2, success criterion 1.4.3, for all that is shown; what is off is exempt."""
    page.mouse.move(0, 0)
    found = page.locator("h1, h2, p, label, summary, bdi, .note, .badge, td, th, button:enabled, .amount").evaluate_all(
        f"(boxes) => boxes.filter((box) => box.checkVisibility()).map((box) => [({CONTRAST})(box), box.outerHTML])"
    )
    assert len(found) > 15
    assert [box for contrast, box in found if contrast < 4.5] == []


def test_token_opens_the_page_and_nothing_else_does(
    browser: Any, console_errors: list[str], generator: TopicGenerator
) -> None:
    with served(token="correct-horse-battery") as server:
        for password in ("wrong", "correct-horse-battery"):
            credentials = {"username": "me", "password": password}
            with watched(browser.new_context(http_credentials=credentials), console_errors, server.url) as page:
                answer = page.goto(server.url)
                if password == "wrong":
                    assert answer.status == 401
                    console_errors.clear()
                    continue
                write(page, "Bees make honey from nectar.")
                wait_until_written(page, 1)
