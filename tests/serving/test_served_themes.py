"""``POST /v1/themes`` of a real server."""

import pytest
from serving.servers import Server

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

TOPICS = ["Bees and honey", "Bees in winter", "Honey of wild bees", "Night trains", "Trains and delays", "Late trains"]
DOCUMENTS = [{"id": f"d{n}", "topic": topic, "date": f"2024-0{n % 6 + 1}-01"} for n, topic in enumerate(TOPICS * 3)]


def test_documents_with_topics_are_grouped_and_placed(server: Server) -> None:
    answer = server.client.post("/v1/themes", json={"documents": DOCUMENTS, "themes": 2})
    assert answer.status_code == 200
    found = answer.json()
    top = [theme for theme in found["themes"] if theme["level"] == 1]
    assert [theme["size"] for theme in top] == [9, 9]
    assert all(set(theme) == {"id", "name", "level", "parent", "size", "topics"} for theme in found["themes"])
    assert [row["id"] for row in found["documents"]] == [row["id"] for row in DOCUMENTS]
    themes = {row["topic"]: row["theme"] for row in found["documents"]}
    assert len({themes[topic] for topic in TOPICS[:3]}) == len({themes[topic] for topic in TOPICS[3:]}) == 1
    assert all(0 <= row[axis] <= 1 for row in found["documents"] for axis in "xy")
    assert all(row["subtheme"].startswith(f"{row['theme']}.") for row in found["documents"])
    assert found["trends"]["unit"] == "month"


def test_topics_are_written_where_they_are_missing(server: Server) -> None:
    texts = ["Bees make honey from nectar.", "Night trains are returning to the continent.", "  "]
    documents = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    documents[0]["topic"] = " "  # is no topic either
    rows = server.client.post("/v1/themes", json={"documents": documents}).json()["documents"]
    topics = [row["topic"] for row in server.topics(texts).json()["topics"]]
    assert [row["topic"] for row in rows] == topics
    assert rows[2] == {"id": "2", "topic": "", "theme": None, "subtheme": None, "x": None, "y": None}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"themes": 0}, "themes: Input should be greater than or equal to 1"),
        ({"granularity": 1.5}, "granularity: Input should be less than or equal to 1"),
        ({"themes": 2, "granularity": 0.5}, "give a number of themes or a granularity, not both"),
        ({"documents": []}, "documents: List should have at least 1 item after validation, not 0"),
        ({"documents": [{"id": "a"}]}, "documents: none has a topic, or a text to write one for"),
        ({"documents": [{"id": "a", "topic": "b"}] * 2}, "2 documents have the id 'a'; ids must differ"),
        ({"documents": [{"id": str(n), "topic": "b"} for n in range(9)]}, "9 documents; at most 8 are grouped"),
    ],
)
def test_what_cannot_be_grouped_is_refused(strict: Server, more: dict[str, object], reason: str) -> None:
    answer = strict.client.post("/v1/themes", json={"documents": DOCUMENTS[:4]} | more)
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, reason)
