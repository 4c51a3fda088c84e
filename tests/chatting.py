"""A chat server that answers as a test tells it, on the loopback; and what tests ask of a client."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from topicgen.chat import ChatClient, ChatFailure

Reply = tuple[int, object]  # status, and the JSON or text of the body


def clear_environment(patch: pytest.MonkeyPatch) -> None:
    """No setting of the tester's reaches the client, and no proxy stands before the loopback."""
    for name in list(os.environ):
        if name.startswith("OPENAI_"):
            patch.delenv(name)
    patch.setenv("NO_PROXY", "127.0.0.1")


def completion(text: str | None) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return 200, {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}


class ScriptedServer:
    """Answers chat completions with ``reply(prompt)``; keeps the requests that it got."""

    def __init__(self, reply: Callable[[str], Reply]) -> None:
        self.requests: list[dict[str, object]] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                outer.keys.append(self.headers["Authorization"])
                status, body = reply(request["prompt"] if "prompt" in request else request["messages"][0]["content"])
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                with suppress(OSError):  # the client may have given up
                    self.send_response(status)
                    self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.send_header("Retry-After-Ms", "1")
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_port}"


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, reply: Callable[[str], Reply]) -> Iterator[ScriptedServer]:
    server = ScriptedServer(reply)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://{server.address}/v1")
    thread = Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def only(client: ChatClient, prompt: str = "hello") -> str | ChatFailure:
    (answer,) = client.ask([prompt], 8)
    return answer


def reason(answer: str | ChatFailure) -> str:
    assert isinstance(answer, ChatFailure)
    return answer.reason
