"""How much may be asked: requests in flight, bytes of bodies, time; what happens when a client leaves."""

import asyncio
import logging
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from topicgen.serving.failures import RequestFailure, overloaded
from topicgen.serving.metrics import Metrics
from topicgen.serving.settings import ServerSettings
from topicgen.terminal import say

NDJSON = "application/x-ndjson"
FILES = "/page/"  # below it the page sends whole files, which are not held in memory
PROBES = ("/healthz", "/metrics")
STOPPING = "the server is stopping"
_RETRY = 2  # seconds
_log = logging.getLogger("uvicorn.error")


def is_ndjson(value: str | None) -> bool:
    """Whether a Content-Type or Accept header speaks of JSON lines."""
    return any(part.partition(";")[0].strip().lower() == NDJSON for part in (value or "").split(","))


class Flight:
    """The requests in flight, and whether new ones are taken."""

    def __init__(self) -> None:
        self.draining = False
        self.over = asyncio.Event()
        """Set when requests in flight have no time left."""
        self.requests = 0
        self.buffered = 0
        """Bytes of JSON bodies."""


class _Request:
    """One request on its way: its body is counted, its client watched."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: ServerSettings, flight: Flight) -> None:
        headers = Headers(scope=scope)
        self._receive, self._send, self._flight = receive, send, flight
        self._stream = is_ndjson(headers.get("content-type")) or scope["path"].startswith(FILES)
        self._most = settings.max_stream_bytes if self._stream else settings.max_body_bytes
        self._budget = settings.max_buffered_bytes
        self._whole = asyncio.Event()  # the body is read; from then on only a goodbye can come
        self._length = int(headers["content-length"]) if headers.get("content-length", "").isdecimal() else 0
        self._read = self._buffered = 0
        self._gone = False
        self.started = self.finished = False
        self.status = 499  # what servers log for clients that left
        streamed = self._stream or is_ndjson(headers.get("accept"))
        self.seconds = settings.stream_seconds if streamed else settings.request_seconds

    async def receive(self) -> Message:
        if self._length > self._most:
            raise self._too_large()
        if self._whole.is_set():
            await asyncio.Event().wait()  # the watch below tells; it cancels the request
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone = True
            self._whole.set()
            return message
        self._count(len(message.get("body", b"")))
        if not message.get("more_body"):
            self._whole.set()
        return message

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > self._most:
            raise self._too_large()
        if not self._stream:
            self._buffered += size
            self._flight.buffered += size
            if self._flight.buffered > self._budget:
                raise overloaded("too many large requests at once; try again later", _RETRY)

    def _too_large(self) -> RequestFailure:
        return RequestFailure(413, f"the body is larger than {self._most:,} bytes", "too_large")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
        elif not message.get("more_body"):
            self.finished = True
        await self._send(message)

    async def left(self) -> None:
        """Returns when the client has left."""
        await self._whole.wait()
        while not self._gone:
            self._gone = (await self._receive())["type"] == "http.disconnect"

    def close(self) -> None:
        self._flight.buffered -= self._buffered


class Admission:
    """Middleware: 503 where there is no room or the server drains, 413 for large bodies, an end for slow requests."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, flight: Flight, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._flight = flight
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in PROBES:  # whether the process lives must be answered when it is busy, too
            await self._app(scope, receive, send)
            return
        if self._flight.draining:
            response = overloaded(STOPPING, _RETRY).response()
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        if self._flight.requests >= self._settings.max_requests:
            await overloaded("too many requests at once; try again later", _RETRY).response()(scope, receive, send)
            return
        began = time.monotonic()
        request = _Request(scope, receive, send, self._settings, self._flight)
        self._flight.requests += 1
        self._metrics.running.set(self._flight.requests)
        try:
            await self._answer(scope, request)
        finally:
            request.close()
            self._flight.requests -= 1
            self._metrics.running.set(self._flight.requests)
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, request.status).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - began)

    async def _answer(self, scope: Scope, request: _Request) -> None:
        """Runs the app until it is done, its client has left, or its time is over."""
        work = asyncio.ensure_future(self._app(scope, request.receive, request.send))
        watch = asyncio.ensure_future(request.left())
        over = asyncio.ensure_future(self._flight.over.wait())
        try:
            await asyncio.wait({work, watch, over}, timeout=request.seconds, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not request.finished:
                if watch.done():
                    self._metrics.cancelled.inc()
                else:
                    await self._give_up(scope, request, work, STOPPING if over.done() else "the answer took too long")
                return
            await work
        except RequestFailure as failure:
            await self._fail(scope, request, failure)
        except Exception:  # noqa: BLE001 - a fault of ours: the log says what, the client does not learn it
            _log.exception("request failed")
            await self._fail(scope, request, RequestFailure(500, "the server failed on this request", "failed"))
        finally:
            for task in (work, watch, over):
                task.cancel()
            await asyncio.gather(work, watch, over, return_exceptions=True)

    async def _give_up(self, scope: Scope, request: _Request, work: "asyncio.Future[None]", reason: str) -> None:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await self._fail(scope, request, overloaded(reason, _RETRY))

    async def _fail(self, scope: Scope, request: _Request, failure: RequestFailure) -> None:
        if request.started:  # it ends here, and its connection with it
            say(f"an answer was cut off: {failure.detail}")
        else:
            await failure.response()(scope, request.receive, request.send)
