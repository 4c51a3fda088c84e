"""Source and position, or a column's value -> the id of a document; and the memory of ids already taken."""

import hashlib
from typing import Any

from topicgen.errors import UserError
from topicgen.quarantine import RowError


def derived_id(source: str, position: int) -> str:
    """The id of a document without an id column: the same wherever the same source is read again."""
    return hashlib.blake2b(f"{source}\0{position}".encode()).hexdigest()[:16]


def column_id(value: Any) -> str:
    """The id that a column's value stands for; raises RowError when it is missing, or neither text nor an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError("the id is empty")
    if not isinstance(value, str):
        raise RowError(f"the id is of type {type(value).__name__}, not text or an integer")
    return value


class SeenIds:
    """The ids so far, as 16-byte hashes in a temporary table that moves to disk as it grows."""

    def __init__(self) -> None:
        import sqlite3

        self._failure = sqlite3.Error
        # An empty name is a private database that SQLite keeps in a temporary file and deletes.
        self._table = sqlite3.connect("", check_same_thread=False)
        self._table.execute("PRAGMA journal_mode=OFF")
        self._table.execute("CREATE TABLE ids (hash BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, identifier: str) -> None:
        """Takes an id; raises RowError when it is taken already."""
        key = hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        try:
            added = self._table.execute("INSERT OR IGNORE INTO ids VALUES (?)", (key,)).rowcount
        except self._failure as error:
            raise UserError(f"the ids cannot be kept in a temporary file: {error}") from None
        if not added:
            raise RowError(f"duplicate id {identifier!r}")

    def close(self) -> None:
        """Gives the temporary table back."""
        self._table.close()
