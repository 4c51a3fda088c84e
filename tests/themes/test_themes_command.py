"""``topicgen themes`` and ``topicgen report`` from the command line."""

import csv
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Command, Result
from embedders import made_embedder

from topicgen.staging import locked
from topicgen.themes.registry import Registry

WORDS = {
    "glaciers": "ice snow meltwater moraine crevasse glacier valley soot albedo runoff",
    "bakeries": "bread rye dough yeast oven crust flour loaf baker sourdough",
    "bicycles": "bicycle chain pedal wheel saddle brake gear sprocket cyclist frame",
    "elections": "ballot voter candidate parliament coalition poll turnout campaign mayor referendum",
}
QUICK = ("--no-model-names", "--no-report", "-q")


def rows(subjects: str = "glaciers bakeries bicycles", count: int = 20, prefix: str = "") -> list[dict[str, Any]]:
    chance = random.Random(f"{subjects}{count}{prefix}")
    found = []
    for number in range(count):
        for subject in subjects.split():
            words = chance.choices(WORDS[subject].split(), k=12)
            identifier = f"{prefix}{subject}-{number}"
            date = f"{2020 + number // 12}-{number % 12 + 1:02d}-15"
            topic = f"{words[0]} and {words[1]} of {subject}"
            found.append({"id": identifier, "topic": topic, "status": "ok", "date": date, "text": " ".join(words)})
    return found


def lines(found: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)


def made(command: Command, *options: str, content: str | None = None) -> Result:
    command.write("topics.jsonl", lines(rows()) if content is None else content)
    return command.here("themes", "topics.jsonl", "-o", "themes", *QUICK, *options)


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "registry.json").read_text())
    return found


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_file_becomes_a_folder_and_json_lines(command: Command) -> None:
    done = made(command, "--themes", "3")
    assert (done.code, done.err) == (0, "")
    top = [row for row in done.rows if row["level"] == 1]
    assert [(row["id"], row["size"], row["born"]) for row in top] == [("t1", 20, 1), ("t2", 20, 1), ("t3", 20, 1)]
    folder = command.folder / "themes"
    with (folder / "themes.csv").open() as stream:
        assert [row["id"] for row in csv.DictReader(stream)] == [row["id"] for row in done.rows]
    trends = json.loads((folder / "trends.json").read_text())
    assert (trends["unit"], set(trends["themes"])) == ("quarter", {"t1", "t2", "t3"})
    assert (folder / "trends.csv").read_text().startswith("period,theme,documents,share\n2020-Q1,t1,")


def test_the_report_is_written_by_default_and_again_on_demand(command: Command) -> None:
    command.write("topics.jsonl", lines(rows()))
    assert command.here("themes", "topics.jsonl", "-o", "themes", "--no-model-names").code == 0
    page = command.folder / "themes/report.html"
    page.unlink()
    done = command.here("report", "themes")
    assert (done.code, done.out) == (0, "themes/report.html\n")
    assert page.stat().st_size > 10_000
    assert command.here("report", "themes", "--format", "md").out == "themes/report.md\n"
    assert command.here("themes", "rename", "themes", "t1", "Frozen rivers", "-q").code == 0
    assert "Frozen rivers" in page.read_text()
    assert "Frozen rivers" in (command.folder / "themes/report.md").read_text()


def test_a_model_writes_the_names(command: Command) -> None:
    command.write("topics.jsonl", lines(rows(count=8)))
    done = command.here("themes", "topics.jsonl", "-o", "themes", "--themes", "3", "--no-report")
    assert done.code == 0, done.err
    assert {theme["named_by"] for theme in state(command.folder / "themes")["themes"]} <= {"model", "topic"}
    assert len({row["name"] for row in done.rows if row["level"] == 1}) == 3


def test_the_order_of_the_rows_does_not_matter(command: Command) -> None:
    made(command)
    shuffled = rows()
    random.Random(3).shuffle(shuffled)
    command.write("other.jsonl", lines(shuffled))
    assert command.here("themes", "other.jsonl", "-o", "other", *QUICK).code == 0
    first, second = ((command.folder / name / "themes.csv").read_text() for name in ("themes", "other"))
    assert first == second


def test_later_documents_join_or_found_a_theme(command: Command) -> None:
    made(command, "--themes", "3")
    command.write("more.jsonl", lines(rows("glaciers elections", 15, "later-")))
    done = command.here("themes", "more.jsonl", "--registry", "themes", "--no-model-names", "--no-report")
    assert done.code == 0, done.err
    assert "30 documents added" in done.err
    assert "new theme t4" in done.err
    born = [row for row in done.rows if row["level"] == 1 and row["born"] == 2]
    assert sum(row["size"] for row in born) == 15  # how many themes these are is the grouping's choice
    assert all("elections" in topic for row in born for topic in row["topics"])
    assert state(command.folder / "themes")["updates"][1]["inputs"] == ["more.jsonl"]
    again = command.here("themes", "more.jsonl", "--registry", "themes", "--no-model-names", "--no-report")
    assert "0 documents added, 30 known already" in again.err


@pytest.mark.parametrize("kind", ["sentence-transformers", "model2vec without modules.json"])
def test_an_embedder_stands_beside_the_default_in_updates_too(command: Command, kind: str) -> None:
    name = str(made_embedder(kind, command.folder / "model"))
    done = made(command, "--themes", "3", "--embedder", name)
    assert (done.code, done.err) == (0, "")
    assert state(command.folder / "themes")["space"].endswith(f"beside {name}")
    command.write("more.jsonl", lines(rows(count=3, prefix="later-")))
    assert command.here("themes", "more.jsonl", "--registry", "themes", *QUICK).code == 0
    [found] = Registry.load(command.folder / "themes").assign(["yeast and oven of bakeries"], ["bread dough"])
    assert any("bakeries" in topic for topic in found.theme.topics)
    (command.folder / "model").rename(command.folder / "moved")
    command.write("third.jsonl", lines(rows(count=1, prefix="third-")))
    before = snapshot(command.folder / "themes")
    gone = command.here("themes", "third.jsonl", "--registry", "themes", *QUICK)
    assert (gone.code, name in gone.complaint) == (1, True)
    assert snapshot(command.folder / "themes") == before


def test_an_unknown_embedder_is_told_before_anything_is_read(command: Command) -> None:
    done = command.here("themes", "no-such-file.jsonl", "-o", "themes", "--embedder", "./no-such-model")
    assert (done.code, "no model './no-such-model'" in done.complaint) == (1, True)
    assert not (command.folder / "themes").exists()


def test_an_update_to_another_folder_leaves_the_first(command: Command) -> None:
    made(command)
    before = snapshot(command.folder / "themes")
    command.write("more.jsonl", lines(rows("elections", 5)))
    assert command.here("themes", "more.jsonl", "--registry", "themes", "-o", "second", *QUICK).code == 0
    assert snapshot(command.folder / "themes") == before
    assert len(state(command.folder / "second")["updates"]) == 2


def test_corrections_hold_after_an_update_and_train_reads_the_export(command: Command) -> None:
    made(command, "--themes", "3")
    assert command.here("themes", "rename", "themes", "t1", "Renamed by me").complaint.endswith("'Renamed by me'")
    assert command.here("themes", "merge", "themes", "t3", "t2", "-q").code == 0
    assert command.here("themes", "pin", "themes", "t2", "-q").code == 0
    command.write("more.jsonl", lines(rows(count=4, prefix="later-")))
    done = command.here("themes", "more.jsonl", "--registry", "themes", *QUICK)
    top = {row["id"]: row for row in done.rows if row["level"] == 1}
    assert set(top) == {"t1", "t2"}
    assert (top["t1"]["name"], top["t2"]["size"]) == ("Renamed by me", 48)
    assert command.here("themes", "export", "themes", "-o", "labelled.jsonl", "-q").code == 0
    found = command.rows("labelled.jsonl")
    assert len(found) == 72
    assert sum(row["topic"] == "Renamed by me" for row in found) == 24
    scored = command.here("evaluate", "labelled.jsonl", "--baselines", "--samples", "100", "--embedder", "none")
    assert scored.code == 0, scored.err
    kept = command.here("themes", "export", "themes", "-o", "labelled.jsonl")
    assert (kept.code, "use --force" in kept.complaint) == (1, True)


def test_without_texts_nothing_of_them_is_in_the_folder(command: Command) -> None:
    import pyarrow.parquet as pq

    made(command, "--no-text")
    assert pq.read_table(command.folder / "themes/documents.parquet")["text"].null_count == 60
    command.write("later.jsonl", lines(rows(prefix="later-")))  # once without, always without
    assert command.here("themes", "later.jsonl", "--registry", "themes", *QUICK).code == 0
    assert pq.read_table(command.folder / "themes/documents.parquet")["text"].null_count == 120
    done = command.here("themes", "export", "themes", "-o", "labelled.jsonl")
    assert "its documents have no texts" in done.complaint


TWO = [{"id": "1", "topic": "Bread", "text": "Rye bread."}, {"id": "2", "topic": "Glaciers", "text": "Ice melts."}]
TONGUES = ["Хлеб", "面包烤箱", "خبز الجاودار", "パン屋", "Brot und Öfen", "חם", "ขนมปัง", "🥖🥖", "ψωμί", "빵집"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lines(TWO), id="two documents"),
        pytest.param(lines(TWO[:1]), id="one document"),
        pytest.param(lines([{"id": str(n), "topic": "Bread", "text": "Rye"} for n in range(50)]), id="all the same"),
        pytest.param(lines([{"id": str(n), "topic": f"Bread {n}"} for n in range(30)]), id="no texts"),
        pytest.param(
            lines([{"id": str(n), "topic": TONGUES[n % 10] * (1 + n % 3)} for n in range(60)]), id="languages"
        ),
        pytest.param(lines([{"id": str(n), "topic": "!!!"} for n in range(3)]), id="no words"),
        pytest.param("id,topic,text\n1,Bread,Rye\n2,Ice,Glacier\n".replace(",", "\t"), id="not JSON"),
    ],
)
def test_odd_collections_end_well(command: Command, content: str) -> None:
    done = made(command, content=content)
    if content.startswith("id"):
        assert done.code == 1
        assert "Traceback" not in done.err
        return
    assert done.code == 0, done.err
    documents = len(content.splitlines())
    assert sum(row["size"] for row in done.rows if row["level"] == 1) == documents
    assert sum(row["size"] for row in done.rows if row["level"] == 2) == documents
    command.write("more.jsonl", lines([{"id": "new", "topic": "Volcanoes", "text": "Lava."}]))
    later = command.here("themes", "more.jsonl", "--registry", "themes", *QUICK)
    assert later.code == 0, later.err


def test_one_theme_can_be_wanted(command: Command) -> None:
    done = made(command, "--themes", "1")
    assert [row["size"] for row in done.rows if row["level"] == 1] == [60]


def test_failures_of_the_run_are_counted_and_told(command: Command) -> None:
    bad = [{"id": "e", "topic": "", "status": "empty"}, {"id": "f", "topic": "", "status": "ok"}]
    done = made(command, content=lines([*rows(), *bad]))
    assert done.code == 3
    assert done.err.splitlines() == [
        "topicgen: 1 document left out: no text, so no topic",
        "topicgen: 1 document left out: no topic",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("topics.jsonl", 2, "name the folder to write with -o"),
        ("topics.jsonl -o themes --themes 3 --granularity 0.5", 2, "exclude each other"),
        ("topics.jsonl -o themes --themes 0", 2, "--themes must be at least 1"),
        ("topics.jsonl -o themes --granularity 2", 2, "--granularity must be between 0 and 1"),
        ("topics.jsonl --registry themes --themes 3", 2, "are for new themes"),
        ("topics.jsonl --registry nowhere", 1, "nowhere: no themes folder"),
        ("topics.jsonl -o topics.jsonl", 1, "topics.jsonl: is a file; name a folder"),
        ("topics.jsonl -o /proc/themes", 1, "/proc/themes: cannot be written"),
        ("missing.jsonl -o themes", 1, "missing.jsonl"),
        ("empty.jsonl -o themes", 1, "empty.jsonl: no row with a topic"),
        ("topics.jsonl -o themes --topic-column gold", 1, "no column 'gold'"),
        ("topics.jsonl -o themes --model no-such-model", 1, "no-such-model"),
        ("topics.jsonl -o themes --off", 2, "--off is for `themes pin`"),
        ("rename", 2, "needed: topicgen themes rename FOLDER ID NAME; found 0 arguments; if 'rename' is a file"),
        ("merge themes t1", 2, "needed: topicgen themes merge FOLDER ID ID; found 2 arguments"),
        ("export themes", 2, "needed: topicgen themes export FOLDER -o FILE"),
        ("rename themes t1 x --themes 3", 2, "--themes is not for `topicgen themes rename`"),
        ("rename nowhere t1 x", 1, "nowhere: there is no such folder"),
        ("pin topics.jsonl t1", 1, "topics.jsonl: is a file"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(command: Command, arguments: str, code: int, told: str) -> None:
    command.write("topics.jsonl", lines(rows(count=2)))
    command.write("empty.jsonl", "")
    before = sorted(path.name for path in command.folder.iterdir())
    done = command.here("themes", *arguments.split(), "--no-report")
    assert (done.code, told in done.complaint) == (code, True), done.err
    assert sorted(path.name for path in command.folder.iterdir()) == before


@pytest.mark.parametrize(
    "arguments", ["rename themes t99 x", "merge themes t1 t99", "move themes nobody t1", "pin themes t99"]
)
def test_unknown_ids_change_nothing(command: Command, arguments: str) -> None:
    made(command)
    before = snapshot(command.folder / "themes")
    done = command.here("themes", *arguments.split())
    assert (done.code, "no theme 't99'" in done.err or "no document 'nobody'" in done.err) == (1, True)
    assert snapshot(command.folder / "themes") == before


def test_earlier_themes_are_kept_without_force(command: Command) -> None:
    made(command)
    before = snapshot(command.folder / "themes")
    refused = made(command)
    assert (refused.code, "holds themes already; use --force" in refused.complaint) == (1, True)
    assert snapshot(command.folder / "themes") == before
    assert made(command, "--force").code == 0
    (command.folder / "full").mkdir()
    (command.folder / "full/thesis.txt").write_text("mine")
    done = command.here("themes", "topics.jsonl", "-o", "full", *QUICK)
    assert "full: is not empty" in done.complaint
    assert command.here("themes", "topics.jsonl", "-o", "full", "--force", *QUICK).code == 0
    assert (command.folder / "full/thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("arguments", ["themes more.jsonl --registry themes", "themes pin themes t1", "report themes"])
def test_a_damaged_registry_is_refused_and_left_alone(command: Command, arguments: str) -> None:
    made(command)
    command.write("more.jsonl", lines(rows(count=1, prefix="later-")))
    path = command.folder / "themes/registry.json"
    path.write_text(path.read_text().replace('"born": 1', '"born": 7', 1))
    before = snapshot(command.folder / "themes")
    done = command.here(*arguments.split())
    assert (done.code, "damaged or edited by hand" in done.complaint) == (1, True)
    assert snapshot(command.folder / "themes") == before


def test_two_writers_of_one_folder_do_not_mix(command: Command) -> None:
    made(command)
    with locked(command.folder / "themes"):
        done = command.here("themes", "pin", "themes", "t1")
    assert (done.code, f"process {os.getpid()} is writing it" in done.complaint) == (1, True)


def test_a_table_is_printed_on_a_terminal(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from commands import Stream

    command.write("topics.jsonl", lines(rows()))
    monkeypatch.setattr(Stream, "isatty", lambda self: True)
    done = command.here("themes", "topics.jsonl", "-o", "themes", "--themes", "3", *QUICK)
    assert "Share" in done.out
    assert "33.3 %" in done.out
    assert "t1.1" not in done.out


def test_a_missing_library_is_named_with_its_extra(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command.write("topics.jsonl", lines(rows(count=2)))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    done = command.here("themes", "topics.jsonl", "-o", "themes")
    assert done.complaint == "topicgen: sklearn needs the extra 'themes': pip install 'topicgen[themes]'"


def test_python_finds_theme_and_registry(command: Command) -> None:
    from topicgen import Theme
    from topicgen.themes.registry import Registry

    made(command, "--themes", "3")
    (found,) = Registry.load(command.folder / "themes").assign(
        ["rye and dough of bakeries"], ["bread loaf oven crust yeast"]
    )
    assert isinstance(found.theme, Theme)
    assert any("bakeries" in topic for topic in found.theme.topics)
    assert found.near
