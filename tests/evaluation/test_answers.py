"""Saved answers in, win rates and agreement out."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from topicgen.errors import UsageError, UserError
from topicgen.evaluation.answers import Judgements, krippendorff_alpha, read_answers, sign_test, summarise
from topicgen.evaluation.ask import build_form
from topicgen.records import Example

pytest.importorskip("jinja2", reason="needs the extra 'evaluate'")
pytest.importorskip("krippendorff", reason="needs the extra 'evaluate'")

KEY = {
    "form": "f00d",
    "systems": ["ours", "theirs"],
    "same": 3,
    "questions": {
        "1": {"document": "a", "1": "ours", "2": "theirs"},
        "2": {"document": "b", "1": "theirs", "2": "ours"},
        "3": {"document": "c", "1": "ours", "2": "theirs"},
        "4": {"document": "d", "1": "theirs", "2": "ours"},
    },
}
SAVED = {"form": "f00d", "annotator": "Anna", "answers": {"1": "1", "2": "1", "3": "tie", "4": "2"}}


def put(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return put(tmp_path / "key.json", KEY)


def test_answers_are_read_by_the_key(key: Path, tmp_path: Path) -> None:
    other = {**SAVED, "annotator": "Ben", "answers": {"2": "2"}}
    read = read_answers(key, [put(tmp_path / "anna.json", SAVED), put(tmp_path / "ben.json", other)])
    assert read == Judgements(
        ("ours", "theirs"), {"Anna": {"1": 1.0, "2": 0.0, "3": 0.5, "4": 1.0}, "Ben": {"2": 1.0}},
        documents={"1": "a", "2": "b", "3": "c", "4": "d"}, same=3,
    )  # fmt: skip


def test_answers_to_a_built_form_come_back_as_the_systems_that_wrote_the_topics(tmp_path: Path) -> None:
    given = [Example(f"d{i}", "Text.") for i in range(30)]
    form = build_form(given, {"good": ["good"] * 30, "bad": ["bad"] * 30}, 30, 7)
    key = form.save(str(tmp_path / "form.html"))
    page = (tmp_path / "form.html").read_text(encoding="utf-8")
    questions = json.loads(page.split('id="data">')[1].split("</script>")[0])["questions"]
    answers = {question["id"]: str(1 + question["topics"].index("good")) for question in questions}
    assert set(answers.values()) == {"1", "2"}
    saved = {"form": form.fingerprint, "annotator": "Anna", "answers": answers}
    good, bad = summarise(read_answers(key, [put(tmp_path / "saved.json", saved)])).systems
    assert (good.name, good.wins, good.win_rate.mean) == ("good", 30, 1.0)
    assert (bad.name, bad.wins, bad.win_rate.mean) == ("bad", 0, 0.0)


def test_labels_are_what_most_annotators_preferred() -> None:
    judged = Judgements(
        ("ours", "theirs"),
        {"Anna": {"1": 1.0, "2": 0.0, "3": 1.0}, "Ben": {"1": 0.5, "2": 0.0, "3": 0.0}, "Carla": {"1": 0.0, "2": 1.0}},
        documents={"1": "a", "2": "b", "3": "c", "4": "d"},
    )
    assert judged.labels() == {"a": "tie", "b": "theirs", "c": "tie"}


def test_copy_of_a_file_counts_once(key: Path, tmp_path: Path) -> None:
    one, two = put(tmp_path / "one.json", SAVED), put(tmp_path / "two.json", "\ufeff" + json.dumps(SAVED))
    assert read_answers(key, [one, two]) == read_answers(key, [one])


def test_two_different_files_of_one_annotator_are_refused(key: Path, tmp_path: Path) -> None:
    one = put(tmp_path / "one.json", SAVED)
    two = put(tmp_path / "two.json", {**SAVED, "annotator": " Anna ", "answers": {"1": "2"}})
    with pytest.raises(UserError, match=r"two\.json: answers of 'Anna' that differ from .*one\.json"):
        read_answers(key, [one, two])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "broken JSON"),
        ("", "broken JSON"),
        ("[" * 100_000, "broken JSON"),
        ("[1]", r"\[1\]; answers saved by a form needed"),
        ({"form": "f00d", "answers": {}}, "no 'annotator'"),
        ({**SAVED, "form": "beef"}, "answers to form 'beef'; the key is of form 'f00d'"),
        ({**SAVED, "form": ["f00d"] * 99}, r"answers to form \['f00d'.*\.\.\."),
        ({**SAVED, "annotator": 7}, "the annotator is 7"),
        ({**SAVED, "annotator": " "}, "the annotator is ' '"),
        ({**SAVED, "answers": {}}, "the answers are {}; at least one"),
        ({**SAVED, "answers": ["1"]}, r"the answers are \['1'\]"),
        ({**SAVED, "answers": {"9": "1"}}, "question '9'; the form has no such question"),
        ({**SAVED, "answers": {"1\n": "1"}}, r"question '1\\n'; the form"),
        ({**SAVED, "answers": {"1": "3"}}, "question 1 is answered '3'; '1', '2' or 'tie' is needed"),
        ({**SAVED, "answers": {"1": 1}}, "question 1 is answered 1;"),
        ({**SAVED, "answers": {"1": {}}}, "question 1 is answered {};"),
        ({**SAVED, "answers": {"1": float("nan")}}, "question 1 is answered nan;"),
    ],
)
def test_wrong_answers_are_refused_on_one_line_that_names_the_file(
    key: Path, tmp_path: Path, content: Any, says: str
) -> None:
    path = put(tmp_path / "answers.json", content)
    with pytest.raises(UserError, match=says) as caught:
        read_answers(key, [path])
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"systems": ["ours"]}, r"the systems are \['ours'\]"),
        ({"systems": ["ours", "ours"]}, "two different names"),
        ({"systems": [1, 2]}, r"the systems are \[1, 2\]"),
        ({"same": "3"}, "'same' is '3'"),
        ({"questions": []}, r"the questions are \[\]"),
        ({"questions": {"1": {"1": "ours", "2": "ours"}}}, "question '1' is .*; a side for each system"),
        ({"questions": {"1": {"1": "ours"}}}, "a side for each system"),
        ({"questions": {"1": "ours"}}, "a side for each system"),
        ({"questions": {"1": {"1": "ours", "2": "theirs"}}}, "question '1' names no document"),
    ],
)
def test_wrong_key_is_refused(tmp_path: Path, change: Mapping[str, Any], says: str) -> None:
    key = put(tmp_path / "key.json", {**KEY, **change})
    with pytest.raises(UserError, match=says) as caught:
        read_answers(key, [put(tmp_path / "answers.json", SAVED)])
    assert str(caught.value).startswith(f"{key}: ")


def test_files_that_cannot_be_read_are_named(key: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json: cannot be read: No such file"):
        read_answers(key, [tmp_path / "gone.json"])
    (tmp_path / "latin.json").write_bytes('{"form": "é"}'.encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.json: broken JSON"):
        read_answers(key, [tmp_path / "latin.json"])
    with pytest.raises(UserError, match=r"no 'systems'; the key of a form needed"):
        read_answers(put(tmp_path / "form.json", SAVED), [key])
    with pytest.raises(UsageError, match=r"key\.json: .* name the saved answers too"):
        read_answers(key, [])


def test_win_rates_by_hand() -> None:
    judged = Judgements(
        ("ours", "theirs"),
        {"Anna": {"1": 1.0, "2": 1.0, "3": 0.0, "4": 0.5}, "Ben": {"1": 1.0, "2": 0.0, "3": 0.5}, "Carla": {"5": 1.0}},
        same=2,
    )
    summary = summarise(judged, samples=500, seed=3)
    # Means of documents 1 to 5: 1, 0.5, 0.25, 0.5, 1.
    ours, theirs = summary.systems
    assert (ours.wins, ours.ties, theirs.wins, theirs.ties) == (2, 2, 1, 2)
    assert (ours.win_rate.mean, theirs.win_rate.mean) == pytest.approx((3.25 / 5, 1.75 / 5))
    assert (summary.documents, summary.annotators, summary.answers, summary.same) == (5, 3, 8, 2)
    assert summary.sign_test_p == 1.0
    assert ours.win_rate.low < ours.win_rate.mean < ours.win_rate.high
    assert (theirs.win_rate.low, theirs.win_rate.high) == (1 - ours.win_rate.high, 1 - ours.win_rate.low)
    assert summary == summarise(judged, samples=500, seed=3)


def test_summary_does_not_depend_on_the_order_of_the_files() -> None:
    anna, ben = {"1": 1.0, "2": 0.0, "3": 1.0}, {"3": 0.5, "1": 1.0, "2": 1.0}
    forth = Judgements(("x", "y"), {"Anna": anna, "Ben": ben})
    back = Judgements(("x", "y"), {"Ben": ben, "Anna": anna})
    assert summarise(forth) == summarise(back)
    assert list(forth.means()) == list(back.means()) == ["1", "2", "3"]


def test_summary_is_json() -> None:
    summary = summarise(Judgements(("ours", "theirs"), {"Anna": {"1": 1.0}}))
    read = json.loads(json.dumps(summary.as_dict(), allow_nan=False))
    assert read["alpha"] is None
    assert read["systems"][1] == {
        "name": "theirs", "wins": 0, "ties": 0, "win_rate": {"mean": 0.0, "low": 0.0, "high": 0.0}
    }  # fmt: skip


def test_summary_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="no answers"):
        summarise(Judgements(("x", "y"), {"Anna": {}}))


def test_sign_test_by_hand() -> None:
    # P(at most 2 of 10) is (1 + 10 + 45) / 1024, twice that for both sides.
    assert sign_test(8, 2) == sign_test(2, 8) == pytest.approx(112 / 1024)
    assert sign_test(0, 0) == sign_test(1, 0) == sign_test(5, 5) == 1.0
    assert sign_test(0, 6) == 2 / 2**6
    assert 0 < sign_test(2000, 3000) < 1e-40


def test_sign_test_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for wins in range(12):
        for losses in range(1, 12):
            assert sign_test(wins, losses) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)


def test_alpha_agrees_with_the_published_example() -> None:
    # Krippendorff 2011, section C: four observers, twelve units, nominal data with missing values; alpha = 0.743.
    observers = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    read = [{str(i): float(value) for i, value in enumerate(row) if value != "."} for row in observers]
    assert krippendorff_alpha(read) == pytest.approx(0.743, abs=5e-4)


def test_alpha_by_hand() -> None:
    # Two annotators, four questions, one disagreement: values 1 five times, 0 three times; observed disagreement 2 / 8,
    # expected 2 * 5 * 3 / (8 * 7).
    anna, ben = {"1": 1.0, "2": 1.0, "3": 0.0, "4": 1.0}, {"1": 1.0, "2": 1.0, "3": 0.0, "4": 0.0}
    assert krippendorff_alpha([anna, ben]) == pytest.approx(1 - (2 / 8) / (30 / 56))
    assert krippendorff_alpha([anna, anna]) == 1.0
    # A question that only one answered says nothing of agreement.
    assert krippendorff_alpha([{**anna, "5": 0.5}, ben]) == krippendorff_alpha([anna, ben])


@pytest.mark.parametrize(
    "annotators",
    [
        [],
        [{"1": 1.0, "2": 0.0}],
        [{"1": 1.0}, {"2": 0.0}],
        [{"1": 1.0, "2": 1.0}, {"1": 1.0, "2": 1.0}],
        [{"1": 1.0, "2": 0.0}, {"1": 1.0, "3": 0.5}],
    ],
    ids=["nobody", "one annotator", "no shared question", "all the same", "the shared ones all the same"],
)
def test_alpha_is_none_where_it_is_not_defined(annotators: list[dict[str, float]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert krippendorff_alpha(annotators) is None
