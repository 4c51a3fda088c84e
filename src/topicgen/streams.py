"""A source -> its bytes, its decoded text in chunks, and its lines; never more than a bounded piece in memory."""

import codecs
import io
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import IO, Any, BinaryIO, cast

from topicgen.errors import UserError
from topicgen.sources import Source

BLOCK_BYTES = 1 << 16
SIP_BYTES = 1 << 10

# A gzip file that grew beyond both limits is taken for a bomb: real text seldom shrinks below a twentieth.
GZIP_FREE_BYTES = 256 << 20
GZIP_MAX_RATIO = 200

# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class EarlyEndError(Exception):
    """The rest of a source cannot be read; what came before it stands. The message is the reason."""


class _Sips:
    """A compressed file that is read a little at a time: where it is damaged, what was read at once is lost."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, SIP_BYTES))


@contextmanager
def open_bytes(source: Source, stdin: BinaryIO | None = None) -> Iterator[BinaryIO]:
    """Opens a source as it is stored; standard input stays open."""
    if source.path is None:
        stream = stdin or getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise UserError("-: standard input is closed")
        yield stream
        return
    try:
        file = source.path.open("rb")
    except OSError as error:
        raise UserError(f"{source.name}: cannot be read: {error.strerror}") from None
    with file:
        yield file


def read_blocks(source: Source, stdin: BinaryIO | None = None) -> Iterator[bytes]:
    """Yields the bytes of a source, decompressed; raises EarlyEndError where gzip is cut off, damaged or a bomb."""
    import gzip
    import zlib

    with open_bytes(source, stdin) as stored:
        stream: Any = gzip.GzipFile(fileobj=cast(BinaryIO, _Sips(stored))) if source.gzipped else stored
        # read1 hands out what is there, so a slow pipe is not waited for and nothing before an error is lost.
        read = getattr(stream, "read1", stream.read)
        total = 0
        while True:
            try:
                block = read(BLOCK_BYTES)
            except EOFError:
                raise EarlyEndError("the gzip data ends early") from None
            except (zlib.error, gzip.BadGzipFile):
                # Its checksum stands at the very end, so wrong bytes may have passed before the format broke.
                raise EarlyEndError("the gzip data is damaged, rows before the damage may be wrong") from None
            except (OSError, ValueError) as error:
                raise UserError(f"{source.name}: cannot be read: {error}") from None
            if not block:
                return
            total += len(block)
            if source.gzipped and total > GZIP_FREE_BYTES and total > GZIP_MAX_RATIO * stored.tell():
                raise EarlyEndError(f"stopped reading, its gzip data grows more than {GZIP_MAX_RATIO}-fold")
            yield block


def spool(source: Source, stdin: BinaryIO | None = None) -> IO[bytes]:
    """Copies the bytes of a source, decompressed, into a temporary file that disappears when it is closed."""
    try:
        with ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile())
            for block in read_blocks(source, stdin):
                file.write(block)
            file.seek(0)
            stack.pop_all()
    except OSError as error:
        raise UserError(f"{source.name}: cannot be copied to a temporary file: {error.strerror}") from None
    return file


def read_text(source: Source, encoding: str | None, stdin: BinaryIO | None = None) -> Iterator[str]:
    """Yields the text of a source in chunks, without byte order mark and with line feeds for all line ends."""
    return decode(source.name, read_blocks(source, stdin), encoding)


def decode(name: str, blocks: Iterator[bytes], encoding: str | None) -> Iterator[str]:
    """Decodes blocks of bytes; raises UserError with the line where the bytes do not fit the encoding."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= 4:
            break
    codec, mark = _codec(head, encoding)
    decoder = codecs.getincrementaldecoder(codec)()
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    line = 1
    for part in chain((head[mark:],), blocks, (None,)):
        try:
            text = decoder.decode(part or b"", part is None)
        except UnicodeError as error:
            good = line_ends.decode(_text_before(error, codec), True)
            yield good
            raise UserError(_not_valid(f"{name}:{line + good.count(chr(10))}", codec, encoding, error)) from None
        text = line_ends.decode(text, part is None)
        line += text.count("\n")
        yield text


def _codec(head: bytes, encoding: str | None) -> tuple[str, int]:
    """The codec of data that begins with ``head``, and the length of its byte order mark."""
    codec = codecs.lookup(encoding or "utf-8").name
    for mark, marked in _MARKS:
        # No mark of UTF-16 or UTF-32 is valid UTF-8, so it is believed there too.
        if head.startswith(mark) and (codec in ("utf-8", "utf-8-sig") or marked[:6] == codec[:6]):
            return marked, len(mark)
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(codec, codec), 0


def _text_before(error: UnicodeError, codec: str) -> str:
    if not isinstance(error, UnicodeDecodeError):
        return ""
    try:
        return error.object[: error.start].decode(codec)
    except UnicodeError:  # a codec with shift states, entered in the middle
        return ""


def _not_valid(where: str, codec: str, encoding: str | None, error: UnicodeError) -> str:
    byte = f" (byte {error.object[error.start]:#04x})" if isinstance(error, UnicodeDecodeError) else ""
    hint = "check --encoding" if encoding else "if the file is Latin-1, use --encoding latin-1"
    if isinstance(error, UnicodeDecodeError) and error.object.startswith(b"\x1f\x8b"):
        hint = "it looks like gzip: name the file .gz, or decompress it first"
    return f"{where}: not valid {codec}{byte}; {hint}"


def split_pieces(chunks: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yields the pieces of lines that the chunks hold, and whether each one ends its line."""
    for chunk in chunks:
        *whole, rest = chunk.split("\n")
        for piece in whole:
            yield piece, True
        if rest:
            yield rest, False


def split_lines(chunks: Iterable[str], limit: int) -> Iterator[tuple[str, bool]]:
    """Yields lines without their line feed; those over ``limit`` characters are cut, and the flag says so."""
    held: list[str] = []
    size = 0
    for piece, ends in split_pieces(chunks):
        size += len(piece)
        if size <= limit:
            held.append(piece)
        elif size - len(piece) < limit:
            held.append(piece[: limit - size])
        if ends:
            yield "".join(held), size > limit
            held, size = [], 0
    if held:
        yield "".join(held), size > limit
