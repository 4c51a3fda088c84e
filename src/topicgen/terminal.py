"""Topics -> a table for people on a terminal, printed in blocks as the topics come."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from topicgen.outputs import Output
from topicgen.records import Topic

if TYPE_CHECKING:
    from rich.text import Text

_BLOCK_ROWS = 50
_SCORE_WIDTH = 5
_GAPS_WIDTH = 6
_SHOWN_CHARACTERS = 400

# These reorder the text around them, on every line of some terminals.
_REORDERING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def say(message: str) -> None:
    """One line to people, on standard error; that nobody reads it is no reason to stop."""
    try:
        sys.stderr.write(f"topicgen: {message}\n")
        sys.stderr.flush()
    except OSError:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the end


def harmless(text: str) -> str:
    """Returns text that a terminal shows on one line and does not obey: control and reordering marks become U+FFFD."""
    flat = " ".join(text.split())
    flat = _REORDERING.sub("\ufffd", flat)
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in flat)


class TerminalTable:
    """Writes topics as a table: topic, score, and the beginning of the text (or where it stands)."""

    def __init__(self, output: Output, width: int | None = None) -> None:
        from rich.console import Console

        self._output = output
        self._console = Console(file=output.stream, width=width, highlight=False, markup=False, emoji=False)
        self._header = True

    def write(self, topics: Iterable[Topic]) -> None:
        """Prints topics; columns are as wide in every block, so the blocks make one table."""
        rest = iter(topics)
        while block := list(islice(rest, _BLOCK_ROWS)):
            self._print(block)

    def close(self) -> None:
        """Flushes what was printed."""
        self._output.close()

    def _print(self, block: list[Topic]) -> None:
        from rich.table import Table

        width = max(30, self._console.width)
        topic_width = min(44, (width - _SCORE_WIDTH - _GAPS_WIDTH) * 2 // 5)
        table = Table(box=None, show_header=self._header, header_style="bold", padding=(0, 3, 0, 0), pad_edge=False)
        table.add_column("Topic", width=topic_width, overflow="fold")
        table.add_column("Score", width=_SCORE_WIDTH, justify="right", no_wrap=True)
        rest = width - topic_width - _SCORE_WIDTH - _GAPS_WIDTH
        table.add_column("Text", width=rest, no_wrap=True, overflow="ellipsis")
        for topic in block:
            for row in _rows(topic):
                table.add_row(*row)
        # Rich ends the process when the pipe is closed, so it does not write itself.
        with self._console.capture() as printed:
            self._console.print(table)
        self._output.write(printed.get())
        self._output.flush()
        self._header = False


def _rows(topic: Topic) -> Iterator[tuple["Text", "Text", "Text"]]:
    """The row of a topic, and a dim one for each further topic of the same document."""
    from rich.text import Text

    start = harmless(topic.text[:_SHOWN_CHARACTERS]) or f"{harmless(topic.source)}:{topic.position}"
    if topic.status == "empty":
        yield Text("(no text)", style="dim"), Text("–"), Text(start, style="dim")
        return
    yield Text(harmless(topic.topic)), Text(_score(topic.score)), Text(start, style="dim")
    for ranked in topic.topics:
        if ranked.topic != topic.topic:
            yield Text(f"  {harmless(ranked.topic)}", style="dim"), Text(_score(ranked.score), style="dim"), Text("")


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.2f}"
