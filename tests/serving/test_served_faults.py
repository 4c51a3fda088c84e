"""Faults 48 to 53: slow, large, broken, unknown and impatient clients of a real server."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from serving.conftest import TOKEN
from serving.servers import NDJSON, PATIENCE, Server, Trickle, jsonl, post, raw, received

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

BEES = "Bees make honey from the nectar of flowers."
HEADER = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = b"POST /v1/topics HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Type: "
JSON, LINES = b"application/json\r\n\r\n", b"application/x-ndjson\r\n\r\n"


def resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


# 48: slow headers and bodies


SLOW = {
    "header": (HEADER + b"X-Slow: ", b"a", b"408"),
    "second header": (HEADER + b"\r\n", b"G", b"408"),
    "body": (post("/v1/topics", b"{", length=3000), b" ", b"408"),
    "chunks": (CHUNKED + JSON, b"1\r\n \r\n", b"408"),
    "lines": (CHUNKED + LINES, b"1\r\n \r\n", b"408"),
    "body that nobody wants": (post("/nowhere", b"", length=3000), b" ", b"404"),
}


def test_fault_48_clients_that_send_a_byte_from_time_to_time_are_cut_off(strict: Server) -> None:
    def last_answer(sent: bytes, byte: bytes) -> bytes:
        with raw(strict, sent) as connection:
            trickle = Trickle(connection, byte, every=0.05)
            trickle.start()
            answer = received(connection)  # returns when the server has closed the connection
            trickle.over.set()
            trickle.join()
        return answer.rpartition(b"HTTP/1.1 ")[2][:3]

    with ThreadPoolExecutor(len(SLOW)) as clients:
        answers = list(clients.map(lambda slow: last_answer(*slow[:2]), SLOW.values()))
    assert dict(zip(SLOW, answers, strict=True)) == {name: status for name, (_, _, status) in SLOW.items()}
    assert strict.client.get("/healthz").status_code == 200


def test_fault_48_a_connection_without_a_request_is_closed(strict: Server) -> None:
    with raw(strict) as connection:
        assert received(connection) == b""


def test_fault_48_a_body_may_take_a_second_more_for_each_thousand_bytes(strict: Server) -> None:
    began = time.monotonic()
    with raw(strict, post("/v1/topics", b" " * 2000, length=3000)) as connection:
        assert received(connection).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began > 2.5


def test_fault_48_an_answer_that_nobody_reads_is_given_up(strict: Server) -> None:
    cancelled = strict.count("topicgen_cancelled_requests_total")
    blank = {"id": "\U0001f41d" * 500, "text": ""}  # a row of two thousand bytes
    with raw(strict, post("/v1/topics", jsonl([blank] * 5_000), kind="application/x-ndjson")):
        deadline = time.monotonic() + PATIENCE
        while strict.count("topicgen_cancelled_requests_total") == cancelled:
            assert time.monotonic() < deadline
        while strict.count("topicgen_running_requests"):
            assert time.monotonic() < deadline


def test_fault_48_connections_beyond_the_limit_are_refused(strict: Server) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(raw(strict)) for _ in range(70)]
        refused = [answer for answer in map(received, connections) if answer]
    assert len(refused) >= 10
    assert all(answer.startswith(b"HTTP/1.1 503") and b"retry-after" in answer.lower() for answer in refused)
    assert strict.client.get("/healthz").status_code == 200


# 49: large bodies


@pytest.mark.parametrize("length", [4001, 10**12])
def test_fault_49_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(strict: Server, length: int) -> None:
    with raw(strict, post("/v1/topics", b"", length=length)) as connection:
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(("kind", "status"), [(JSON, b"413"), (LINES, b"413")])
def test_fault_49_chunks_without_end_are_refused_in_bounded_memory(strict: Server, kind: bytes, status: bytes) -> None:
    before = resident_bytes(strict)
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with raw(strict, CHUNKED + kind) as connection:
        try:
            for _ in range(2000):  # 130 MB, if the server would take them
                connection.sendall(piece)
        except OSError:
            pass
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 " + status) or answer == b""  # a reset may overtake the answer
    assert resident_bytes(strict) - before < 30e6


def test_fault_49_a_header_without_end_is_refused(strict: Server) -> None:
    with raw(strict, HEADER + b"X-Long: " + b"a" * 200_000) as connection:
        assert received(connection).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


def test_fault_49_too_many_and_too_long_documents_are_refused(strict: Server) -> None:
    many, long = strict.topics([BEES] * 4), strict.topics([BEES, "a" * 501])
    assert (many.status_code, long.status_code) == (422, 422)
    assert many.json()["error"]["message"] == "4 documents; a request has at most 3, JSON lines any number"
    assert long.json()["error"]["message"] == "document 2 has 501 characters, at most 500 are read"
    rows = strict.lines(jsonl([BEES, "a" * 501, "b" * 20_000, BEES])).content.splitlines()
    assert [("error" in json.loads(row)) for row in rows] == [False, True, True, False]


# 50: malformed bodies

BROKEN = {
    "no JSON": b"{",
    "nothing": b"",
    "NaN": b'{"documents": ["a"], "topics": NaN}',
    "infinity": b'{"documents": [Infinity]}',
    "a number too long": b'{"documents": ["a"], "topics": ' + b"1" * 3900 + b"}",
    "a large number": b'{"documents": ["a"], "topics": 1e400}',
    "too deep": b"[" * 4000,
    "not UTF-8": b'{"documents": "\xff\xfe"}',
    "a list": b"[]",
    "null": b"null",
    "no documents": b'{"topics": 1}',
    "documents of numbers": b'{"documents": [1]}',
    "documents without text": b'{"documents": [{"id": "a"}]}',
    "an empty id": b'{"documents": [{"id": "", "text": "a"}]}',
    "topics as text": b'{"documents": ["a"], "topics": "2"}',
    "topics as truth": b'{"documents": ["a"], "topics": true}',
    "too many topics": b'{"documents": ["a"], "topics": 21}',
    "an unknown field": b'{"documents": ["a"], "topic": 2}',
    "a model that is no name": b'{"documents": ["a"], "model": {}}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_fault_50_malformed_bodies_are_422_without_internals(strict: Server, body: bytes) -> None:
    answer = strict.client.post("/v1/topics", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")
    assert not any(word in answer.text for word in ("Traceback", ".py", "pydantic", "function-", "topicgen", "list["))


def test_fault_50_a_body_of_another_type_is_415(strict: Server) -> None:
    answer = strict.client.post("/v1/topics", content=b'{"documents": "a"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


def test_fault_50_what_is_no_http_is_400(strict: Server) -> None:
    with raw(strict, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n") as connection:
        assert received(connection).startswith(b"HTTP/1.1 400")


# 51: the token

ROUTES = ["/", "/healthz", "/readyz", "/metrics", "/docs", "/docs/start.js", "/openapi.json", "/v1/models", "/nowhere"]
ROUTES += ["/v1/topics", "/v1/themes", "/v1/chat/completions"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("shown", ["", f"Bearer {TOKEN}x", "Bearer", "Bearer é", f"Token {TOKEN}", "Basic !", TOKEN])
def test_fault_51_every_route_is_401_without_the_token(guarded: Server, route: str, shown: str) -> None:
    for method in ("GET", "POST"):
        answer = guarded.client.request(method, route, headers={"Authorization": shown.encode()})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert TOKEN not in answer.text


def test_fault_51_the_token_opens_as_bearer_and_as_password(guarded: Server) -> None:
    assert guarded.topics(BEES).status_code == 200
    assert guarded.client.get("/healthz", headers={"Authorization": ""}, auth=("me", TOKEN)).status_code == 200


# 52: names


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc", "..", "mini/../mini", "file:///etc/passwd", "a/b", "\0"])
def test_fault_52_names_are_never_paths_or_hub_ids(server: Server, name: str) -> None:
    answer = server.topics(BEES, model=name)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "no such model; there are mini"
    assert server.lines(jsonl([BEES]), model=name).status_code == 404


@pytest.mark.parametrize("path", ["/docs/../../../etc/passwd", "/docs/%2e%2e%2fopenapi.json", "/docs/..%2f", "/docs/x"])
def test_fault_52_paths_lead_to_no_file(server: Server, path: str) -> None:
    with raw(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()) as connection:
        assert received(connection).startswith(b"HTTP/1.1 404")


# 53: clients that leave, and a full queue


def long_lines(count: int) -> bytes:
    """Documents that keep the engine busy for a while, each another."""
    return jsonl([{"id": str(n), "text": f"Number {n}. " + "Bees make honey from nectar. " * 16} for n in range(count)])


def test_fault_53_a_full_queue_is_503_with_retry_after_and_empties_when_the_client_leaves(strict: Server) -> None:
    cancelled = strict.count("topicgen_cancelled_requests_total")
    with strict.client.stream("POST", "/v1/topics", content=long_lines(2000), headers=NDJSON) as stream:
        assert stream.status_code == 200
        rows = stream.iter_lines()  # kept: a generator that is thrown away closes the connection
        next(rows)
        refused = answers_until(strict, 503)
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["error"]["type"] == "overloaded_error"
    answers_until(strict, 200)
    deadline = time.monotonic() + PATIENCE
    while strict.count("topicgen_waiting_documents") or strict.count("topicgen_running_requests"):
        assert time.monotonic() < deadline, "the places of the client that left are still taken"
    assert strict.count("topicgen_cancelled_requests_total") == cancelled + 1


def test_fault_53_a_request_whose_client_leaves_is_given_up(server: Server) -> None:
    cancelled, written = (server.count(f"topicgen_{name}_total") for name in ("cancelled_requests", "documents"))
    body = json.dumps({"documents": [f"Number {n}. {BEES * 8}" for n in range(400)]}).encode()
    with raw(server, post("/v1/topics", body)):
        pass
    deadline = time.monotonic() + PATIENCE
    while server.count("topicgen_cancelled_requests_total") == cancelled:
        assert time.monotonic() < deadline
    assert server.count("topicgen_waiting_documents") == 0
    assert server.count("topicgen_documents_total") < written + 400


def answers_until(server: Server, status: int) -> httpx.Response:
    deadline = time.monotonic() + PATIENCE
    while (answer := server.topics([BEES] * 3)).status_code != status:
        assert time.monotonic() < deadline, f"no answer was {status}"
    return answer


def test_fault_53_under_more_clients_than_there_is_room_for_answers_are_200_or_503(strict: Server) -> None:
    with ThreadPoolExecutor(24) as clients:
        answers = list(clients.map(lambda n: strict.topics([f"Bees, number {n}."] * 3), range(96)))
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert strict.topics(BEES).status_code == 200
