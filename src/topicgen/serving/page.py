"""The page at ``/``: its files, and what its scripts ask of the server beside the API."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from topicgen.config import ReaderSettings, Unit
from topicgen.errors import UserError
from topicgen.rows import json_text
from topicgen.serving.admission import NDJSON
from topicgen.serving.documentation import POLICY
from topicgen.serving.exports import parquet_file
from topicgen.serving.failures import RequestFailure, invalid
from topicgen.serving.streaming import RowsResponse
from topicgen.serving.uploads import Upload, preview, read_upload

HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
SCRIPTS = ("serve", "serve_api", "serve_downloads", "serve_files", "serve_table", "serve_themes", "serve_topics")
SHARED_SCRIPTS = ("themes_text", "themes_pages", "themes_charts", "themes_map")
"""Scripts of the report of ``topicgen themes``."""

FILES = {
    **{f"{name}.js": "text/javascript" for name in (*SCRIPTS, *SHARED_SCRIPTS)},
    **{f"{name}.css": "text/css" for name in ("serve", "themes")},
    "example.txt": "text/plain",
}
"""The names under ``/page/``, each a template, and their media types; no other name is looked for."""

_PIECE = 1 << 16
# What the reader calls its options on the command line -> what the page calls them.
_OPTIONS = {"--text-column": "Text column", "--encoding": "Encoding", "--delimiter": "Separator"}

router = APIRouter(include_in_schema=False)


@router.get("/")
def page() -> Response:
    """The page."""
    return _template("serve.html", "text/html")


@router.get("/page/{name}")
def page_file(name: str) -> Response:
    """A script, style or text of the page."""
    if name not in FILES:
        raise RequestFailure(404, "no such file", "not_found")
    return _template(name, FILES[name])


def _template(name: str, kind: str) -> Response:
    content = (files("topicgen") / "templates" / name).read_bytes()
    return Response(content, media_type=f"{kind}; charset=utf-8", headers=HEADERS)


def reading(
    unit: Unit = "paragraph",
    encoding: Annotated[str, Query(max_length=40)] = "",
    delimiter: Annotated[str, Query(max_length=1)] = "",
    column: str = "",
    id_column: str = "",
) -> ReaderSettings:
    """How the file of a request is read; an empty parameter stands for the reader's default."""
    with _told():
        return ReaderSettings(
            unit=unit,
            encoding=encoding or None,
            delimiter=delimiter or None,
            text_column=column or None,
            id_column=id_column or None,
        )


Reading = Annotated[ReaderSettings, Depends(reading)]
Name = Annotated[str, Query(min_length=1, max_length=255)]


@router.post("/page/preview")
async def preview_file(request: Request, name: Name, settings: Reading) -> Response:
    """The columns and first rows of a file, of which the body is the beginning."""
    with await _received(request) as file:
        return JSONResponse(await run_in_threadpool(_preview, Upload(name, Path(file.name)), settings))


@router.post("/page/documents")
async def read_file(request: Request, name: Name, settings: Reading, keep: bool = False) -> Response:
    """The documents of a file, as JSON lines; what goes wrong after the first is the last line."""
    file = await _received(request)
    lines = await run_in_threadpool(_documents, Upload(name, Path(file.name)), settings, keep, file)
    return RowsResponse(iterate_in_threadpool(lines), media_type=NDJSON)


@router.post("/page/parquet")
async def write_parquet(request: Request) -> Response:
    """A Parquet file of the rows in the body, JSON lines."""
    with await _received(request) as file:
        written = await run_in_threadpool(_parquet, file)
    return RowsResponse(iterate_in_threadpool(_pieces(written)), media_type="application/vnd.apache.parquet")


async def _received(request: Request) -> IO[bytes]:
    """The body in a temporary file, which is deleted when it is closed; its length is limited before it comes here."""
    file = NamedTemporaryFile(prefix="topicgen-")  # noqa: SIM115 - the caller closes it
    try:
        async for piece in request.stream():
            file.write(piece)
        file.seek(0)  # flushes too
    except OSError as error:
        raise RequestFailure(507, f"no room for the file: {error.strerror}", "no_room") from None
    return file


@contextmanager
def _told() -> Iterator[None]:
    """Turns what a user can mend into an answer."""
    try:
        yield
    except UserError as error:
        raise invalid(_in_words_of_the_page(error)) from None


def _in_words_of_the_page(error: UserError) -> str:
    return re.sub("|".join(_OPTIONS), lambda found: _OPTIONS[found[0]], str(error))


def _preview(upload: Upload, settings: ReaderSettings) -> dict[str, Any]:
    with _told():
        return preview(upload, settings)


def _documents(upload: Upload, settings: ReaderSettings, keep: bool, file: IO[bytes]) -> Iterator[bytes]:
    with _told():
        rows = read_upload(upload, settings, keep_rest=keep)

    def lines() -> Iterator[bytes]:
        with file:
            try:
                for row in rows:
                    yield json_text(row).encode("utf-8", "replace") + b"\n"
            except UserError as error:
                yield json_text(invalid(_in_words_of_the_page(error)).body).encode("utf-8", "replace") + b"\n"

    return _gathered(lines())


def _parquet(file: IO[bytes]) -> IO[bytes]:
    with _told():
        return parquet_file(file)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _gathered(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines in larger pieces, since each piece of an answer costs a change of threads."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)
