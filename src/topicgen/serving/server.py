"""Settings and models in, a server that answers until it is told to stop."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping
from types import FrameType

import uvicorn

from topicgen.errors import UserError
from topicgen.generate import TopicGenerator
from topicgen.serving.admission import Flight
from topicgen.serving.app import create_app
from topicgen.serving.connections import protocol_with
from topicgen.serving.settings import ServerSettings

GRACE = 0.5  # seconds in which what was sent before the signal is still answered
CLOSING = 5  # seconds in which connections are closed after that


def listening(settings: ServerSettings) -> socket.socket:
    """A bound socket, before any model is loaded; raises UserError when the address cannot be had."""
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise UserError(f"cannot listen on {where}: {error.strerror or error}") from None
    return bound


class DrainingServer(uvicorn.Server):
    """Told to stop, it answers new requests with 503 until those in flight are done."""

    def __init__(self, config: uvicorn.Config, flight: Flight, settings: ServerSettings) -> None:
        super().__init__(config)
        self._flight = flight
        self._patience = settings.drain_seconds
        self._told = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal starts the draining, a second one ends it."""
        self.should_exit = self.should_exit or self._flight.draining
        self._flight.draining = True
        self._told = self._told or time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Whether it is over; asked ten times a second."""
        over = await super().on_tick(counter)
        if not self._flight.draining:
            return over
        waited = time.monotonic() - self._told
        if over or waited > self._patience:
            self._flight.over.set()
            return True
        return not self._flight.requests and waited > GRACE


def serve(
    settings: ServerSettings, bound: socket.socket, generators: Mapping[str, TopicGenerator], ready: Callable[[], None]
) -> None:
    """Answers requests on a bound socket until SIGTERM or SIGINT."""
    app = create_app(settings, generators)
    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.ERROR)
    log.addFilter(lambda record: "without completing response" not in str(record.msg))  # said with its reason already
    config = uvicorn.Config(
        app,
        http=protocol_with(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSING,
    )
    server = DrainingServer(config, app.state.service.flight, settings)

    async def run() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[bound]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            ready()
        await serving

    # uvicorn restores these when it is done, so that late signals change nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    asyncio.run(run())
