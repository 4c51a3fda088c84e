"""The routes of the page, on a real server."""

import json
import re
from importlib.resources import files

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving.servers import NDJSON, Server

from topicgen.serving.page import FILES

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "form-action": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def test_page_and_its_files_are_there_under_a_strict_policy(server: Server) -> None:
    page = server.client.get("/")
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
    assert len(named) == 7
    for path in ("/", *named, *(f"page/{name}" for name in FILES)):
        answer = server.client.get(path)
        assert answer.status_code == 200
        found = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert found == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_scripts_import_only_files_of_the_page() -> None:
    for name in FILES:
        if name.endswith(".js"):
            text = (files("topicgen") / "templates" / name).read_text("utf-8")
            assert set(re.findall(r'from "\./([^"]+)"', text)) <= set(FILES)


def test_page_has_no_inline_script_style_or_handler() -> None:
    page = (files("topicgen") / "templates" / "serve.html").read_text("utf-8")
    assert re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", page) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page) == []


@pytest.mark.parametrize("name", ["themes.html", "judge.txt", "..%2fcli.py", "%2e%2e/cli.py", "x"])
def test_other_files_are_not_served(server: Server, name: str) -> None:
    assert server.client.get(f"/page/{name}").status_code == 404


def test_preview_and_documents_of_a_file(server: Server) -> None:
    content = b"nr;review\n1;Bees make honey.\n2;Trains;run\n"
    found = server.client.post("/page/preview", params={"name": "r.csv"}, content=content).json()
    assert (found["columns"], found["delimiter"]) == (["nr", "review"], ";")
    query = {"name": "r.csv", "column": "review", "delimiter": ";", "keep": "true"}
    answer = server.client.post("/page/documents", params=query, content=content)
    head, row, end = (json.loads(line) for line in answer.text.splitlines())
    assert head == {"fields": ["nr"]}
    assert (row["text"], row["columns"]) == ("Bees make honey.", {"nr": "1"})
    assert end["problems"][0] == "rows left out: 1"


def test_what_breaks_in_the_middle_is_the_last_line(server: Server) -> None:
    content = b"Bees.\n\n" * 20_000 + b"\xff"
    answer = server.client.post("/page/documents", params={"name": "a.txt"}, content=content)
    lines = answer.text.splitlines()
    assert answer.status_code == 200
    assert len(lines) == 20_002
    message = json.loads(lines[-1])["error"]["message"]
    assert message == "a.txt:40001: not valid utf-8 (byte 0xff); if the file is Latin-1, use Encoding latin-1"


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ({"name": "a.docx"}, b""),
        ({}, b""),
        ({"name": "x" * 300}, b""),
        ({"name": "a.csv", "encoding": "no-such"}, b"a\n"),
        ({"name": "a.csv", "delimiter": '"'}, b"a\n"),
        ({"name": "a.txt", "unit": "word"}, b"a\n"),
        ({"name": "a.csv", "column": "b"}, b"a\n1\n"),
    ],
)
def test_what_cannot_be_read_is_refused(server: Server, query: dict[str, str], content: bytes) -> None:
    answer = server.client.post("/page/documents", params=query, content=content)
    assert answer.status_code == 422
    assert "\n" not in answer.json()["error"]["message"]
    assert "/tmp" not in answer.text


def test_files_larger_than_a_json_body_are_read_up_to_the_limit_of_streams(strict: Server) -> None:
    for size, status in ((50_000, 200), (13_000_000, 413)):
        answer = strict.client.post("/page/documents", params={"name": "a.txt"}, content=b"Bees.\n\n" * (size // 7))
        assert answer.status_code == status


def test_rows_become_parquet(server: Server) -> None:
    row = {"id": "a", "topic": "Bees", "score": 0.5, "status": "ok", "source": "r", "position": 1, "n": 3, "text": "B"}
    body = "\n".join(json.dumps(line) for line in ({"fields": ["n"]}, row))
    answer = server.client.post("/page/parquet", content=body, headers=NDJSON)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert pq.read_table(pa.BufferReader(answer.content)).to_pylist() == [row]
    assert server.client.post("/page/parquet", content="{}", headers=NDJSON).status_code == 422


@pytest.mark.parametrize("path", ["/", "/page/serve.js", "/page/example.txt"])
def test_page_wants_the_token_too(guarded: Server, path: str) -> None:
    assert guarded.client.get(path).status_code == 200
    answer = guarded.client.get(path, headers={"Authorization": "Bearer no"})
    assert answer.status_code == 401
    assert "Basic" in answer.headers["www-authenticate"]
