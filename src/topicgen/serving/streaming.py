"""JSON lines in, a row for each of them out, in order and as they are written."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from topicgen.records import Document, Topic
from topicgen.rows import json_text
from topicgen.serving.admission import NDJSON
from topicgen.serving.batching import Ticket, Work
from topicgen.serving.bodies import parse_json
from topicgen.serving.failures import RequestFailure, invalid, what_is_wrong
from topicgen.serving.schemas import InputDocument, Text
from topicgen.serving.service import Service, row_of
from topicgen.serving.spool import LineTooLongError, Spool

_log = logging.getLogger("uvicorn.error")
_LINE: TypeAdapter[str | InputDocument] = TypeAdapter(Text | InputDocument)
Item = Document | RequestFailure
"""A document, or why there is none."""


class RowsResponse(StreamingResponse):
    """Writes rows until they end; the middleware, not this response, watches for clients that leave."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


async def rows_response(service: Service, items: AsyncIterator[Item], work: Work) -> RowsResponse:
    """An answer that writes a row for each item.

    Raises:
        RequestFailure: What kept the first row from being written; later failures are lines of the answer.
    """
    rows = rows_of(service, items, work)
    try:
        first = await anext(rows, None)
    except BaseException:
        await rows.aclose()
        raise

    async def written() -> AsyncIterator[bytes]:
        async with contextlib.aclosing(rows):
            if first is not None:
                yield first
            async for row in rows:
                yield row

    return RowsResponse(written(), media_type=NDJSON)


async def rows_of(service: Service, items: AsyncIterator[Item], work: Work) -> AsyncGenerator[bytes]:
    """The lines of the rows of all items, in order; no more items are read ahead than the settings allow."""
    ticket = Ticket(service.batcher, work)
    ahead: asyncio.Queue[asyncio.Future[Topic] | RequestFailure | None] = asyncio.Queue(service.settings.stream_window)
    reader = asyncio.ensure_future(_submit(service, items, ticket, ahead))
    number = 0
    try:
        while (entry := await ahead.get()) is not None:
            number += 1
            try:
                if isinstance(entry, RequestFailure):
                    raise entry
                row = json_text(row_of(await entry, work.generation.topics > 1))
            except RequestFailure as failure:
                if number == 1:
                    raise
                row = json_text(failure.body | {"line": number})
            yield row.encode() + b"\n"
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        ticket.close()


async def _submit(
    service: Service,
    items: AsyncIterator[Item],
    ticket: Ticket,
    ahead: "asyncio.Queue[asyncio.Future[Topic] | RequestFailure | None]",
) -> None:
    first = True
    try:
        async for item in items:
            if isinstance(item, RequestFailure):
                await ahead.put(item)
                continue
            if not first:  # the first is refused where there is no room, as a request of one document is
                await service.batcher.room()
            first = False
            [topic] = ticket.submit([item])
            await ahead.put(topic)
    except RequestFailure as failure:
        await ahead.put(failure)
    except Exception:  # noqa: BLE001 - such as no room for the body on the disk; the answer must end
        _log.exception("a request of JSON lines failed")
        await ahead.put(RequestFailure(500, "the server could not read on; see its log", "server_error"))
    await ahead.put(None)


async def items_of_lines(service: Service, request: Request) -> AsyncIterator[Item]:
    """The documents of a body of JSON lines, each a text or an object with id and text; empty lines are passed over."""
    spool = Spool()
    filler = asyncio.ensure_future(spool.fill(request.stream()))
    number = 0
    try:
        async for line in spool.lines(service.settings.longest_line):
            if not isinstance(line, LineTooLongError) and not line.strip():
                continue
            number += 1
            yield _item(service, line, number)
    finally:
        filler.cancel()
        await asyncio.gather(filler, return_exceptions=True)
        spool.close()


def _item(service: Service, line: bytes | LineTooLongError, number: int) -> Item:
    if isinstance(line, LineTooLongError):
        return invalid(f"line {number}: longer than {service.settings.longest_line:,} bytes")
    try:
        return service.document(_LINE.validate_python(parse_json(line), strict=True), number)
    except ValidationError as error:
        return invalid(f"line {number}: {what_is_wrong(error.errors())}")
    except RequestFailure as failure:
        return invalid(f"line {number}: {failure.detail}")
