"""An output file as a run: one writer at a time, resumed after a kill, finished once.

The rows grow as JSON lines. Each window of documents is handed to the system at once and forced to the disk every few
seconds, so that a kill loses no row that was written, and a power cut the last seconds. A resumed run cuts its rows
back to the last end of a window, so that all later windows hold the documents that they would have held.
"""

import glob
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

from topicgen.config import WriterSettings
from topicgen.errors import TerminatedError, UserError
from topicgen.locks import exclusive
from topicgen.outputs import Output, open_lines, output_path, refuse_content, sync, writable
from topicgen.quarantine import Problems
from topicgen.records import Topic
from topicgen.runs.fingerprint import Fingerprint, differences
from topicgen.runs.record import RunPaths, RunRecord, last_write, now
from topicgen.runs.rows import Kept, kept_rows, read_rows
from topicgen.writer import JsonLines, write_table

SYNC_SECONDS = 5
ROW = b'{"id":'  # how a row begins

Standing = Literal["new", "resumed", "finished"]


class Run:
    """A run whose lock is held. Nothing of an earlier run is given up before ``begin``.

    Attributes:
        standing: ``new``; ``resumed``, when an unfinished run of the same fingerprint was found; or ``finished``.
        kept: The rows that an earlier writer left.
        record: The state of the run.
    """

    def __init__(self, name: str, paths: RunPaths, settings: WriterSettings, record: RunRecord) -> None:
        self.name = name
        self.record = record
        self.kept = Kept()
        self.standing: Standing = "new"
        self._paths = paths
        self._settings = settings
        self._output: Output | None = None
        self._began = self._synced = 0.0
        self._statuses: Counter[str] = Counter()

    @property
    def statuses(self) -> Counter[str]:
        """Number of rows by status, those of earlier writers included."""
        return self.kept.statuses + self._statuses

    def resume(self, record: RunRecord, ends: Callable[[int], Iterable[int]]) -> None:
        """Goes on with an earlier record and its rows, up to the last end of a window."""
        self.record = record
        self.standing = "finished" if record.state == "finished" else "resumed"
        if self.standing == "resumed":
            if record.state == "running":  # it was killed
                record.seconds = record.seconds_until(last_write(self._paths.lines))
            self.kept = kept_rows(self._paths.lines, ends(record.window))
            if not self.kept.size and not _may_be_rows(self._paths.lines):
                raise UserError(
                    f"{self.name}: is not what its unfinished run wrote; use --force to start anew, or another name"
                )
        elif self._paths.lines != self._paths.target:  # killed between its end and this
            self._paths.lines.unlink(missing_ok=True)

    def begin(self, model: str, quarantine: str, window: int, cache_mark: str | None) -> None:
        """Gives up what is not kept, and records that the run is on.

        Args:
            model: The model as the user named it.
            quarantine: Where bad rows go.
            window: Documents of the largest windows; a resumed run keeps to its own.
            cache_mark: Up to where the run sees the cache of topics; a resumed run has its own already.
        """
        record, time_now = self.record, now()
        record.model, record.quarantine = model, quarantine
        if self.standing == "new":
            record.started, record.window, record.cache_mark = time_now, window, cache_mark
        record.state, record.process, record.error, record.ended = "running", os.getpid(), None, None
        record.resumed, record.resumed_documents = time_now, self.kept.documents
        self._output = open_lines(self.name, self._paths.lines)
        self._sink = JsonLines(self._output, self._settings)
        # In this order, so that no moment joins the rows of an earlier run to this record.
        self._output.start(self.kept.size)
        self._output.sync()
        with writable(self.name):
            record.save(self._paths.record)
        self._began = self._synced = time.monotonic()

    def write(self, topics: Iterable[Topic]) -> None:
        """Writes topics, in order, and hands them to the system."""
        if self._output is None:
            raise ValueError("write to a run that has not begun")
        for topic in topics:
            self._sink.write([topic])
            self._statuses[topic.status] += 1
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._output.sync()
            self._synced = time.monotonic()

    def finish(self, problems: Problems) -> None:
        """Makes the table where one is wanted, and records the end."""
        if self._output is None:
            raise ValueError("end of a run that has not begun")
        self._output.sync()
        self._sink.close()
        lines, target = self._paths.lines, self._paths.target
        if lines != target:
            write_table(str(target), self._settings, read_rows(lines))
        self.record.left_out, self.record.incomplete = problems.quarantined, list(problems.incomplete)
        self.record.size = target.stat().st_size
        with writable(self.name):
            self._end("finished")
        if lines != target:
            lines.unlink(missing_ok=True)

    def stop(self, error: BaseException) -> None:
        """Keeps what was written, and records why it is not all."""
        if self._output is None:
            return
        stopped = isinstance(error, KeyboardInterrupt | TerminatedError)
        self.record.error = None if stopped else str(error) or type(error).__name__
        with suppress(UserError, OSError):  # the disk may be full: the record then says that the run is on
            self._sink.close()
        with suppress(OSError):
            self._end("interrupted" if stopped else "failed")

    def _end(self, state: Literal["interrupted", "failed", "finished"]) -> None:
        record = self.record
        record.state, record.ended = state, now()
        record.seconds += time.monotonic() - self._began
        record.statuses = dict(sorted(self.statuses.items()))
        record.documents = self.statuses.total()
        record.save(self._paths.record)


@contextmanager
def open_run(
    name: str,
    settings: WriterSettings,
    identify: Callable[[], Fingerprint],
    ends: Callable[[int], Iterable[int]],
    *,
    force: bool = False,
) -> Iterator[Run]:
    """Locks an output file, and finds what an earlier run left of it.

    Args:
        name: The output as the user named it.
        settings: How topics are written.
        identify: Gives the fingerprint; called after the cheaper checks.
        ends: Largest window -> increasing numbers of documents after which a run may be resumed.
        force: Whether to start anew, whatever there is.

    Raises:
        UserError: When the file cannot be written, another process writes it, it is no run of topicgen, or one of
            another fingerprint; the message says what differs.
    """
    target, _ = output_path(name)
    paths = RunPaths.of(target, settings.output_format)
    with _locked(name, paths):
        earlier = None if force else _earlier(name, paths)
        run = Run(name, paths, settings, RunRecord(identify()))
        if earlier is not None:
            _require_same(name, earlier, run.record.fingerprint)
            run.resume(earlier, ends)
        try:
            yield run
        except BaseException as error:
            run.stop(error)
            raise


@contextmanager
def _locked(name: str, paths: RunPaths) -> Iterator[None]:
    """Keeps other writers out of an output file, and removes what a killed one was making of it.

    Raises UserError when another process holds it, or the file cannot be written.
    """
    with ExitStack() as held:
        with writable(name):
            held.enter_context(exclusive(paths.lock, name))
            if paths.target.exists() and not os.access(paths.target, os.W_OK):
                raise PermissionError(0, "Permission denied")
            for pattern in (paths.target.name, paths.record.name):
                for part in paths.target.parent.glob(f".{glob.escape(pattern)}.????????.part"):
                    part.unlink(missing_ok=True)
        yield


@contextmanager
def alone(name: str | None, settings: WriterSettings, *, force: bool = False) -> Iterator[Callable[[], None]]:
    """Keeps other writers out of an output that is no run, as that of standard input; None is standard output.

    Gives what forgets an earlier run of this name, to be called before the output is given up.

    Raises:
        UserError: When another process writes the file, it cannot be written or, without ``force``, it has content or
            belongs to an unfinished run.
    """
    path, regular = output_path(name) if name else (Path(), False)
    if not name or not regular:
        yield lambda: None
        return
    paths = RunPaths.of(path, settings.output_format)

    def forget() -> None:
        with writable(name):
            for file in (paths.record, RunPaths.of(path, "csv").lines):
                file.unlink(missing_ok=True)
            sync(path.parent)

    with _locked(name, paths):
        if not force:
            refuse_content(name, path)
            record = RunRecord.load(paths.record)
            if record is not None and record.state != "finished":
                raise UserError(f"{name}: belongs to an unfinished run; use --force to start anew, or another name")
        yield forget


def _earlier(name: str, paths: RunPaths) -> RunRecord | None:
    """The record of the run that the output belongs to; None when there is nothing of it."""
    record = RunRecord.load(paths.record)
    if record is None:
        refuse_content(name, paths.target)
        return None
    there = paths.target if record.state == "finished" else RunPaths.of(paths.target, record.output_format).lines
    if not there.exists():  # its user has deleted it
        if there != paths.target and record.state != "finished":
            refuse_content(name, paths.target)
        return None
    if record.state == "finished" and there.stat().st_size != record.size:
        raise UserError(f"{name}: was changed after its run had finished; use --force to start anew, or another name")
    return record


def _may_be_rows(lines: Path) -> bool:
    """Whether a file begins as rows do, as far as it goes."""
    with lines.open("rb") as file:
        start = file.read(len(ROW))
    return ROW.startswith(start)


def _require_same(name: str, earlier: RunRecord, fingerprint: Fingerprint) -> None:
    if changed := differences(earlier.fingerprint, fingerprint):
        kind = "a finished" if earlier.state == "finished" else "an unfinished"
        raise UserError(
            f"{name}: belongs to {kind} run with other settings: {'; '.join(changed)}; "
            "use --force to start anew, or another name"
        )
