"""CSV inputs."""

import json
import tracemalloc

import pyarrow as pa
import pytest
from reading import Reading, jsonl, parquet

from topicgen import tables
from topicgen.config import ReaderSettings
from topicgen.reader import read_documents


def test_csv_cells_become_documents(reading: Reading) -> None:
    content = '\ufeffid,text,stars\n1,"a, ""b""\nc",5\n\n2,👩‍🚀,4\n'
    documents = reading.read("x.csv", content, id_column="id", keep=("stars", "text"))
    assert [(d.id, d.text, d.position) for d in documents] == [("1", 'a, "b"\nc', 1), ("2", "👩‍🚀", 2)]
    assert list(documents[0].columns.items()) == [("stars", "5"), ("text", 'a, "b"\nc')]
    assert not reading.problems.failed


def test_tsv_and_delimiter_split_fields(reading: Reading) -> None:
    assert reading.texts("x.tsv", "id\ttext\n1\ta,b\n") == ["a,b"]
    assert reading.texts("x.csv", "id;text\n1;a,b\n", delimiter=";") == ["a,b"]


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_csv_line_ends_do_not_change_documents(reading: Reading, line_end: str) -> None:
    content = 'id,text\n1,"a\nb"\n2,c\n'
    assert reading.read("x.csv", content.replace("\n", line_end)) == reading.read("x.csv", content)


def test_utf_16_csv_is_read(reading: Reading) -> None:
    assert reading.texts("x.csv", "text\nGrüße\n".encode("utf-16")) == ["Grüße"]


def test_files_without_rows_give_no_documents(reading: Reading) -> None:
    for name, content in (("x.csv", ""), ("x.csv", "text\n"), ("x.csv", "\n\n"), ("x.jsonl", ""), ("x.jsonl", "\n")):
        assert reading.texts(name, content) == []
    assert reading.texts("x.parquet", parquet(text=pa.array([], pa.string()))) == []
    assert not reading.problems.failed


def test_ragged_rows_are_quarantined_with_their_line(reading: Reading) -> None:
    content = 'id,text\n1,a\n2,"b\nb",extra\n3\n4,d\n'
    documents = reading.read("x.csv", content, text_column="text")
    assert [(d.text, d.position) for d in documents] == [("a", 1), ("d", 4)]
    assert reading.quarantined() == [(3, "row has 3 fields, the header 2"), (5, "row has 1 fields, the header 2")]
    assert reading.problems.quarantined == 2
    assert reading.problems.failed
    assert json.loads((reading.folder / "bad.jsonl").read_text().splitlines()[0])["raw"] == '2,"b\nb",extra'


def test_quote_that_is_never_closed_is_quarantined(reading: Reading) -> None:
    content = 'id,text\n1,a\n2,"open\n3,b\n4,c\n'
    assert reading.texts("x.csv", content) == ["a"]
    assert reading.quarantined() == [
        (3, "a quote opens in this row and is never closed, so that 2 more lines are left out")
    ]


def test_row_above_the_bound_is_quarantined_and_reading_goes_on(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ROW_CHARACTERS", 1_000)
    long_line, open_quote = "2," + "x" * 2_000, '3,"open\n' + "line of text\n" * 100
    documents = reading.read("x.csv", f"id,text\n1,a\n{long_line}\n{open_quote}4,d\n")
    assert [d.text for d in documents] == ["a", "d"]
    first, second = reading.quarantined()[:2]
    assert first == (3, "the row has more than 1,000 characters; is a quote left open?")
    assert second == (4, first[1])


def test_ten_megabyte_cell_is_cut(reading: Reading) -> None:
    (document,) = reading.read("x.csv", "text\n" + "x" * 10_000_000 + "\n")
    assert (document.text, document.cut) == ("x" * 200_000, True)


def test_csv_streams_in_bounded_memory(reading: Reading) -> None:
    path = reading.folder / "x.csv"
    with path.open("w") as file:
        file.write("id,text\n")
        for number in range(30_000):
            file.write(f"{number},{'words ' * 166}\n")
    assert path.stat().st_size > 30_000_000
    tracemalloc.start()
    count = sum(1 for _ in read_documents([str(path)], ReaderSettings(id_column="id"), reading.problems))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < 2_000_000


def test_blank_cells_are_empty_documents(reading: Reading) -> None:
    assert reading.texts("x.csv", "id,text\n1,\n2,  \n3,x\n") == ["", "", "x"]
    assert reading.texts("x.jsonl", jsonl({"text": ""}, {"text": None}, {"text": "\n"})) == ["", "", ""]
    assert reading.texts("x.parquet", parquet(text=["", None, " ", "x"])) == ["", "", "", "x"]
