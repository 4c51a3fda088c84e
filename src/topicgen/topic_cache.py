"""Topics that were generated before -> topics of the same texts, by content; one SQLite file for all runs of a user.

An entry is found by the text and everything else that its topic depends on (the scope). Entries are never changed.
A run sees those that were there when it began (its mark), not those that it or others add meanwhile: what it finds,
and so which documents are computed together, does not depend on when it was killed or what else was running.
"""

import hashlib
import json
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from topicgen.records import Document, PassageTopic, RankedTopic, Topic

MAX_BYTES = 1 << 30  # some five million topics
EVICTED_SHARE = 8  # of a full cache, the oldest eighth makes way
BUSY_SECONDS = 10
_LASTING = ("ok", "truncated", "empty")  # a failure may be gone the next time
_EVICTED_AT_ONCE = 20_000
_LOOKED_UP_AT_ONCE = 500  # below SQLite's smallest limit of parameters
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS topics (number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE, value BLOB)",
    "CREATE TABLE IF NOT EXISTS origin (id TEXT)",
)
FILE_NAME = "topics-1.sqlite"  # another number when the tables change

Generate = Callable[[Sequence[Document]], list[Topic]]


class TopicCache:
    """The cache, for one scope; whatever is wrong with its file, topics are generated all the same.

    Without ``freeze`` all entries are seen, those of other processes included, as a server wants it.

    Args:
        path: The file; its folder is made.
        scope: What a topic depends on beside the text: model, engine, settings, version.
        warn: Is told, in one line, of a damaged file that was set aside and of a failure that ends the caching.
        max_bytes: Size that the file does not outgrow.
    """

    def __init__(
        self, path: Path, scope: Mapping[str, Any], warn: Callable[[str], None], *, max_bytes: int = MAX_BYTES
    ) -> None:
        self.found = 0
        self._path = path
        self._scope = hashlib.sha256(json.dumps(scope, sort_keys=True).encode()).digest()
        self._warn = warn
        self._max_bytes = max_bytes
        self._last: int | None = None
        self._database: sqlite3.Connection | None = None
        try:
            self._database = self._open()
        except sqlite3.OperationalError:
            return  # a place that cannot be written, as in a container: nothing that the user should mend
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
            with suppress(sqlite3.Error):
                self._database = self._open()

    def freeze(self, mark: str | None = None) -> str | None:
        """Hides entries that come later; returns the mark, by which a resumed run sees what it saw before.

        Without a mark, a full cache loses its oldest entries first. A mark of another file, such as one that has been
        deleted, hides everything.
        """
        found: str | None = None

        def work(database: sqlite3.Connection) -> None:
            nonlocal found
            [(origin,)] = database.execute("SELECT id FROM origin LIMIT 1")
            if mark is not None:
                before, _, number = mark.rpartition(":")
                self._last = int(number) if before == origin and number.isdigit() else 0
                return
            self._evict(database)
            [(self._last,)] = database.execute("SELECT coalesce(max(number), 0) FROM topics")
            found = f"{origin}:{self._last}"

        self._guarded(work)
        return mark or found

    def topics(self, documents: Sequence[Document], generate: Generate) -> list[Topic]:
        """The topics of documents, in order; ``generate`` is given those that are not in the cache, in order."""
        keys = [self._key(document) for document in documents]
        known = self._find(keys)
        missing = [document for document, key in zip(documents, keys, strict=True) if key not in known]
        made = generate(missing) if missing else []
        self.found += len(documents) - len(missing)
        self._store([key for key in keys if key not in known], made)
        rest = iter(made)
        return [
            _topic(document, known[key]) if key in known else next(rest)
            for document, key in zip(documents, keys, strict=True)
        ]

    def close(self) -> None:
        """Closes the file; topics are then generated without it."""
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
        self._database = None

    def _open(self) -> sqlite3.Connection:
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            with suppress(sqlite3.OperationalError):  # another process is at it
                database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last entries, not the file
            for statement in _SCHEMA:
                database.execute(statement)
            if not database.execute("SELECT 1 FROM origin").fetchall():
                fresh = "INSERT INTO origin SELECT ? WHERE NOT EXISTS (SELECT 1 FROM origin)"
                database.execute(fresh, (secrets.token_hex(8),))
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _key(self, document: Document) -> bytes:
        text = document.text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16, key=self._scope, person=b"cut" if document.cut else b"").digest()

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
        known: dict[bytes, dict[str, Any]] = {}

        def work(database: sqlite3.Connection) -> None:
            for start in range(0, len(keys), _LOOKED_UP_AT_ONCE):
                some = keys[start : start + _LOOKED_UP_AT_ONCE]
                marks = ",".join("?" * len(some))
                limit = "" if self._last is None else f" AND number <= {self._last}"
                rows = database.execute(f"SELECT key, value FROM topics WHERE key IN ({marks}){limit}", some)  # noqa: S608
                known.update({key: fields for key, value in rows if (fields := _decoded(key, value)) is not None})

        self._guarded(work)
        return known

    def _store(self, keys: Sequence[bytes], topics: Sequence[Topic]) -> None:
        made = zip(keys, topics, strict=True)
        rows = [(key, _encoded(key, topic)) for key, topic in made if topic.status in _LASTING]

        def work(database: sqlite3.Connection) -> None:
            if self._used(database) >= self._max_bytes:
                return
            database.execute("BEGIN IMMEDIATE")
            with database:
                database.executemany("INSERT OR IGNORE INTO topics (key, value) VALUES (?, ?)", rows)

        if rows:
            self._guarded(work)

    def _used(self, database: sqlite3.Connection) -> int:
        """Bytes of the file that hold something; what was evicted is filled again."""
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _evict(self, database: sqlite3.Connection) -> None:
        if self._used(database) < self._max_bytes * (EVICTED_SHARE - 1) // EVICTED_SHARE:
            return
        [(first, last)] = database.execute("SELECT min(number), max(number) FROM topics")
        until = first + (last - first) // EVICTED_SHARE + 1
        # In steps, so that other processes may write between them.
        for end in range(first, until + _EVICTED_AT_ONCE, _EVICTED_AT_ONCE):
            database.execute("DELETE FROM topics WHERE number < ?", (min(end, until),))

    def _guarded(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Does something with the file, if it still can be used; a failure ends its use."""
        if self._database is None:
            return
        try:
            work(self._database)
        except sqlite3.OperationalError as error:  # locked for too long, a full disk
            self.close()
            self._warn(f"{self._path}: the cache is not used any more: {error}")
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            self.close()
            self._set_aside(error)

    def _set_aside(self, error: Exception) -> None:
        aside = self._path.with_name(f"{self._path.name}.damaged")
        with suppress(OSError):
            self._path.replace(aside)
            for ending in ("-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        self._warn(f"{self._path}: the cache is damaged ({error}); it is now {aside.name}, and a new one begins")


def _encoded(key: bytes, topic: Topic) -> bytes:
    lists = [[asdict(ranked) for ranked in topic.topics], [asdict(passage) for passage in topic.passages]]
    fields = [topic.topic, topic.score, topic.status, *lists]
    content = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return zlib.crc32(content, zlib.crc32(key)).to_bytes(4, "big") + content


def _decoded(key: bytes, value: bytes) -> dict[str, Any] | None:
    """The fields of a topic; None for bytes that are not those that were stored."""
    check, content = value[:4], value[4:]
    if zlib.crc32(content, zlib.crc32(key)).to_bytes(4, "big") != check:
        return None
    topic, score, status, ranked, found = json.loads(content)
    topics = tuple(RankedTopic(**fields) for fields in ranked)
    passages = tuple(PassageTopic(**fields) for fields in found)
    return {"topic": topic, "score": score, "status": status, "topics": topics, "passages": passages}


def _topic(document: Document, fields: Mapping[str, Any]) -> Topic:
    return Topic(
        id=document.id,
        source=document.source,
        position=document.position,
        text=document.text,
        columns=document.columns,
        **fields,
    )
