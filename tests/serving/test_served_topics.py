"""``POST /v1/topics`` of a real server."""

import json

import pytest
from passages import PASSAGES
from serving.servers import Server, jsonl, post, raw, received

from topicgen import GenerationSettings, TopicGenerator

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

BEES = "Bees make honey from the nectar of flowers. They store it in combs of wax."
TRAINS = "Night trains are returning to the continent, and they are full."


def test_one_text_has_one_topic_which_the_generator_writes_too(server: Server, generator: TopicGenerator) -> None:
    answer = server.topics(BEES).json()
    [expected] = generator.generate([BEES])
    assert answer["model"] == "mini"
    [row] = answer["topics"]
    assert list(row) == ["id", "topic", "score", "status"]
    assert (row["id"], row["topic"], row["status"]) == ("1", expected.topic, "ok")
    assert row["score"] == pytest.approx(expected.score, abs=0.02)


def test_rows_keep_the_order_and_ids_of_the_documents(server: Server) -> None:
    documents = [TRAINS, {"id": "b", "text": BEES}, "", {"id": "4", "text": TRAINS}]
    rows = server.topics(documents).json()["topics"]
    assert [row["id"] for row in rows] == ["1", "b", "3", "4"]
    assert rows[0]["topic"] == rows[3]["topic"] != rows[1]["topic"]
    assert rows[2] == {"id": "3", "topic": "", "score": None, "status": "empty"}


def test_several_topics_are_listed_best_first(server: Server, generator: TopicGenerator) -> None:
    [row] = server.topics([BEES], topics=3).json()["topics"]
    [expected] = generator.generate([BEES], GenerationSettings(topics=3))
    assert [ranked["topic"] for ranked in row["topics"]] == [ranked.topic for ranked in expected.topics]
    assert row["topic"] == row["topics"][0]["topic"]


def test_no_documents_have_no_topics(server: Server) -> None:
    assert server.topics([]).json() == {"model": "mini", "topics": []}


def test_lone_surrogates_are_replaced(server: Server) -> None:
    answer = server.client.post(
        "/v1/topics",
        content=b'{"documents": [{"id": "\\ud800", "text": "Bees \\udfff make honey."}]}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.json()["topics"][0]["id"] == "\ufffd"


def test_json_lines_have_a_row_each_in_order(server: Server) -> None:
    documents = [text if number % 2 else {"id": f"n{number}", "text": text} for number, text in enumerate(PASSAGES)]
    answer = server.lines(jsonl(documents), topics=1, model="mini")
    assert answer.headers["content-type"] == "application/x-ndjson"
    rows = [json.loads(line) for line in answer.content.splitlines()]
    assert [row["id"] for row in rows] == [str(n + 1) if n % 2 else f"n{n}" for n in range(len(PASSAGES))]
    assert all(row["status"] == "ok" for row in rows)


def test_rows_come_before_the_body_ends(server: Server) -> None:
    def chunk(content: bytes) -> bytes:
        return f"{len(content):x}\r\n".encode() + content + b"\r\n"

    head = b"POST /v1/topics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n"
    sent = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(jsonl([BEES]))
    with raw(server, sent) as connection, connection.makefile("rb") as answer:
        assert any(b'"id": "1"' in line for line in answer)  # and the client has not sent the rest
        connection.sendall(chunk(jsonl([TRAINS])) + chunk(b""))
        assert b'"id": "2"' in answer.read()


def test_a_client_that_reads_only_after_it_has_sent_everything_is_not_stuck(server: Server) -> None:
    """Rows of more bytes than sockets hold would block a server that waits for its client to read."""
    blank = {"id": "\U0001f41d" * 500, "text": ""}
    body = jsonl([blank] * 6_000)
    with raw(server, post("/v1/topics", body, kind="application/x-ndjson")) as connection:
        answer = received(connection, until=b"0\r\n\r\n")
    assert answer.count(b'"status": "empty"') == 6_000


def test_json_is_answered_with_json_lines_where_they_are_asked_for(server: Server) -> None:
    answer = server.client.post(
        "/v1/topics", json={"documents": [BEES, TRAINS]}, headers={"Accept": "application/x-ndjson"}
    )
    assert [json.loads(line)["id"] for line in answer.content.splitlines()] == ["1", "2"]


def test_a_line_that_cannot_be_read_has_an_error_in_its_place(server: Server) -> None:
    body = jsonl([BEES]) + b"{broken\n\n" + jsonl([{"id": 3, "text": "x"}, TRAINS]) + b'"\xff"\n[1]'
    rows = [json.loads(line) for line in server.lines(body).content.splitlines()]
    assert [row.get("id", row.get("line")) for row in rows] == ["1", 2, 3, "4", 5, 6]
    assert rows[1]["error"]["message"].startswith("line 2: the body is not JSON")
    assert rows[2]["error"]["message"] == "line 3: id: Input should be a valid string"


@pytest.mark.parametrize("first", [b"{broken", b'{"id": "a"}', b"NaN", b'"\xff"'])
def test_a_body_whose_first_line_cannot_be_read_is_refused(server: Server, first: bytes) -> None:
    answer = server.lines(first + b"\n" + jsonl([BEES]))
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("line 1: ")


@pytest.mark.parametrize(("query", "status"), [({"topics": "0"}, 422), ({"topics": "x"}, 422), ({"model": "no"}, 404)])
def test_wrong_parameters_of_json_lines_are_refused(server: Server, query: dict[str, str], status: int) -> None:
    assert server.lines(jsonl([BEES]), **query).status_code == status


def test_a_body_without_lines_has_no_rows(server: Server) -> None:
    answer = server.lines(b"\n\n")
    assert (answer.status_code, answer.content) == (200, b"")
