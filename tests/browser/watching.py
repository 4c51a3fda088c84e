"""A page whose requests and reports are watched."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def watched(context: Any, console_errors: list[str], *places: str) -> Iterator[Any]:
    """A page that may load from these places only, and reports nothing on its console."""
    requests: list[str] = []
    context.set_default_timeout(10_000)
    context.on("request", lambda request: requests.append(request.url))
    page = context.new_page()
    page.on("websocket", lambda socket: requests.append(socket.url))
    page.on("pageerror", lambda error: console_errors.append(str(error)))
    page.on(
        "console",
        lambda message: console_errors.append(message.text) if message.type in ("error", "warning") else None,
    )
    yield page
    context.close()
    assert [url for url in requests if not url.startswith((*places, "blob:", "data:"))] == []
    assert console_errors == []
