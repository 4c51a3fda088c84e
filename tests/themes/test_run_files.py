"""Run files and tables like them -> documents with topics."""

import datetime
import json
from pathlib import Path

import pytest

from topicgen.errors import UserError
from topicgen.reader import Problems
from topicgen.themes.collection import Collection, CollectionColumns, read_collection


def read(*paths: Path, problems: Problems | None = None, **columns: object) -> Collection:
    chosen = CollectionColumns(**columns)  # type: ignore[arg-type]
    return read_collection([str(path) for path in paths], chosen, problems or Problems(), lambda _: None)


def jsonl(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


RUN = {"id": "a", "topic": "Solar cells", "score": 0.9, "status": "ok", "source": "notes.txt", "position": 7}


def test_a_row_of_a_run_file_keeps_id_source_and_position(tmp_path: Path) -> None:
    (found,) = read(jsonl(tmp_path / "t.jsonl", RUN)).members
    assert (found.id, found.topic, found.text, found.source, found.position) == ("a", "Solar cells", "", "notes.txt", 7)


def test_empty_and_failed_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    empty = {**RUN, "id": "b", "topic": "", "status": "empty"}
    failed = [
        {**RUN, "id": "c", "topic": ""},
        {**RUN, "id": "d", "topic": None},
        {**RUN, "id": "e", "status": "failed"},
    ]
    found = read(jsonl(tmp_path / "t.jsonl", RUN, empty, *failed))
    assert (len(found.members), found.empty, found.failed, found.without_text) == (1, 1, 3, 1)
    assert found.summary() == [
        "1 document left out: no text, so no topic",
        "3 documents left out: no topic",
        "1 document without text: placed by the topic alone",
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
def test_tables_of_other_kinds_are_read_alike(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    columns = {
        "id": ["1", "2"],
        "topic": ["Ice", "Bread"],
        "text": ["Glaciers melt.", "Rye rises."],
        "day": ["2024", ""],
    }
    if name == "t.parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path)
    else:
        mark = "," if name == "t.csv" else "\t"
        path.write_text(
            "".join(mark.join(row) + "\n" for row in [tuple(columns), *zip(*columns.values(), strict=True)])
        )
    found = read(path, date="day", labels=("id",))
    assert [(m.topic, m.text, m.date) for m in found.members] == [
        ("Ice", "Glaciers melt.", datetime.date(2024, 1, 1)),
        ("Bread", "Rye rises.", None),
    ]
    assert found.undated == 1
    assert found.members[1].labels == {"id": "2"}


def test_several_files_make_one_collection_and_a_repeated_id_counts_once(tmp_path: Path) -> None:
    problems = Problems()
    other = jsonl(tmp_path / "u.jsonl", RUN, {**RUN, "id": "b"})
    found = read(jsonl(tmp_path / "t.jsonl", RUN), other, problems=problems)
    assert [m.id for m in found.members] == ["a", "b"]
    assert problems.quarantined == 1


def test_ragged_rows_and_cells_that_are_no_text_go_to_the_quarantine(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,topic,text\n1,Ice,Glaciers melt.\n2,Bread\n")
    problems = Problems()
    assert len(read(path, problems=problems).members) == 1
    bad = jsonl(
        tmp_path / "t.jsonl", {**RUN, "text": "ok"}, {**RUN, "id": "b", "text": 5}, {**RUN, "id": "c", "topic": {}}
    )
    assert len(read(bad, problems=problems).members) == 1
    assert problems.quarantined == 3


def test_a_text_that_generate_kept_under_another_name_is_found(tmp_path: Path) -> None:
    assert read(jsonl(tmp_path / "t.jsonl", {**RUN, "input_text": "Panels."})).members[0].text == "Panels."


def test_a_missing_column_of_topics_is_told_with_the_columns(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", {"id": "1", "body": "Ice"})
    with pytest.raises(UserError, match="no column of topics; its columns are id, body; use --topic-column"):
        read(path)
    with pytest.raises(UserError, match="no column 'gold'"):
        read(path, topic="gold")


def test_an_empty_file_has_no_members(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.touch()
    assert read(path).members == []
