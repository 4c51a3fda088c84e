"""Labelled files, folders and data sets -> examples for training, validation and test."""

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from topicgen.config import ReaderSettings
from topicgen.errors import UserError
from topicgen.reader import Problems
from topicgen.training.examples import ExampleSplit, dataset_tables, divide, read_examples
from topicgen.training.settings import TrainingSettings

Rows = list[dict[str, Any]]
Write = Callable[[str, Rows], str]


def numbered(count: int, start: int = 0) -> Rows:
    return [{"text": f"Text {n} is about boats.", "topic": f"Boats {n}"} for n in range(start, start + count)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, rows: Rows) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(rows), path)
            return str(path)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())
        return str(path)

    return written


def read(
    *inputs: str, said: list[str] | None = None, problems: Problems | None = None, **settings: Any
) -> ExampleSplit:
    notices = said if said is not None else []
    return read_examples(inputs, TrainingSettings(**settings), problems or Problems(), notices.append)


def topics(split: ExampleSplit) -> tuple[list[str], list[str], list[str]]:
    train, validation, test = ([e.references[0] for e in part] for part in (split.train, split.validation, split.test))
    return train, validation, test


def from_memory(splits: Mapping[str, Rows], **settings: Any) -> ExampleSplit:
    data = datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()})
    trained = TrainingSettings(**settings)
    reading = ReaderSettings(text_column=trained.text_column)
    return divide(dataset_tables("owner/name", data, reading, lambda _: None), trained, Problems(), lambda _: None)


def test_shares_are_near_what_was_asked_for_and_nothing_is_lost(write: Write) -> None:
    split = read(write("rows.jsonl", numbered(2000)), validation_fraction=0.1, test_fraction=0.2)
    assert len(split.train) + len(split.validation) + len(split.test) == 2000
    assert len(split.validation) == pytest.approx(200, abs=45)
    assert len(split.test) == pytest.approx(400, abs=60)
    assert split.left_out == {}


def test_the_part_of_a_text_does_not_depend_on_its_neighbours_or_white_space(write: Write) -> None:
    rows = numbered(60)
    spaced = [{**row, "text": f"  {row['text'].replace(' ', chr(10))} "} for row in reversed(rows)]
    first = read(write("a.jsonl", rows), validation_fraction=0.3)
    second = read(write("b.jsonl", spaced[:40]), validation_fraction=0.3)
    assert set(topics(second)[1]) == set(topics(first)[1]) & {row["topic"] for row in spaced[:40]}
    assert topics(second)[1]


def test_another_seed_gives_another_split_and_the_same_seed_the_same(write: Write) -> None:
    path = write("rows.jsonl", numbered(100))
    assert read(path, validation_fraction=0.3) == read(path, validation_fraction=0.3)
    assert topics(read(path, validation_fraction=0.3))[1] != topics(read(path, validation_fraction=0.3, seed=1))[1]


def test_a_change_of_one_share_leaves_the_other_part_as_it_is(write: Write) -> None:
    path = write("rows.jsonl", numbered(200))
    first = read(path, validation_fraction=0.1, test_fraction=0.2)
    second = read(path, validation_fraction=0.3, test_fraction=0.2)
    assert first.test == second.test
    assert len(first.validation) < len(second.validation)


def test_copies_of_a_text_stand_in_one_part(write: Write) -> None:
    rows = [{**row, "topic": f"{row['topic']} {copy}"} for row in numbered(50) for copy in "ab"]
    split = read(write("rows.jsonl", rows), validation_fraction=0.3, test_fraction=0.3)
    texts = [{example.text for example in part} for part in (split.train, split.validation, split.test)]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 50
    assert len(split.train) + len(split.validation) + len(split.test) == 100


def test_equal_examples_are_kept_once(write: Write) -> None:
    rows = [*numbered(3), {"text": " Text 1  is about\nboats.", "topic": "Boats  1 "}]
    split = read(write("rows.jsonl", rows), validation_fraction=0)
    assert topics(split)[0] == ["Boats 0", "Boats 1", "Boats 2"]
    assert split.left_out == {"repeated": 1}


def test_names_of_files_say_the_split(write: Write) -> None:
    files = [
        write("Train-00000-of-00002.parquet", numbered(2)),
        write("train-00001-of-00002.parquet", numbered(2, 2)),
        write("dev.jsonl", numbered(1, 4)),
        write("test.jsonl.gz", numbered(2, 5)),
    ]
    expected = (["Boats 0", "Boats 1", "Boats 2", "Boats 3"], ["Boats 4"], ["Boats 5", "Boats 6"])
    assert topics(read(*files, validation_fraction=0.5, test_fraction=0.4)) == expected
    assert topics(read(str(Path(files[0]).parent), validation_fraction=0.5)) == expected


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_validation_has_several_names(write: Write, name: str) -> None:
    files = [write("train.jsonl", numbered(2)), write(f"{name}.jsonl", numbered(1, 2))]
    assert topics(read(*files)) == (["Boats 0", "Boats 1"], ["Boats 2"], [])


def test_a_held_out_text_is_dropped_from_training(write: Write) -> None:
    held = {"text": "Text  1 is about boats. ", "topic": "Other"}
    files = [
        write("train.jsonl", numbered(4)),
        write("validation.jsonl", [held, *numbered(1, 2)]),
        write("test.jsonl", numbered(1, 2)),
    ]
    split = read(*files)
    assert topics(split) == (["Boats 0", "Boats 3"], ["Other"], ["Boats 2"])
    assert split.left_out == {"repeated": 3}


def test_training_data_without_validation_gives_some_of_it(write: Write) -> None:
    files = [write("train.jsonl", numbered(100)), write("test.jsonl", numbered(5, 100))]
    for inputs in (files, files[:1]):
        split = read(*inputs, validation_fraction=0.3)
        assert 10 < len(split.validation) < 50
        assert len(split.train) + len(split.validation) == 100


def test_a_file_beside_named_splits_is_read_only_when_it_was_named(write: Write) -> None:
    files = [write("data/train.jsonl", numbered(2)), write("data/test.jsonl", numbered(1, 2))]
    extra = write("data/extra.jsonl", numbered(1, 3))
    said: list[str] = []
    assert len(read(str(Path(extra).parent), said=said, validation_fraction=0).train) == 2
    assert len(read(*files, extra, said=said, validation_fraction=0).train) == 3
    assert [notice.partition(": ")[2] for notice in said] == [
        "left out, as others are named for a split",
        "taken for training, as others are named for a split",
    ]


def test_texts_in_a_folder_are_no_tables(write: Write) -> None:
    path = Path(write("data/rows.jsonl", numbered(2)))
    (path.parent / "README.md").write_text("# Boats\n\nTwo rows.")
    said: list[str] = []
    assert len(read(str(path.parent), said=said, validation_fraction=0).train) == 2
    assert said == [f"{path.parent / 'README.md'}: no table; left out"]
    with pytest.raises(UserError, match=r"README\.md: a table is needed"):
        read(str(path.parent / "README.md"))


def test_guessed_columns_are_said_once(write: Write) -> None:
    rows = [{"Label": row["topic"], "body": row["text"], "year": 1990, "note": "x"} for row in numbered(2)]
    files = [write("a.jsonl", rows[:1]), write("b.parquet", rows[1:])]
    said: list[str] = []
    assert topics(read(*files, said=said, validation_fraction=0))[0] == ["Boats 0", "Boats 1"]
    assert said == ["reference topics: 'Label'", "text column: 'body' (the only one with a usual name)"]


def test_the_topic_is_never_taken_for_the_text(write: Write) -> None:
    rows = [{"abstract": "Boats", "words": "Text about boats.", "year": 1990}]
    with pytest.raises(UserError, match="which column holds the text"):
        read(write("a.parquet", rows), topic_column="abstract")
    split = read(write("b.parquet", rows), topic_column="abstract", text_column="words", validation_fraction=0)
    assert (split.train[0].text, split.train[0].references) == ("Text about boats.", ("Boats",))


def test_columns_that_are_not_there_or_not_clear_are_refused(write: Write, tmp_path: Path) -> None:
    rows = [{"text": "Text", "subject": "Boats"}]
    with pytest.raises(UserError, match=r"no column is called topic or .*'text', 'subject'; use --topic-column"):
        read(write("a.jsonl", rows))
    with pytest.raises(UserError, match="no column 'gold'"):
        read(write("b.jsonl", rows), topic_column="gold")
    with pytest.raises(UserError, match="Use --topic-column with topic or label"):
        read(write("c.jsonl", [{"text": "a", "topic": "b", "label": "c"}]))
    (tmp_path / "d.csv").write_text("text;topic\na;b\n")
    with pytest.raises(UserError, match="'text;topic'; use --topic-column or --delimiter"):
        read(str(tmp_path / "d.csv"))


def test_a_topic_that_the_first_json_line_lacks_is_found(write: Write) -> None:
    split = read(write("rows.jsonl", [{"text": "No topic"}, *numbered(1)]), validation_fraction=0)
    assert (topics(split)[0], split.left_out) == (["Boats 0"], {"without topic": 1})


def test_a_topic_that_is_no_text_is_named_with_its_row(write: Write) -> None:
    for value, kind in ((["Boats"], "list"), (3, "int")):
        with pytest.raises(UserError, match=rf"row 2: column 'topic' holds {kind}, not text"):
            read(write("rows.jsonl", [*numbered(1), {"text": "Text", "topic": value}]))


def test_rows_without_text_or_topic_are_counted(write: Write) -> None:
    rows = [
        *numbered(1),
        {"text": " \n", "topic": "Boats"},
        {"text": None, "topic": None},
        {"text": "Text", "topic": " \t"},
    ]
    split = read(write("rows.jsonl", rows), validation_fraction=0)
    assert split.left_out == {"without text": 2, "without topic": 1}


def test_a_topic_becomes_one_line(write: Write) -> None:
    split = read(write("rows.jsonl", [{"text": "Text", "topic": " Boats\n and\tships "}]), validation_fraction=0)
    assert split.train[0].references == ("Boats and ships",)


def test_nothing_to_train_on_says_what_was_found(write: Write, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"text": "a", "topic": ""}\n{"text": "a", "topic": "b"}\n[]\n')
    with pytest.raises(
        UserError, match="no trainable example; found 2 rows, 1 unreadable, 1 without topic, 1 for test;"
    ):
        read(str(tmp_path / "test.jsonl"))
    with pytest.raises(UserError, match="no trainable example; found no row"):
        read(write("empty.jsonl", []))


def test_bad_rows_are_left_to_the_quarantine(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,topic\na,b\nc,d,e\n")
    problems = Problems()
    assert topics(read(str(tmp_path / "rows.csv"), problems=problems, validation_fraction=0))[0] == ["b"]
    assert problems.quarantined == 1


def test_the_fingerprint_is_that_of_the_data_and_the_split(write: Write, tmp_path: Path) -> None:
    rows = numbered(40)
    same = read(write("a.jsonl", rows)).fingerprint
    assert read(write("b.parquet", rows)).fingerprint == same
    changed = [{**rows[0], "topic": "Ships"}, *rows[1:]]
    others = [read(write("c.jsonl", changed)), read(write("d.jsonl", rows[::-1])), read(write("e.jsonl", rows[1:]))]
    others.append(read(str(tmp_path / "a.jsonl"), validation_fraction=0.5))
    assert len({same, *(other.fingerprint for other in others)}) == 5


def test_a_data_set_keeps_its_splits() -> None:
    splits = {"train": numbered(3), "validation": numbered(1, 3), "test": numbered(1, 4), "raw": [{"words": "x"}]}
    expected = (["Boats 0", "Boats 1", "Boats 2"], ["Boats 3"], ["Boats 4"])
    assert topics(from_memory(splits, validation_fraction=0.9)) == expected


def test_a_data_set_of_one_split_is_divided_as_a_file_is(write: Write) -> None:
    rows = [*numbered(40), {"text": None, "topic": "Boats"}, {"text": "Text", "topic": None}]
    split = from_memory({"full": rows}, validation_fraction=0.3)
    assert split.left_out == {"without text": 1, "without topic": 1}
    assert topics(split) == topics(read(write("rows.parquet", rows), validation_fraction=0.3))


def test_columns_of_a_data_set_are_checked_as_those_of_a_file() -> None:
    with pytest.raises(UserError, match=r"owner/name/train: no column is called topic"):
        from_memory({"train": [{"text": "a", "subject": "b"}]})
    with pytest.raises(UserError, match=r"owner/name/train, row 1: column 'topic' holds list, not text"):
        from_memory({"train": [{"text": "a", "topic": ["b"]}]})
    with pytest.raises(UserError, match=r"owner/name/train: column 'n' holds .*int64.*, not text"):
        from_memory({"train": [{"n": 1, "topic": "b"}]}, text_column="n")


def test_a_data_set_that_cannot_be_downloaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"data set 'nobody/nothing' is no file .*HF_HUB_OFFLINE is set") as failure:
        read("nobody/nothing")
    assert "\n" not in str(failure.value)


def test_a_missing_file_is_not_sought_on_the_hub() -> None:
    with pytest.raises(UserError, match=r"data/missing\.csv\.gz: cannot be read"):
        read("data/missing.csv.gz")
