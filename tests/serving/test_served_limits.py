"""Limits of a real server that come with load: requests at once, the time of an answer, the time to stop."""

import signal
import socket
import time
from contextlib import ExitStack

import httpx
import pytest
from serving.servers import NDJSON, PATIENCE, Server, jsonl, post, raw, received, served

from topicgen import TopicGenerator

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

BODY = b'{"documents": "Bees make honey from nectar."}'
SLOW = ["--threads", "1", "--max-documents", "4096"]
WORK = [f"Bees make honey from the nectar of flowers. Number {number}." for number in range(4000)]
"""Documents that take such a server many times as long as the limits below."""
LINES = jsonl([""] * 128 + WORK)  # the first rows cost nothing, so that they come in time on any machine
TOO_LONG = "the answer took too long"


def held(server: Server, stack: ExitStack) -> socket.socket:
    """A connection whose request is in flight: the server has asked for its body."""
    request = post("/v1/topics", b"", length=len(BODY)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    connection = stack.enter_context(raw(server, request))
    assert received(connection, until=b"\r\n\r\n").startswith(b"HTTP/1.1 100")
    return connection


def refusal(answer: httpx.Response) -> str:
    """What an answer with 503 says."""
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("overloaded_error", "overloaded")
    return str(error["message"])


def becomes_idle(server: Server) -> None:
    """Waits until nothing is left to do, and a request is answered again."""
    deadline = time.monotonic() + PATIENCE
    while server.count("topicgen_waiting_documents") or server.count("topicgen_running_requests"):
        assert time.monotonic() < deadline, "the places of a request that was given up are still taken"
    while server.topics("Bees.").status_code != 200:
        assert time.monotonic() < deadline, "no request is answered any more"


def test_requests_beyond_the_limit_are_503_until_one_is_answered(generator: TopicGenerator) -> None:
    with served("--max-requests", "2", "--body-seconds", "3600") as server, ExitStack() as stack:
        first, _second = held(server, stack), held(server, stack)
        for refused in (server.client.get("/readyz"), server.topics("Bees.")):
            assert refusal(refused) == "too many requests at once; try again later"
        assert server.client.get("/healthz").status_code == 200  # a busy process lives
        first.sendall(BODY)
        assert received(first, until=b"}").startswith(b"HTTP/1.1 200")
        deadline = time.monotonic() + PATIENCE
        while server.client.get("/readyz").status_code != 200:  # the place is free just after the last byte
            assert time.monotonic() < deadline


def test_an_answer_whose_body_does_not_come_is_given_up_in_time(generator: TopicGenerator) -> None:
    with served("--request-seconds", "1", "--body-seconds", "3600") as server:
        with raw(server, post("/v1/topics", b"{", length=3000)) as connection:
            answer = received(connection, until=b"}")
        assert answer.startswith(b"HTTP/1.1 503")
        assert TOO_LONG.encode() in answer
        becomes_idle(server)


def test_an_answer_that_the_engine_cannot_write_in_time_is_503(generator: TopicGenerator) -> None:
    with served(*SLOW, "--request-seconds", "2") as server:
        assert refusal(server.topics(WORK)) == TOO_LONG
        becomes_idle(server)
        assert server.count("topicgen_documents_total") < len(WORK)


def test_rows_end_with_their_connection_when_their_time_is_over(generator: TopicGenerator) -> None:
    with served(*SLOW, "--stream-seconds", "4") as server:
        with server.client.stream("POST", "/v1/topics", content=LINES, headers=NDJSON) as stream:
            assert stream.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                list(stream.iter_lines())
        becomes_idle(server)
        assert server.stop() == (0, f"topicgen: an answer was cut off: {TOO_LONG}\ntopicgen: stopped\n")


def test_fault_54_requests_that_outlast_the_time_to_stop_are_cut_off(generator: TopicGenerator) -> None:
    with served(*SLOW, "--drain-seconds", "2") as server:
        with server.client.stream("POST", "/v1/topics", content=LINES, headers=NDJSON) as stream:
            rows = stream.iter_lines()
            next(rows)
            told = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                list(rows)
        assert server.process.wait(PATIENCE) == 0
        assert time.monotonic() - told >= 2
        assert server.process.stderr is not None
        said = "topicgen: an answer was cut off: the server is stopping\ntopicgen: stopped\n"
        assert server.process.stderr.read() == said
