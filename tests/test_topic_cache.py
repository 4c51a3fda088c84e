"""Topics of earlier runs, by content."""

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from topicgen import Document, TopicGenerator
from topicgen.config import GenerationSettings
from topicgen.records import RankedTopic, Topic
from topicgen.topic_cache import FILE_NAME, TopicCache

SCOPE = {"model": "m", "temperature": 0.0}


class Maker:
    """Writes topics that tell how often it was asked, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, documents: Sequence[Document]) -> list[Topic]:
        self.asked += [document.text for document in documents]
        ranked = (RankedTopic("A", 1 / 3), RankedTopic("B", 0.1))
        return [
            Topic(d.id, f"{d.text}!", 1 / 7, "truncated" if d.cut else "ok", d.source, d.position, ranked, d.text)
            for d in documents
        ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / FILE_NAME


def opened(path: Path, said: list[str] | None = None, scope: Any = SCOPE, **options: Any) -> TopicCache:
    return TopicCache(path, scope, [].append if said is None else said.append, **options)


def documents(*texts: str) -> list[Document]:
    return [Document(str(number), text, position=number) for number, text in enumerate(texts, 1)]


def test_topics_come_back_as_they_were_for_documents_of_their_own(path: Path) -> None:
    first, again = Maker(), Maker()
    cache = opened(path)
    cache.topics(documents("x", "y"), first)
    cache.close()
    later = [Document("other", "y", "b.csv", 7, {"k": 1}), *documents("new", "x")]
    [y, new, x] = opened(path).topics(later, again)
    assert again.asked == ["new"]
    [made] = first(later[:1])
    assert (y.topic, y.score, y.status, y.topics) == (made.topic, made.score, made.status, made.topics)
    assert (y.id, y.source, y.position, y.columns, y.text) == ("other", "b.csv", 7, {"k": 1}, "y")
    assert (new.topic, x.topic) == ("new!", "x!")


@pytest.mark.parametrize("scope", [{"model": "other", "temperature": 0.0}, {"model": "m", "temperature": 0.5}])
def test_another_model_or_setting_is_another_topic(path: Path, scope: dict[str, Any]) -> None:
    opened(path).topics(documents("x"), Maker())
    maker = Maker()
    opened(path, scope=scope).topics(documents("x"), maker)
    assert maker.asked == ["x"]


def test_a_text_that_was_cut_is_another_one(path: Path) -> None:
    cache, maker = opened(path), Maker()
    cache.topics([Document("1", "x", cut=True)], maker)
    [topic] = cache.topics([Document("1", "x")], maker)
    assert topic.status == "ok"


def test_a_frozen_cache_sees_what_was_there_at_its_mark_whoever_adds(path: Path) -> None:
    opened(path).topics(documents("old"), Maker())
    cache, other, maker = opened(path), opened(path), Maker()
    mark = cache.freeze()
    other.topics(documents("others"), Maker())
    for _ in range(2):
        cache.topics(documents("old", "others", "own"), maker)
    assert maker.asked == ["others", "own"] * 2
    resumed, later = opened(path), Maker()
    assert resumed.freeze(mark) == mark
    resumed.topics(documents("old", "others", "own"), later)
    assert later.asked == ["others", "own"]


@pytest.mark.parametrize("mark", ["", "another file:5", "no number"])
def test_a_mark_of_another_file_hides_everything(path: Path, mark: str) -> None:
    cache, maker = opened(path), Maker()
    cache.topics(documents("x"), maker)
    cache.freeze(mark)
    cache.topics(documents("x"), maker)
    assert maker.asked == ["x", "x"]


def test_the_file_keeps_its_size_and_the_oldest_go_first(path: Path) -> None:
    limit = 200_000
    for run in range(12):
        cache = opened(path, max_bytes=limit)
        cache.freeze()
        for number in range(5):
            cache.topics(documents(*(f"{run} {number} {i}" for i in range(50))), Maker())
        cache.close()
        assert path.stat().st_size < 1.3 * limit
    maker = Maker()
    opened(path).topics(documents("0 0 0", "11 0 0"), maker)
    assert maker.asked == ["0 0 0"]


def test_a_full_cache_takes_no_more_and_loses_nothing_within_a_run(path: Path) -> None:
    cache = opened(path, max_bytes=1)
    assert cache.topics(documents("x"), Maker())[0].topic == "x!"
    maker = Maker()
    opened(path).topics(documents("x"), maker)
    assert maker.asked == ["x"]


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_damaged_file_is_set_aside_with_a_warning_and_a_new_one_begins(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    said: list[str] = []
    opened(path, said).topics(documents("x"), Maker())
    [warning] = said
    assert "the cache is damaged" in warning
    assert path.with_name(f"{FILE_NAME}.damaged").read_bytes() == content
    maker = Maker()
    opened(path).topics(documents("x"), maker)
    assert maker.asked == []


def test_damage_that_shows_later_costs_nothing_but_the_cache(path: Path) -> None:
    cache = opened(path)
    cache.topics(documents(*(f"text {number}" for number in range(2_000))), Maker())
    cache.close()
    content = bytearray(path.read_bytes())
    content[8_192:] = b"\x55" * (len(content) - 8_192)
    path.write_bytes(content)
    said: list[str] = []
    cache = opened(path, said)
    topics = cache.topics(documents("text 7", "new"), Maker())
    assert [topic.topic for topic in topics] == ["text 7!", "new!"]
    assert len(said) == 1
    assert [topic.topic for topic in cache.topics(documents("z"), Maker())] == ["z!"]


def test_a_changed_letter_is_noticed(path: Path) -> None:
    opened(path).topics(documents("x"), Maker())
    with sqlite3.connect(path) as database:
        [(value,)] = database.execute("SELECT value FROM topics")
        database.execute("UPDATE topics SET value = ?", (value.replace(b"x!", b"y!"),))
    maker = Maker()
    assert opened(path).topics(documents("x"), maker)[0].topic == "x!"
    assert maker.asked == ["x"]


def test_a_place_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    said: list[str] = []
    cache = opened(Path("/proc/cache") / FILE_NAME, said)
    assert cache.freeze() is None
    assert cache.topics(documents("x"), Maker())[0].topic == "x!"
    assert said == []


def test_a_lock_that_lasts_is_waited_for_and_then_done_without(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from topicgen import topic_cache

    monkeypatch.setattr(topic_cache, "BUSY_SECONDS", 0.01)
    said: list[str] = []
    cache = opened(path, said)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert cache.topics(documents("x"), Maker())[0].topic == "x!"
    assert len(said) == 1
    assert "locked" in said[0]
    other.close()


def test_processes_share_it(path: Path) -> None:
    code = """
import sys
from pathlib import Path
from topicgen import Document
from topicgen.records import Topic
from topicgen.topic_cache import TopicCache
def generate(documents):
    return [Topic(d.id, d.text, None, "ok", d.source, d.position) for d in documents]
cache = TopicCache(Path(sys.argv[1]), {}, lambda line: sys.exit(line))
for number in range(40):
    cache.topics([Document("1", f"{number} {part}") for part in range(20)], generate)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM topics").fetchall() == [(800,)]
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_generator_takes_topics_from_it_and_adds_to_it(path: Path, generator: TopicGenerator) -> None:
    settings = GenerationSettings(max_topic_tokens=3)
    texts = documents("Bees make honey.", "", "Cats sleep all day.")
    cache = opened(path)
    [first] = generator.windows(texts, settings, cache=cache)
    assert [first] == list(generator.windows(texts, settings))
    assert (cache.found, [first]) == (0, list(generator.windows(texts, settings, cache=cache)))
    assert cache.found == 3
