"""What reading had to report: bad rows go into a quarantine file, other losses are counted."""

import json
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TextIO

from topicgen.errors import UserError

MAX_RAW_CHARACTERS = 2_000
_SHOWN_ROWS = 3


class RowError(Exception):
    """A row that cannot become a document; the message is the reason."""


class Problems:
    """The problems of one reading.

    Attributes:
        quarantined: Number of rows that were left out.
        replaced: Number of lone surrogates that became U+FFFD.
        incomplete: One line for each source whose end could not be read.
    """

    def __init__(self, quarantine: Path | None = None, *, fresh: bool = False) -> None:
        """Bad rows are written to ``quarantine``, which is created at the first one; None only counts them.

        A ``fresh`` file takes the place of no other: its name gets a number where one is there.
        """
        self.path = quarantine
        self._fresh = fresh
        self.quarantined = 0
        self.replaced = 0
        self.incomplete: list[str] = []
        self._first: list[str] = []
        self._file: TextIO | None = None

    @property
    def failed(self) -> bool:
        """Whether some of the input did not become documents."""
        return bool(self.quarantined or self.incomplete)

    def quarantine(self, source: str, line: int, reason: str, raw: str) -> None:
        """Leaves out one row; ``line`` is where it starts (in Parquet, the number of the row)."""
        self.quarantined += 1
        if len(self._first) < _SHOWN_ROWS:
            self._first.append(f"{source}:{line}: {reason}")
        if self.path is None:
            return
        record = {"source": source, "line": line, "reason": reason, "raw": raw[:MAX_RAW_CHARACTERS]}
        try:
            if self._file is None:
                self._file = self._open(self.path)
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            self.close()
            raise UserError(f"{self.path}: the quarantine file cannot be written: {error.strerror}") from None

    def _open(self, path: Path) -> TextIO:
        if not self._fresh:
            return path.open("w", encoding="utf-8", errors="backslashreplace")
        for number in count(1):
            self.path = path.with_stem(f"{path.stem}-{number}") if number > 1 else path
            with suppress(FileExistsError):
                return self.path.open("x", encoding="utf-8", errors="backslashreplace")
        raise AssertionError("numbers never end")

    def ends_early(self, message: str) -> None:
        """Reports a source whose end could not be read."""
        self.incomplete.append(message)

    def summary(self) -> list[str]:
        """Lines for people: what was lost and where to look; empty when all went well."""
        lines = list(self.incomplete)
        if self.quarantined:
            where = f", written to {self.path}" if self.path else ""
            lines.append(f"rows left out: {self.quarantined}{where}")
            lines += [f"  {row}" for row in self._first]
            if self.quarantined > len(self._first):
                lines.append(f"  and {self.quarantined - len(self._first)} more")
        if self.replaced:
            lines.append(f"lone surrogates replaced by U+FFFD: {self.replaced}")
        return lines

    def close(self) -> None:
        """Closes the quarantine file."""
        if self._file is not None:
            # Each row was flushed as it came; one that could not be has been reported.
            with suppress(OSError):
                self._file.close()
            self._file = None


def is_quarantine(path: Path) -> bool:
    """Whether a file may be written over as a quarantine file: it is one, or empty, or not there."""
    try:
        if not path.is_file():
            return not path.exists()
        with path.open(encoding="utf-8", errors="replace") as lines:
            first = lines.readline(2 * MAX_RAW_CHARACTERS)
    except OSError:
        return True  # writing tells
    return not first or first.startswith('{"source": ')
