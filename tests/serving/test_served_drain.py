"""Fault 54: SIGTERM under load, and requests of foreign names and pages."""

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import pytest
from serving.conftest import TOKEN
from serving.servers import NDJSON, PATIENCE, Server, jsonl, served

from topicgen import TopicGenerator

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

ROUNDS = 50 if os.environ.get("TOPICGEN_TORTURE") else 2
CLIENTS = 12
BEES = "Bees make honey from the nectar of flowers."


@dataclass
class Load:
    """Clients that ask without pause until the server has ended, and what became of their requests."""

    server: Server
    told: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    answered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def client(self, number: int) -> None:
        """Notes each request: its status, or that no whole answer came."""
        count = 0
        with httpx.Client(base_url=self.server.url, timeout=PATIENCE, trust_env=False) as client:
            while not self.over.is_set():
                before = not self.told.is_set()
                count += 1
                text = f"{BEES} Client {number}, request {count}."
                try:
                    if number % 3:
                        answer = client.post("/v1/topics", json={"documents": text})
                        whole = answer.status_code == 503 or answer.json()["topics"][0]["status"] == "ok"
                    else:
                        lines = jsonl([f"{text} {line}" for line in range(6)])
                        answer = client.post("/v1/topics", content=lines, headers=NDJSON)
                        whole = answer.status_code == 503 or answer.text.count('"status": "ok"') == 6
                except httpx.ConnectError:
                    self.outcomes["refused"] += 1
                    if self.told.is_set():
                        return
                    self.lost.append("not connected before the signal")
                except (httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError) as error:
                    # A connection that rests is closed at the end; a request that meets this has not been read.
                    self.outcomes["closed"] += 1
                    if before or "incomplete" in str(error):
                        self.lost.append(repr(error))
                else:
                    self.outcomes[str(answer.status_code)] += 1
                    self.answered.release()
                    if not whole or answer.status_code not in (200, 503):
                        self.lost.append(answer.text[:300])


def drained(round_number: int) -> Counter[str]:
    """Stops a server under load; what its clients met."""
    with served() as server:
        load = Load(server)
        clients = [threading.Thread(target=load.client, args=(number,)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(CLIENTS // 2 + 5 * (round_number % 7)):  # the signal comes at another moment in each round
            assert load.answered.acquire(timeout=PATIENCE), load.outcomes
        load.told.set()
        code, said = server.stop()
        load.over.set()
        for client in clients:
            client.join(PATIENCE)
    assert load.lost == []
    assert (code, said) == (0, "topicgen: stopped\n")
    return load.outcomes


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_fault_54_sigterm_under_load_loses_no_request(generator: TopicGenerator, round_number: int) -> None:
    assert drained(round_number)["200"] >= CLIENTS // 2


def test_fault_54_a_stopping_server_finishes_what_it_has_and_refuses_new_requests(generator: TopicGenerator) -> None:
    lines = jsonl([f"{BEES} Number {number}." for number in range(30)])
    with served() as server, httpx.Client(base_url=server.url, timeout=PATIENCE, trust_env=False) as other:
        assert other.get("/readyz").status_code == 200
        with server.client.stream("POST", "/v1/topics", content=lines, headers=NDJSON) as stream:
            rows = stream.iter_lines()
            next(rows)
            server.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while (refused := other.get("/readyz")).status_code != 503:
                assert time.monotonic() < deadline
            assert refused.headers["retry-after"]
            assert other.post("/v1/topics", json={"documents": BEES}).status_code == 503
            assert len(list(rows)) == 29
        assert server.process.wait(PATIENCE) == 0


def test_fault_54_a_second_signal_ends_the_waiting(generator: TopicGenerator) -> None:
    lines = jsonl([f"{BEES} Number {number}." for number in range(3000)])
    with served() as server, server.client.stream("POST", "/v1/topics", content=lines, headers=NDJSON) as stream:
        rows = stream.iter_lines()  # kept: a generator that is thrown away closes the connection
        next(rows)
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0


def test_fault_54_signals_without_end_are_one_quiet_end(generator: TopicGenerator) -> None:
    with served() as server:
        while server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
        assert server.process.stderr is not None
        assert (server.process.returncode, server.process.stderr.read()) == (0, "topicgen: stopped\n")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "192.0.2.1", "localhost@evil.example"])
def test_fault_54_a_foreign_host_is_refused(server: Server, host: str) -> None:
    for path in ("/healthz", "/docs", "/nowhere"):
        assert server.client.get(path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_own_names_are_answered(server: Server, host: str) -> None:
    assert server.client.get("/healthz", headers={"Host": host}).status_code == 200


def test_a_server_for_others_is_called_by_address_or_by_a_name_it_was_told(guarded: Server) -> None:
    statuses = {
        host: guarded.client.get("/healthz", headers={"Host": host}).status_code
        for host in ("192.0.2.1:8000", "localhost", "topics.example", "evil.example")
    }
    assert statuses == {"192.0.2.1:8000": 200, "localhost": 200, "topics.example": 200, "evil.example": 403}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "x", ""])
def test_fault_54_a_foreign_origin_is_refused(server: Server, origin: str) -> None:
    answer = server.client.post("/v1/topics", json={"documents": BEES}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_the_own_origin_is_answered(server: Server, guarded: Server) -> None:
    assert server.client.get("/healthz", headers={"Origin": server.url}).status_code == 200
    proxied = {"Origin": "https://topics.example", "Host": "topics.example"}
    assert guarded.client.get("/healthz", headers=proxied).status_code == 200
    assert guarded.client.get("/healthz", headers=proxied | {"Authorization": f"Bearer {TOKEN}a"}).status_code == 401
