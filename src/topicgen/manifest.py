"""The folder of a run in parts: one file for each block, and a manifest that says which are whole."""

import fcntl
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from topicgen.errors import UserError

MANIFEST = "manifest.jsonl"


class PartFolder:
    """A folder of parts.

    The manifest's first line says what the run is made from; each other line is one part that is whole: its block,
    file, rows and SHA-256. Lines are only added, so that a run can die at any moment.

    Args:
        path: The folder; it is made when it is not there.
        header: What the run is made from.
        force: Whether parts of another run are dropped; otherwise they are refused.

    Raises:
        UserError: When the folder holds another run or other files, another run is writing it, or it cannot be written.
    """

    def __init__(self, path: str, header: Mapping[str, Any], *, force: bool) -> None:
        self.path = Path(path)
        self.parts: dict[int, dict[str, Any]] = {}
        try:
            self._open(dict(header), force)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None

    def _open(self, header: dict[str, Any], force: bool) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / MANIFEST
        if not file.exists() and any(self.path.iterdir()):
            raise UserError(f"{self.path}: holds other files; name an empty or a new folder")
        self._file = file.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(f"{self.path}: another run is writing it") from None
        self._drop_unfinished()
        self._file.seek(0)
        text = self._file.read()
        whole = "" if force else text[: text.rfind("\n") + 1]  # without a line that was cut off in its middle
        self._file.truncate(len(whole.encode()))
        lines = [json.loads(line) for line in whole.split("\n") if line]
        if lines:
            self._require_same(lines[0], header)
        else:
            self._write(header)
        self.parts = {line["block"]: line for line in lines[1:] if self._is_whole(line)}
        known = {line["file"] for line in self.parts.values()}
        for part in self.path.glob("part-*"):
            if part.name not in known:
                part.unlink()

    def _require_same(self, known: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        changed = [name for name in header if known.get(name) != header[name]]
        if changed:
            self._file.close()
            raise UserError(
                f"{self.path}: holds a run with another {', '.join(changed)}; use --force to replace it, "
                "or name another folder"
            )

    def _is_whole(self, line: Mapping[str, Any]) -> bool:
        file = self.path / str(line["file"])
        return file.is_file() and sha256(file) == line["sha256"]

    def add(self, part: dict[str, Any]) -> None:
        """Takes a part that is whole; the line is with the system when this returns."""
        self.parts[part["block"]] = part
        try:
            self._write(part)
        except OSError as error:
            raise UserError(f"{self.path / MANIFEST}: cannot be written: {error.strerror}") from None

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def _drop_unfinished(self) -> None:
        """Deletes what workers that died had begun."""
        for left in self.path.glob(".part-*"):
            left.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop_unfinished()
        self._file.close()


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
