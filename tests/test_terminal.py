"""Standard output and the table."""

import io

import pytest
from writing import EMPTY, PLAIN, topic

from topicgen.config import WriterSettings
from topicgen.records import RankedTopic, Topic
from topicgen.writer import open_writer


def test_standard_output_is_utf_8_and_stays_open() -> None:
    binary = io.BytesIO()
    stdout = io.TextIOWrapper(binary, encoding="ascii")
    with open_writer(None, WriterSettings(keep=("k",)), stdout=stdout) as writer:
        writer.write([topic(k="Grüße")])
    assert "Grüße" in binary.getvalue().decode()
    assert not stdout.closed


def table_of(topics: list[Topic], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "100")
    stdout = io.StringIO()
    with open_writer(None, WriterSettings("table"), stdout=stdout) as writer:
        for start in range(0, len(topics), 70):
            writer.write(topics[start : start + 70])
    return stdout.getvalue().splitlines()


def test_table_shows_topic_score_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    header, first, second = table_of([PLAIN, EMPTY], monkeypatch)
    assert header.split() == ["Topic", "Score", "Text"]
    assert first.split() == ["Solar", "panels", "0.91", "The", "text"]
    assert second.split() == ["(no", "text)", "–", "x.csv:2"]
    assert header.index("Text") == first.index("The text") == second.index("x.csv:2")


def test_table_of_many_rows_has_one_header_and_straight_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table_of([PLAIN] * 10_000, monkeypatch)
    assert len(lines) == 10_001
    assert len(set(lines[1:])) == 1


def test_table_shows_further_topics_below(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked = (RankedTopic("Solar panels", 0.5), RankedTopic("Roofs", 0.25))
    lines = table_of([Topic("a", "Solar panels", 0.5, "ok", "x", 1, ranked, "text")], monkeypatch)
    assert [line.split() for line in lines[1:]] == [["Solar", "panels", "0.50", "text"], ["Roofs", "0.25"]]


def test_table_obeys_neither_markup_nor_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[bold]x[/bold] :smile: \x1b[31m\x9b31m\u202eevil\n\ttab\0 👩‍🚀 \ud800"
    lines = table_of([Topic("a", "[red]t[/red]\x1b]0;title\x07", 0.5, "ok", "x", 1, text=text)], monkeypatch)
    assert len(lines) == 2
    assert "[red]t[/red]\ufffd]0;title\ufffd" in lines[1]
    assert "[bold]x[/bold] :smile: \ufffd[31m\ufffd31m\ufffdevil tab\ufffd 👩‍🚀" in lines[1]
    assert not set(lines[1]) & set("\x1b\x9b\x07\u202e\0\ud800")


def test_writer_and_reader_load_no_heavy_library() -> None:
    import subprocess
    import sys

    code = "import sys, topicgen.reader, topicgen.writer; sys.exit(bool({'pyarrow', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
