"""``topicgen evaluate`` from the command line."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATIENCE, Command

ROWS = [
    {
        "id": "a",
        "text": "Solar cells from perovskite are cheap to print.",
        "topic": "Perovskite solar cells",
        "old": "Solar",
    },
    {"id": "b", "text": "Glaciers melt faster when soot darkens the snow.", "topic": "Glacier melt", "old": "Ice"},
    {
        "id": "c",
        "text": "Night trains return to Europe with new carriages.",
        "topic": "Night trains",
        "old": "Night trains",
    },
]


def lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def labelled(command: Command) -> str:
    command.write("labelled.jsonl", lines(ROWS))
    return "labelled.jsonl"


def test_models_baselines_and_a_column_side_by_side(command: Command, labelled: str) -> None:
    options = ["--system-column", "old", "--baselines", "--stability", "3", "--samples", "200", "-o", "found"]
    done = command.here("evaluate", labelled, "--model", "mini", *options)
    assert done.code == 0, done.err
    assert "mini" in done.out
    assert "nearest topic" in done.out
    summary = json.loads((command.folder / "found/metrics.json").read_text())
    names = [system["name"] for system in summary["systems"]]
    assert names[:2] == ["mini", "old"]
    assert "title" not in names  # the table has none
    assert summary["systems"][0]["stability"] == {"documents": 3, "rerun": 1, "shuffled": 1, "batch_size": 1}
    assert summary["embedder"]
    assert (command.folder / "found/evaluation.html").stat().st_size > 10_000


def test_predictions_of_any_system(command: Command, labelled: str) -> None:
    command.write("preds.jsonl", lines([{"id": row["id"], "topic": row["topic"]} for row in ROWS]))
    done = command.here("evaluate", "--predictions", "preds.jsonl", "--references", labelled, "--samples", "100")
    assert done.code == 0, done.err
    assert "preds" in done.out
    assert "100.0" in done.out


def test_what_generate_wrote_can_be_evaluated(command: Command) -> None:
    command.write("plain.jsonl", lines([{k: v for k, v in row.items() if k != "id"} for row in ROWS]))
    assert command.here("generate", "plain.jsonl", "--text-column", "text", "-o", "topics.jsonl", "-q").code == 0
    done = command.here("evaluate", "plain.jsonl", "--predictions", "topics.jsonl", "--samples", "100")
    assert done.code == 0
    assert "by position" not in done.err


def test_missing_predictions_are_scored_as_empty_and_end_with_code_3(command: Command, labelled: str) -> None:
    command.write(
        "preds.jsonl", lines([{"id": "a", "topic": "Solar"}, {"id": "b", "topic": None}, {"id": "c", "topic": ""}])
    )
    done = command.here("evaluate", labelled, "--predictions", "preds.jsonl", "--samples", "100")
    assert done.code == 3
    assert done.complaint == "topicgen: preds: no topic for 2 documents, scored as empty"


def test_rows_without_a_reference_are_counted(command: Command) -> None:
    command.write("rows.jsonl", lines([ROWS[0], {**ROWS[1], "topic": ""}]))
    done = command.here("evaluate", "rows.jsonl", "--system-column", "old", "--samples", "100")
    assert done.code == 3
    assert "1 rows without a reference topic" in done.err


def test_without_references_only_what_needs_none_is_measured(command: Command) -> None:
    command.write("rows.csv", "text,old\nSolar cells are cheap.,Solar cells\nGlaciers melt.,Ice\n")
    done = command.here("evaluate", "rows.csv", "--system-column", "old", "--samples", "100")
    assert done.code == 0
    assert "no reference topics" in done.err
    assert "ROUGE" not in done.out
    assert "words in the text" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["labelled.jsonl"], 2, "nothing to evaluate"),
        ([], 2, "name one labelled table"),
        (["labelled.jsonl", "--references", "labelled.jsonl", "--baselines"], 2, "name one labelled table"),
        (["missing.csv", "--baselines"], 1, "missing.csv"),
        (["labelled.jsonl", "--baselines", "--topic-column", "gold"], 1, "no column 'gold'"),
        (["labelled.jsonl", "--baselines", "--samples", "1"], 2, "samples must be between"),
        (["labelled.jsonl", "--model", "no-such-model"], 1, "no-such-model"),
        (["labelled.jsonl", "--system-column", "old", "--predictions", "old.jsonl"], 2, "two systems are called 'old'"),
        (["labelled.jsonl", "--predictions", "constant.jsonl", "--baselines"], 2, "two systems are called 'constant'"),
        (["labelled.jsonl", "--system-column", "old", "--embedder", "no/such"], 1, ""),
        (["labelled.jsonl", "--system-column", "old", "--ask", "2"], 2, "exactly two systems"),
        (["--answers", "answers.json"], 1, "key.json"),
    ],
)
def test_wrong_usage_is_one_line(command: Command, labelled: str, arguments: list[str], code: int, told: str) -> None:
    for name in ("old.jsonl", "constant.jsonl"):
        command.write(name, lines(ROWS))
    done = command.here("evaluate", *arguments)
    assert done.code == code, done.err
    assert told in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--system-column", "old", "--train", "labelled.jsonl"],
        ["--system-column", "old", "--stability", "3"],
        ["--models", "mini", "--ask", "2", "--judge", "m"],
        ["--answers", "a.json"],
    ],
)
def test_options_that_would_be_ignored_are_refused(command: Command, labelled: str, arguments: list[str]) -> None:
    assert command.here("evaluate", labelled, *arguments).code == 2


def test_a_reader_that_leaves_early_loses_no_file(command: Command, labelled: str) -> None:
    argv = command.argv("evaluate", labelled, "--system-column", "old", "--samples", "100", "-o", "found")
    pipe = f"{shlex.join(argv)} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipe], cwd=command.folder, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert json.loads((command.folder / "found/metrics.json").read_text())["documents"] == 3


def test_names_that_the_terminal_cannot_show_are_escaped(command: Command, labelled: str) -> None:
    command.write("東京.jsonl", lines(ROWS))
    options = ["--predictions", "東京.jsonl", "--samples", "100", "--embedder", "none"]
    done = command.run("evaluate", labelled, *options, PYTHONIOENCODING="ascii")
    assert done.code == 0, done.err


def test_an_unreachable_judge_ends_the_call_at_once(
    command: Command, labelled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    done = command.run("evaluate", labelled, "--model", "mini", "--system-column", "old", "--judge", "m")
    assert done.code == 1
    assert "cannot be reached" in done.complaint


def test_an_earlier_evaluation_is_kept_without_force(command: Command, labelled: str) -> None:
    options = ["evaluate", labelled, "--system-column", "old", "--samples", "100", "-o", "found"]
    assert command.here(*options).code == 0
    before = (command.folder / "found/metrics.json").read_bytes()
    refused = command.here(*options, "--seed", "7")
    assert refused.code == 1
    assert "use --force" in refused.err
    assert (command.folder / "found/metrics.json").read_bytes() == before
    assert command.here(*options, "--seed", "7", "--force").code == 0
    assert json.loads((command.folder / "found/metrics.json").read_text())["bootstrap"]["seed"] == 7


def test_a_form_is_written_answered_and_read_back(command: Command, labelled: str) -> None:
    asked = command.here(
        "evaluate", labelled, "--model", "mini", "--system-column", "old", "--ask", "3", "-o", "people"
    )
    assert asked.code == 0, asked.err
    page = (command.folder / "people/ask.html").read_text()
    assert '"old"' not in page
    assert "mini" not in page
    key = json.loads((command.folder / "people/key.json").read_text())
    answers = {question: "1" if sides["1"] == "old" else "2" for question, sides in key["questions"].items()}
    command.write("answers.json", json.dumps({"form": key["form"], "annotator": "Ada", "answers": answers}))
    told = command.here("evaluate", "--answers", "answers.json", "-o", "people")
    assert told.code == 0, told.err
    assert "old: win rate 100.0 [100.0, 100.0] %" in told.out
    assert json.loads((command.folder / "people/people.json").read_text())["annotators"] == 1
    again = command.here(
        "evaluate", labelled, "--model", "mini", "--system-column", "old", "--ask", "3", "-o", "people"
    )
    assert again.code == 1
    assert "use --force" in again.err


def test_a_judge_needs_a_server(command: Command, labelled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    done = command.here("evaluate", labelled, "--model", "mini", "--system-column", "old", "--judge", "some-model")
    assert done.code == 1
    assert "OPENAI_BASE_URL" in done.complaint


def test_a_missing_library_is_told_before_a_model_runs(
    command: Command, labelled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    done = command.here("evaluate", labelled, "--model", "no-such-model")
    assert done.code == 1
    assert done.complaint == "topicgen: sacrebleu needs the extra 'evaluate': pip install 'topicgen[evaluate]'"


def test_bad_rows_of_a_table_are_told(command: Command) -> None:
    command.write("rows.csv", "text,topic,old\na,b,c\nonly one\n")
    done = command.here("evaluate", "rows.csv", "--system-column", "old", "--samples", "100")
    assert done.code == 3
    assert "rows left out: 1" in done.err


def test_the_page_is_one_file(command: Command, labelled: str) -> None:
    command.here("evaluate", labelled, "--system-column", "old", "--samples", "100", "-o", "found")
    page = Path(command.folder / "found/evaluation.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
