"""HTTP connections with deadlines, which uvicorn lacks: slow headers, slow bodies, answers that nobody reads.

Without them a client that sends a byte from time to time holds a connection for ever. Keep-alive connections that rest
between two requests are uvicorn's own matter.
"""

import asyncio
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from topicgen.serving.failures import RequestFailure, overloaded
from topicgen.serving.settings import ServerSettings

RETRY = 5  # seconds


class DeadlineProtocol(H11Protocol):
    """Ends a connection whose client is too slow: with 408 where no answer has begun.

    A header must be complete within ``header_seconds``; a body within ``body_seconds`` and a second more for each
    ``body_rate`` bytes; an answer must not lie unread for ``stall_seconds``.
    """

    settings: ServerSettings
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _awaited: str | None = None
    _since = 0.0
    _bytes = 0  # of the body that is awaited, and of the packet in which it began

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its header must come in time."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.max_connections:
            self._refuse(overloaded("too many connections; try again later", RETRY))
            return
        self._await("header")

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._bytes = self._bytes + len(data) if self._awaited == "body" else len(data)
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """An answer is written; perhaps the next request is here already."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._await(None)
        if self._stalled:
            self._stalled.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read as fast as answers are written."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.settings.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        if self._stalled:
            self._stalled.cancel()

    def _look(self) -> None:
        """Notes what the client owes now."""
        if self.transport.is_closing():
            self._await(None)
        elif self.conn.their_state is h11.SEND_BODY:
            self._await("body")
        elif self.conn.their_state is h11.IDLE and (self.conn.trailing_data[0] or self.cycle is None):
            self._await("header")
        else:
            self._await(None)

    def _await(self, what: str | None) -> None:
        if what == self._awaited and what is not None:
            return
        if self._timer:
            self._timer.cancel()
        self._timer, self._awaited = None, what
        if what:
            self._since = self.loop.time()
            seconds = self.settings.header_seconds if what == "header" else self.settings.body_seconds
            self._timer = self.loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        """The time is over, unless the bytes of a body that is wanted have earned more."""
        if self._awaited == "body" and not self.cycle.response_complete:
            earned = self._since + self.settings.body_seconds + self._bytes / self.settings.body_rate
            if earned > self.loop.time():
                self._timer = self.loop.call_at(earned, self._overdue)
                return
        self._refuse(RequestFailure(408, f"the {self._awaited} of the request came too slowly", "too_slow"))

    def _refuse(self, failure: RequestFailure) -> None:
        """Ends the connection, with an answer where a request has begun and its answer has not."""
        self._await(None)
        silent = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0] and failure.status_code == 408
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not silent:
            response = failure.response()
            headers = [*response.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(
                    status_code=failure.status_code, headers=headers, reason=HTTPStatus(failure.status_code).phrase
                ),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            if self.cycle and not self.cycle.response_complete:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        self.transport.close()


def protocol_with(settings: ServerSettings) -> type[DeadlineProtocol]:
    """The protocol with the deadlines of these settings."""
    return type("Protocol", (DeadlineProtocol,), {"settings": settings})
