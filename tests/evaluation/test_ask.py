"""Examples and two systems' topics in, a blind form out."""

import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from topicgen.errors import UsageError, UserError
from topicgen.evaluation.ask import Form, build_form
from topicgen.outputs import Output
from topicgen.records import Example

pytest.importorskip("jinja2", reason="needs the extra 'evaluate'")

NAMES = ("Zephyr-7b", "Quokka/large")
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "a \u202egnp.exe\u202c b",
    "line\u2028separator\u2029paragraph",
    "\ud800 lone",
    "&lt;b&gt; &amp;",
)


def examples(count: int) -> list[Example]:
    return [Example(f"d{i}", f"Text number {i}.") for i in range(count)]


def topics(count: int) -> dict[str, list[str]]:
    return {NAMES[0]: [f"left {i}" for i in range(count)], NAMES[1]: [f"right {i}" for i in range(count)]}


def form(count: int = 8, ask: int = 5, seed: int = 1) -> Form:
    return build_form(examples(count), topics(count), ask, seed)


class Scripts(HTMLParser):
    """Collects the script elements as a browser finds them: attributes and content."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[dict[str, str | None], str]] = []
        self.outside = ""
        self._open: dict[str, str | None] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = dict(attrs) if tag == "script" else None
        if self._open is not None:
            self.found.append((self._open, ""))

    def handle_data(self, data: str) -> None:
        if self._open is None:
            self.outside += data
        else:
            attributes, content = self.found.pop()
            self.found.append((attributes, content + data))

    def handle_endtag(self, tag: str) -> None:
        self._open = None


def shown(html: str) -> dict[str, Any]:
    """The data that the page reads."""
    (content,) = [content for attributes, content in Scripts(html).found if attributes.get("id") == "data"]
    return json.loads(content)


def test_form_does_not_name_the_systems_anywhere() -> None:
    made = form()
    for name in NAMES:
        assert name in made.key
        assert name.lower() not in made.html.lower()
    assert {len(question) for question in shown(made.html)["questions"]} == {3}
    assert set(shown(made.html)) == {"form", "questions"}


def test_form_depends_on_what_is_shown_and_not_on_the_names() -> None:
    renamed = dict(zip(("one", "two"), topics(8).values(), strict=True))
    assert build_form(examples(8), renamed, 5, 1).html == form().html
    assert form().fingerprint == shown(form().html)["form"] == json.loads(form().key)["form"]
    other = {**topics(8), NAMES[0]: [f"else {i}" for i in range(8)]}
    assert build_form(examples(8), other, 5, 1).fingerprint != form().fingerprint


def test_same_seed_gives_the_same_bytes_and_another_seed_another_form() -> None:
    assert form(seed=1) == form(seed=1)
    assert form(seed=1).html != form(seed=2).html


def test_key_says_which_side_each_system_wrote() -> None:
    made = form(40, 40)
    key = json.loads(made.key)
    assert key["systems"] == list(NAMES)
    wrote = topics(40)
    for question in shown(made.html)["questions"]:
        sides = key["questions"][question["id"]]
        index = int(sides["document"].removeprefix("d"))
        assert question["text"] == f"Text number {index}."
        assert question["topics"] == [wrote[sides["1"]][index], wrote[sides["2"]][index]]


def test_documents_and_sides_are_shuffled() -> None:
    key = json.loads(form(60, 60).key)["questions"]
    documents = [sides["document"] for sides in key.values()]
    assert sorted(documents) == sorted(f"d{i}" for i in range(60))
    assert documents != [f"d{i}" for i in range(60)]
    left = sum(sides["1"] == NAMES[0] for sides in key.values())
    assert 15 < left < 45
    positions = {sides["document"]: sides["1"] for sides in json.loads(form(60, 60, seed=2).key)["questions"].values()}
    assert positions != {sides["document"]: sides["1"] for sides in key.values()}


def test_as_many_documents_are_drawn_as_asked_for_or_as_there_are() -> None:
    assert form(8, 5).questions == len(shown(form(8, 5).html)["questions"]) == 5
    assert form(8, 500).questions == 8


def test_equal_topics_and_empty_texts_are_left_out_and_counted() -> None:
    given = [Example("a", "Text."), Example("b", "Text."), Example("c", " \n"), Example("d", "Text.")]
    wrote = {"x": ["Solar Cells", "STRASSE", "one", "left"], "y": [" solar  cells", "straße", "two", "right"]}
    made = build_form(given, wrote, 10, 0)
    assert (made.questions, made.same, made.empty) == (1, 2, 1)
    assert json.loads(made.key)["questions"]["1"]["document"] == "d"
    assert json.loads(made.key)["same"] == 2


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_is_data_and_nothing_else(hostile: str) -> None:
    made = build_form([Example("a", f"Text {hostile}")], {"x": [hostile], "y": ["plain"]}, 1, 0)
    (question,) = shown(made.html)["questions"]
    assert sorted(question["topics"]) == sorted([hostile, "plain"])
    assert question["text"] == f"Text {hostile}"
    assert len(Scripts(made.html).found) == 2
    assert Scripts(made.html).outside == Scripts(form(1, 1).html).outside
    assert made.html.encode().decode() == made.html


def test_policy_allows_this_script_and_style_alone() -> None:
    html = form().html
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src &#39;none&#39;;")
    assert policy.count("sha256-") == 2
    assert "unsafe" not in policy
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(", html)


@pytest.mark.parametrize(
    ("given", "wrote", "count", "error", "says"),
    [
        (examples(1), {"x": ["a"]}, 1, UsageError, "two systems by different names, not 1"),
        (examples(1), {"x": ["a"], "y": ["b"], "z": ["c"]}, 1, UsageError, "not 3"),
        (examples(1), {"x": ["a"], "y": ["b"]}, 0, UsageError, "1 or more"),
        (examples(2), {"x": ["a", "b"], "y": ["A", "b"]}, 1, UserError, "of 2 documents, 0 have no text and 2 got"),
        ([], {"x": [], "y": []}, 1, UserError, "of 0 documents"),
        (examples(2), {"x": ["a"], "y": ["b"]}, 1, ValueError, "zip"),
    ],
)
def test_form_that_cannot_be_made_is_refused(
    given: Sequence[Example], wrote: Mapping[str, Sequence[str]], count: int, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        build_form(given, wrote, count, 0)


def test_form_and_key_are_saved_beside_each_other(tmp_path: Path) -> None:
    made = form()
    key = made.save(str(tmp_path / "form.html"))
    assert key == tmp_path / "key.json"
    assert key.read_text(encoding="utf-8") == made.key
    assert (tmp_path / "form.html").read_text(encoding="utf-8") == made.html


@pytest.mark.parametrize("taken", ["form.html", "key.json"])
def test_saving_replaces_nothing_without_force(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(UserError, match=rf"{taken}: exists already; use --force"):
        form().save(str(tmp_path / "form.html"))
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "mine"
    form().save(str(tmp_path / "form.html"), force=True)
    assert (tmp_path / taken).read_text() != "mine"


def test_failure_while_writing_leaves_neither_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(output: Output, text: str) -> int:
        if output.name.endswith(".html"):
            raise UserError("disk full")
        return output.stream.write(text)

    monkeypatch.setattr(Output, "write", fail)
    with pytest.raises(UserError, match="disk full"):
        form().save(str(tmp_path / "form.html"))
    assert list(tmp_path.iterdir()) == []


def test_form_must_not_take_the_name_of_its_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose another name"):
        form().save(str(tmp_path / "key.json"))
    assert list(tmp_path.iterdir()) == []
