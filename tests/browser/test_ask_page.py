"""The form in a real browser: answered by keyboard, saved, read back."""

import json
from pathlib import Path
from typing import Any

import pytest

from topicgen.evaluation.answers import read_answers
from topicgen.evaluation.ask import build_form
from topicgen.records import Example

pytestmark = pytest.mark.browser

TEXTS = [
    "The council voted on Tuesday to close the old bridge to cars. Cyclists and people on foot may still use it.",
    "A perovskite layer on top of a silicon cell takes up light that silicon alone would waste as heat.\n\n" * 12,
    "שלום עולם. זהו טקסט קצר על מזג האוויר בחיפה.",
    "Hostile: </script><script>document.title = 'owned'</script><img src=https://example.org/x onerror=alert(1)>",
    "Direction: \u202egnp.exe stays in its box, as do words like " + "w" * 300,
]
LEFT = [
    "Closing a bridge to cars",
    "Tandem solar cells",
    "מזג האוויר בחיפה",
    "<b>Markup</b> in a topic",
    "\u202eReversed",
]
RIGHT = ["Bridges", "Solar energy and how perovskite is used on silicon", "Weather", "&lt;Escapes&gt;", ""]
QUESTIONS = len(TEXTS)


@pytest.fixture
def form(tmp_path: Path) -> Path:
    examples = [Example(f"d{i}", text) for i, text in enumerate(TEXTS)]
    build_form(examples, {"ours": LEFT, "theirs": RIGHT}, QUESTIONS, 4).save(str(tmp_path / "form.html"))
    return tmp_path / "form.html"


@pytest.fixture
def opened(page: Any, form: Path) -> Any:
    page.goto(form.as_uri())
    return page


def progress(page: Any) -> str:
    return page.locator("#progress").inner_text()


def save(page: Any, path: Path) -> dict[str, Any]:
    with page.expect_download() as caught:
        page.get_by_role("button", name="Save answers").click()
    caught.value.save_as(path / caught.value.suggested_filename)
    return json.loads((path / caught.value.suggested_filename).read_text(encoding="utf-8"))


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def pressed(page: Any) -> list[str]:
    return [button.get_attribute("data-answer") for button in page.locator("[aria-pressed=true]").all()]


def test_form_is_answered_by_keyboard_saved_and_read_back(opened: Any, form: Path, tmp_path: Path) -> None:
    opened.get_by_label("Your name").fill("Zoë 12")
    opened.locator("h1").click()
    press(opened, "1", "2", "0")
    assert progress(opened) == f"Question 4 of {QUESTIONS}, 3 answered"
    press(opened, "ArrowLeft", "Backspace")
    assert progress(opened) == f"Question 2 of {QUESTIONS}, 3 answered"
    assert pressed(opened) == ["2"]
    press(opened, "1", "ArrowRight", "2", "t")
    assert progress(opened) == f"All {QUESTIONS} questions answered"
    saved = save(opened, tmp_path)
    assert saved["answers"] == {"1": "1", "2": "1", "3": "tie", "4": "2", "5": "tie"}
    assert (tmp_path / "answers-Zoë-12.json").exists()
    sides = json.loads((tmp_path / "key.json").read_text(encoding="utf-8"))["questions"]
    read = read_answers(tmp_path / "key.json", [tmp_path / "answers-Zoë-12.json"])
    assert read.scores == {
        "Zoë 12": {
            number: 0.5 if answer == "tie" else float(sides[number][answer] == "ours")
            for number, answer in saved["answers"].items()
        }
    }


def test_buttons_answer_as_keys_do(opened: Any, tmp_path: Path) -> None:
    opened.get_by_role("button", name="0 Tie").click()
    opened.locator("[data-answer='2']").click()
    opened.locator("[data-answer='1']").focus()
    press(opened, "Enter")
    opened.get_by_role("button", name="Back").click()
    opened.get_by_role("button", name="Forward").click()
    saved = save(opened, tmp_path)
    assert saved["answers"] == {"1": "tie", "2": "2", "3": "1"}
    assert "Saved 3 of 5 answers" in opened.locator("#note").inner_text()


def test_nameless_annotators_get_different_names(opened: Any, form: Path, tmp_path: Path) -> None:
    press(opened, "1")
    first = save(opened, tmp_path)["annotator"]
    opened.reload()
    assert save(opened, tmp_path)["annotator"] == first
    opened.on("dialog", lambda dialog: dialog.accept())
    opened.get_by_role("button", name="Start again").click()
    assert progress(opened) == f"Question 1 of {QUESTIONS}, 0 answered"
    press(opened, "2")
    second = save(opened, tmp_path)["annotator"]
    assert first.startswith("anonymous-")
    assert second.startswith("anonymous-")
    assert first != second


def test_answers_outlive_the_page(opened: Any) -> None:
    opened.get_by_label("Your name").fill("Anna")
    opened.locator("h1").click()
    press(opened, "1", "2")
    opened.reload()
    assert progress(opened) == f"Question 3 of {QUESTIONS}, 2 answered"
    assert opened.get_by_label("Your name").input_value() == "Anna"
    press(opened, "ArrowLeft")
    assert pressed(opened) == ["2"]


@pytest.mark.parametrize("kept", ["{", "null", '{"answers": {"1": "9", "x": "1"}, "name": 7, "alias": "<b>"}'])
def test_damaged_memory_is_passed_over(opened: Any, kept: str) -> None:
    opened.evaluate("kept => localStorage.setItem(shelf, kept)", kept)
    opened.reload()
    assert progress(opened) == f"Question 1 of {QUESTIONS}, 0 answered"


def test_form_works_where_the_browser_keeps_nothing(page: Any, form: Path, tmp_path: Path) -> None:
    page.add_init_script("""Object.defineProperty(window, "localStorage", {
        get() { throw new DOMException("denied", "SecurityError"); }
    })""")
    page.goto(form.as_uri())
    press(page, "1")
    assert "cannot keep your answers" in page.locator("#note").inner_text()
    assert save(page, tmp_path)["answers"] == {"1": "1"}


def test_keys_in_the_name_answer_nothing(opened: Any) -> None:
    opened.get_by_label("Your name").press_sequentially("t10 2")
    press(opened, "Backspace", "ArrowLeft")
    assert progress(opened) == f"Question 1 of {QUESTIONS}, 0 answered"
    assert opened.get_by_label("Your name").input_value() == "t10 "


def test_held_key_and_shortcuts_answer_at_most_once(opened: Any) -> None:
    for _ in range(3):
        opened.keyboard.down("1")
    opened.keyboard.up("1")
    press(opened, "Control+2", "Alt+2")
    assert progress(opened) == f"Question 2 of {QUESTIONS}, 1 answered"


def test_question_cannot_be_passed_without_an_answer(opened: Any) -> None:
    press(opened, "ArrowRight", "ArrowLeft")
    assert progress(opened) == f"Question 1 of {QUESTIONS}, 0 answered"
    assert opened.get_by_role("button", name="Forward").is_disabled()
    assert opened.get_by_role("button", name="Save answers").is_disabled()


def test_hostile_text_is_shown_as_it_is_and_stays_in_its_box(opened: Any) -> None:
    texts, topics = [], []
    for _ in range(QUESTIONS):
        texts.append(opened.locator("#text").evaluate("box => box.textContent"))
        topics += [topic.evaluate("box => box.textContent") for topic in opened.locator("bdi").all()]
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for box in opened.locator("#text, bdi").all():
            assert box.evaluate("box => getComputedStyle(box).unicodeBidi") == "isolate"
            assert box.evaluate("box => box.childElementCount") == 0
        press(opened, "1")
    assert sorted(texts) == sorted(TEXTS)
    assert sorted(topics) == sorted([*LEFT, *(topic or "(no topic)" for topic in RIGHT)])
    assert opened.title() == "Which topic is better?"


def test_policy_stops_scripts_that_the_form_did_not_bring(opened: Any, console_errors: list[str]) -> None:
    with opened.expect_console_message(lambda message: "Content Security Policy" in message.text):
        opened.evaluate("""() => {
            const script = document.createElement("script");
            script.textContent = "window.owned = true";
            document.body.append(script);
        }""")
    assert opened.evaluate("window.owned") is None
    console_errors.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(opened: Any, tmp_path: Path, scheme: str) -> None:
    opened.emulate_media(color_scheme=scheme)
    opened.screenshot(path=tmp_path / f"{scheme}.png")
    contrast = """box => {
        const light = (color) => {
            const parts = color.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
            const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        let behind = box;
        while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
        const style = getComputedStyle(box);
        const pair = [light(style.color), light(getComputedStyle(behind).backgroundColor)];
        const [dim, bright] = pair.sort((a, b) => a - b);
        return (bright + 0.05) / (dim + 0.05);
    }"""
    for box in opened.locator("h1, h2:visible, #progress, #text, bdi, kbd:visible, .tie, #back, footer label").all():
        # WCAG 2.2, success criterion 1.4.3; controls that are off are exempt.
        assert box.evaluate(contrast) >= 4.5
