"""Text in chunks -> its paragraphs, lines or whole, each bounded in length."""

from collections.abc import Iterable, Iterator

from topicgen.config import Unit
from topicgen.streams import split_pieces


class _BoundedText:
    """The text of one document as it grows: stripped, and never more than ``limit`` characters of it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._cut = False

    def __bool__(self) -> bool:
        return self._size > 0

    def add(self, piece: str) -> None:
        if not self._size:
            piece = piece.lstrip()
        room = self._limit - self._size
        if len(piece) > room:
            self._cut = self._cut or not piece[room:].isspace()
            piece = piece[:room]
        if piece:
            self._parts.append(piece)
            self._size += len(piece)

    def take(self) -> tuple[str, bool]:
        """Returns the text and whether something was dropped, and starts anew."""
        taken = "".join(self._parts).rstrip(), self._cut
        self._parts, self._size, self._cut = [], 0, False
        return taken


def read_units(chunks: Iterable[str], unit: Unit, limit: int) -> Iterator[tuple[str, bool]]:
    """Yields each unit that is not blank, stripped and cut to ``limit`` characters, and whether it was cut."""
    text = _BoundedText(limit)
    if unit == "file":
        for chunk in chunks:
            text.add(chunk)
    else:
        blank = True
        for piece, ends in split_pieces(chunks):
            text.add(piece)
            blank = blank and (not piece or piece.isspace())
            if not ends:
                continue
            if text and (blank or unit == "line"):
                yield text.take()
            text.add("\n")
            blank = True
    if text:
        yield text.take()
