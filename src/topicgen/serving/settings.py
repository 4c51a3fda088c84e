"""Settings of the server; each default stands here once and is checked at construction."""

import ipaddress
from dataclasses import dataclass, field

from topicgen.config import require_between
from topicgen.errors import UsageError

TOKEN_VARIABLE = "TOPICGEN_TOKEN"  # noqa: S105 - the name of a variable
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the server listens to, whom it answers, and how much it takes."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    token: str | None = field(default=None, repr=False)
    """What every request must show; None: none, which is for loopback addresses only."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which the server may be addressed, besides those of the loopback and its own; ``*``: any."""
    deterministic: bool = False
    """Whether each document is computed alone, so that no neighbour in a batch changes its topic."""
    second_look: bool = True
    """Whether doubtful topics are sought again."""
    gather_seconds: float = 0.004
    """How long the first document of a batch waits for others while the engine is idle."""
    batch_documents: int = 64
    """Most documents of one batch."""
    queue_documents: int = 4096
    """Documents that may wait for the engine; a request that brings more is refused with 503."""
    stream_window: int = 64
    """Documents of one stream that may wait for the engine."""
    max_requests: int = 256
    """Requests that are answered at the same time; more are refused with 503."""
    max_connections: int = 1024
    """Open connections; more are refused with 503."""
    max_body_bytes: int = 16 << 20
    """Longest JSON body."""
    max_buffered_bytes: int = 128 << 20
    """JSON bodies in memory, all requests together."""
    max_stream_bytes: int = 1 << 30
    """Longest body of JSON lines, which is kept in a temporary file."""
    max_documents: int = 1000
    """Documents of one request for topics; a stream may have any number."""
    max_theme_documents: int = 10_000
    """Documents of one request for themes."""
    max_characters: int = 200_000
    """Characters of one document."""
    header_seconds: float = 10
    """How long the header of a request may take to arrive."""
    body_seconds: float = 30
    """How long the body of a request may take, besides the time that ``body_rate`` grants."""
    body_rate: int = 1000
    """Bytes of a body for which a client gets another second."""
    stall_seconds: float = 60
    """How long a client may leave an answer unread."""
    request_seconds: float = 300
    """How long an answer may take, from the end of the header to the last byte."""
    stream_seconds: float = 3600
    """The same for answers of JSON lines."""
    drain_seconds: float = 60
    """How long requests in flight may take once the server was told to stop."""

    def __post_init__(self) -> None:
        require_between(
            self,
            ("port", 0, 65535),
            ("gather_seconds", 0, 1),
            ("batch_documents", 1, 4096),
            ("max_documents", 1, self.queue_documents),
            ("max_theme_documents", 1, 100_000),
            ("max_characters", 1, 10_000_000),
            ("max_body_bytes", 1, self.max_buffered_bytes),
            ("header_seconds", 0.1, 3600),
            ("body_seconds", 0.1, 3600),
            ("request_seconds", 0.1, 86_400),
            ("drain_seconds", 0, 86_400),
        )
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise UsageError(f"{TOKEN_VARIABLE}: holds white space or characters outside ASCII, so it is no token")
        if not self.token and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host} can be reached from other machines: set {TOKEN_VARIABLE} to a secret, "
                "which every request must then show, or listen on 127.0.0.1"
            )

    @property
    def longest_line(self) -> int:
        """Bytes of one JSON line: a character takes at most twelve, as two escapes."""
        return 12 * self.max_characters + 4096


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
