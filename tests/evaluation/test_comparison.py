"""Systems side by side."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from topicgen.config import EvaluationSettings
from topicgen.evaluation.comparison import compare
from topicgen.evaluation.output import cell, difference_lines, markdown_table, write_folder
from topicgen.evaluation.systems import System
from topicgen.records import Example

EXAMPLES = [
    Example("a", "Solar cells are cheap.", ("Solar cells",), "On cells", "energy"),
    Example("b", "Glaciers melt in summer.", ("Glacier melt",), None, "ice"),
    Example("c", "Bees <script>alert(1)</script> fly.", ("Bees",), None, "life"),
]
GOOD = System("good", "predictions", ["Solar cells", "Glacier melt", "Bees"])
BAD = System("bad", "predictions", ["Oak", "", "Bees <script>alert(1)</script>"], failed=1)
PARTIAL = System("title", "baseline", ["Solar cells", "", ""], references=[("Solar cells",), (), ()])
ONE: list[tuple[str, ...]] = [("Solar cells",), (), ()]
OTHER: list[tuple[str, ...]] = [(), ("Glacier melt",), ()]
SETTINGS = EvaluationSettings(samples=200)


def test_scores_intervals_and_differences_of_each_system() -> None:
    summary = compare([GOOD, BAD], EXAMPLES, data="rows.csv", settings=SETTINGS).summary
    good, bad = summary["systems"]
    assert good["scores"]["rouge1"] == {"mean": 1, "low": 1, "high": 1}
    assert bad["failed"] == 1
    (pair,) = (p for p in summary["paired"] if p["metric"] == "rouge1")
    assert pair["difference"] == pytest.approx(1 - bad["scores"]["rouge1"]["mean"])
    assert (pair["a"], pair["b"], pair["documents"]) == ("good", "bad", 3)
    assert bad["collection"]["outliers"] == pytest.approx(1 / 3)
    assert summary["bootstrap"] == {"samples": 200, "level": 0.95, "seed": 0}


def test_a_system_for_some_documents_is_compared_on_those() -> None:
    summary = compare([GOOD, PARTIAL], EXAMPLES, data="rows.csv", settings=SETTINGS).summary
    (pair,) = (p for p in summary["paired"] if p["metric"] == "rouge1")
    assert (pair["documents"], pair["difference"]) == (1, 0)
    assert summary["systems"][1]["scores"]["rouge1"]["mean"] == 1
    assert summary["systems"][1]["documents"] == 1
    assert summary["systems"][1]["scores"]["words"]["mean"] == 2
    assert summary["systems"][1]["collection"]["coverage"] == 1


def test_the_same_call_gives_the_same_numbers() -> None:
    one, other = (compare([GOOD, BAD], EXAMPLES, data="x", settings=SETTINGS).summary for _ in range(2))
    assert json.dumps(one) == json.dumps(other)


def test_the_files_hold_what_was_measured(tmp_path: Path) -> None:
    comparison = compare([GOOD, BAD], EXAMPLES, data="rows.csv", settings=SETTINGS)
    write_folder(tmp_path, comparison, [GOOD, BAD], EXAMPLES)
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == comparison.summary
    rows = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert [(row["system"], row["topic"]) for row in rows if row["id"] == "a"] == [
        ("good", "Solar cells"),
        ("bad", "Oak"),
    ]
    assert rows[0]["references"] == ["Solar cells"]
    assert rows[0]["rouge1"] == 1
    assert rows[0]["text"] == EXAMPLES[0].text
    page = (tmp_path / "evaluation.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "evaluation.html",
        "metrics.json",
        "predictions.parquet",
    ]


def test_tables_show_percent_and_say_what_is_not_measured() -> None:
    assert cell({"mean": 0.5, "low": 0.25, "high": 0.75}, "percent") == "50.0 [25.0, 75.0]"
    assert cell({"mean": 0.5, "low": 0.25, "high": 0.75}, "ratio") == "0.50 [0.25, 0.75]"
    assert cell(None, "percent") == "-"
    summary = compare([GOOD, BAD], EXAMPLES, data="x", settings=SETTINGS).summary
    assert "| good | 100.0 [100.0, 100.0] |" in markdown_table(summary, ["rouge1"])


def test_an_interval_that_holds_zero_is_said_in_words() -> None:
    twin = System("twin", "predictions", GOOD.topics)
    summary = compare([GOOD, twin], EXAMPLES, data="x", settings=SETTINGS).summary
    assert difference_lines(summary, "rouge1") == [
        "good - twin: +0.0 ROUGE-1 [+0.0, +0.0], too few documents to tell, 3 documents; no difference shown"
    ]


def test_what_no_document_can_tell_is_left_out() -> None:
    """Annotators who shared the work have no document in common; a reference may have no words."""
    halves = [System(n, "predictions", ["Solar cells"] * 3, references=r) for n, r in (("a", ONE), ("b", OTHER))]
    summary = compare(halves, EXAMPLES, data="x", settings=SETTINGS).summary
    assert summary["paired"] == []
    signs = [Example(e.id, e.text, ("\U0001f389",)) for e in EXAMPLES]
    summary = compare([GOOD, BAD], signs, data="x", settings=SETTINGS).summary
    assert "wer" not in summary["systems"][0]["scores"]
    json.dumps(summary, allow_nan=False)
    none = System("none", "references", ["", "", ""], references=[(), (), ()])
    json.dumps(compare([GOOD, none], EXAMPLES, data="x", settings=SETTINGS).summary, allow_nan=False)
