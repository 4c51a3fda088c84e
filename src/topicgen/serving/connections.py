"""HTTP connections with deadlines, which uvicorn lacks: slow headers, slow bodies, answers that are not read."""

from uvicorn.protocols.http.h11_impl import H11Protocol

from topicgen.serving.settings import ServerSettings


def protocol_with(settings: ServerSettings) -> type[H11Protocol]:
    """The protocol of uvicorn with the deadlines of these settings."""
    return type("Protocol", (DeadlineProtocol,), {"settings": settings})


class DeadlineProtocol(H11Protocol):
    """Closes a connection whose client is too slow, with 408 where no answer has begun."""

    settings: ServerSettings
