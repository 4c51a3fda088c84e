"""Real servers on the loopback, as the tests start and ask them."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from commands import Command

PATIENCE = 120  # seconds after which something that hangs fails its test
NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass
class Server:
    """A running ``topicgen serve``."""

    process: "subprocess.Popen[str]"
    port: int
    token: str | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def topics(self, documents: Any, **more: Any) -> httpx.Response:
        return self.client.post("/v1/topics", json={"documents": documents, **more})

    def lines(self, content: Any, **query: Any) -> httpx.Response:
        return self.client.post("/v1/topics", content=content, headers=NDJSON, params=query)

    def count(self, name: str) -> float:
        """The sum of a counter over all its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{name}(\{{| )", line))

    def stop(self) -> tuple[int, str]:
        """Sends SIGTERM; returns the exit code and what was said."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        return self.process.wait(PATIENCE), said


@contextmanager
def served(*arguments: str, token: str | None = None, wrapper: str | None = None) -> Iterator[Server]:
    """A server on a free port, killed at the end if it is still there; ``wrapper`` is code that runs before it."""
    environment = {name: value for name, value in os.environ.items() if name != "TOPICGEN_TOKEN"}
    command = Command.argv("serve", "--port", "0", *arguments, wrapper=wrapper)
    with subprocess.Popen(
        command,
        env=environment | ({"TOPICGEN_TOKEN": token} if token else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.fullmatch(r"topicgen: serving .* on http://\S+:(\d+)\n", line)
            assert found, line + process.stderr.read()
            server = Server(process, int(found[1]), token)
            with server.client:
                yield server
        finally:
            process.kill()


@contextmanager
def raw(server: Server, sent: bytes = b"") -> Iterator[socket.socket]:
    """A connection that has sent these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        yield connection


def received(connection: socket.socket, until: bytes | None = None) -> bytes:
    """All bytes until the server closes the connection, or these came at the end of a packet."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
            if until and part.endswith(until):
                break
    except ConnectionResetError:
        pass
    return b"".join(parts)


def post(path: str, body: bytes, length: int | None = None, kind: str = "application/json") -> bytes:
    """A request as bytes; ``length`` may promise more than the body has."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def jsonl(documents: list[Any]) -> bytes:
    return b"".join(json.dumps(document, ensure_ascii=False).encode() + b"\n" for document in documents)


class Trickle(threading.Thread):
    """Sends a byte over and over, as slowly as asked, until the server closes the connection."""

    def __init__(self, connection: socket.socket, byte: bytes, every: float) -> None:
        super().__init__(daemon=True)
        self._connection, self._byte, self._every = connection, byte, every
        self.over = threading.Event()
        self.sent = 0

    def run(self) -> None:
        while not self.over.wait(self._every):
            try:
                self._connection.sendall(self._byte)
            except OSError:
                return
            self.sent += 1
