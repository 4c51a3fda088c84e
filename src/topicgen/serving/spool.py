"""A body that arrives in pieces -> its lines, kept in a temporary file in between.

The body is read as fast as it comes, however slowly it is worked off: a client that reads its answer only after it has
sent everything would otherwise wait for the server, and the server for it.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterable, AsyncIterator

IN_MEMORY = 1 << 20
_PIECE = 1 << 16


class LineTooLongError(ValueError):
    """A line is longer than allowed."""


class Spool:
    """A file that is written at its end and read at its beginning, within one event loop."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - see close
        self._written = self._read = 0
        self._changed = asyncio.Event()
        self._whole = False
        self._error: BaseException | None = None

    async def fill(self, pieces: AsyncIterable[bytes]) -> None:
        """Takes in a body; what goes wrong is raised where the lines are read."""
        try:
            async for piece in pieces:
                self._file.seek(self._written)
                self._file.write(piece)
                self._written += len(piece)
                self._changed.set()
        except Exception as error:  # noqa: BLE001 - raised again by the reader
            self._error = error
        finally:
            self._whole = True
            self._changed.set()

    async def lines(self, longest: int) -> AsyncIterator[bytes | LineTooLongError]:
        """The lines as they come, without their ends; an error in the place of one that is too long."""
        rest, skipping = b"", False
        while True:
            piece = await self._next()
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield LineTooLongError() if skipping or len(line) > longest else line
                skipping = False
            if len(rest) > longest:
                rest, skipping = b"", True
        if skipping or rest:
            yield LineTooLongError() if skipping else rest

    async def _next(self) -> bytes:
        while self._read == self._written:
            if self._error is not None:
                raise self._error
            if self._whole:
                return b""
            self._changed.clear()
            await self._changed.wait()
        self._file.seek(self._read)
        piece = self._file.read(_PIECE)
        self._read += len(piece)
        return piece

    def close(self) -> None:
        """Deletes the file."""
        self._file.close()
