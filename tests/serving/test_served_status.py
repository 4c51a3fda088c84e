"""Health, counters, documentation and the headers of a real server."""

import re
import time

import pytest
from serving.servers import Server

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_a_server_that_works_is_healthy_and_ready(server: Server) -> None:
    assert [server.client.get(path).json() for path in ("/healthz", "/readyz")] == [{"status": "ok"}] * 2


def test_requests_and_documents_are_counted_without_what_clients_wrote(server: Server) -> None:
    def answered() -> list[float]:
        """Answers by two of the labels: unlike the sum of all, they do not grow by asking for them."""
        lines = server.client.get("/metrics").text.splitlines()
        counts = (line for line in lines if line.startswith("topicgen_requests_total{"))
        found = dict(line.rsplit(" ", 1) for line in counts)
        labels = ('{route="/v1/topics",status="200"}', '{route="other",status="404"}')
        return [float(found.get(f"topicgen_requests_total{label}", 0)) for label in labels]

    documents, (topics, missing) = server.count("topicgen_documents_total"), answered()
    server.topics(["Bees.", "Trains."])
    server.client.get("/secret-path")
    assert server.count("topicgen_documents_total") == documents + 2
    deadline = time.monotonic() + 30
    while min(now - before for now, before in zip(answered(), (topics, missing), strict=True)) < 1:
        assert time.monotonic() < deadline  # an answer is counted after its last byte
    assert answered() == [topics + 1, missing + 1]
    assert "secret" not in server.client.get("/metrics").text


def test_every_answer_keeps_itself_to_its_page(server: Server) -> None:
    for path in ("/healthz", "/docs", "/openapi.json", "/nowhere"):
        headers = server.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers


def test_the_documentation_needs_no_other_server(server: Server) -> None:
    page = server.client.get("/docs")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"https?:|//", page.text)
    sources = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert len(sources) == 3
    for source in sources:
        part = server.client.get(f"/{source}")
        assert (part.status_code, len(part.content) > 50) == (200, True)


def test_the_schema_names_every_route_and_answer(server: Server) -> None:
    schema = server.client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        "/v1/topics",
        "/v1/themes",
        "/v1/chat/completions",
        "/v1/models",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert "application/x-ndjson" in schema["paths"]["/v1/topics"]["post"]["responses"]["200"]["content"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]


def test_the_schema_of_a_guarded_server_asks_for_the_token(guarded: Server) -> None:
    schema = guarded.client.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
