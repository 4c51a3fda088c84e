"""The state of a run <-> the file beside its output, ``topics.jsonl.run.json``."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, cast, get_args

from topicgen.config import OutputFormat
from topicgen.errors import UserError
from topicgen.outputs import replace_whole
from topicgen.runs.fingerprint import Fingerprint

FORMAT = 1

State = Literal["running", "interrupted", "failed", "finished"]


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of a run.

    Attributes:
        target: The output as the user named it, links followed.
        lines: Its rows as JSON lines, in order: the output itself, or a hidden file until a table is made of it.
    """

    target: Path
    lines: Path

    @classmethod
    def of(cls, target: Path, output_format: OutputFormat) -> Self:
        hidden = target.with_name(f".{target.name}.run.jsonl")
        return cls(target, target if output_format == "jsonl" else hidden)

    @property
    def record(self) -> Path:
        """The state of the run."""
        return self.target.with_name(f"{self.target.name}.run.json")

    @property
    def lock(self) -> Path:
        """What the writing process holds."""
        return self.target.with_name(f".{self.target.name}.lock")


@dataclass
class RunRecord:
    """A run so far; what it is made from never changes.

    Attributes:
        fingerprint: What the rows are made from.
        model: The model as the user named it.
        quarantine: Where bad rows go.
        state: As it was written last; a process that was killed leaves ``running``.
        process: Process id of the last writer.
        started: When the run began.
        resumed: When the last writer began; the same unless it resumed.
        resumed_documents: Documents that the last writer found done.
        seconds: Working time of the earlier writers, as far as it is known, and at the end of the last one too.
        ended: When the state became another than ``running``.
        documents: Rows of a run that is no longer running.
        statuses: Number of these rows by status.
        left_out: Rows of the input that became no documents.
        incomplete: Sources whose end could not be read, one line each.
        size: Bytes of a finished output.
        error: Why the run failed.
        cache_mark: Up to where the run sees the cache of topics.
        window: Documents of the largest windows.
    """

    fingerprint: Fingerprint
    model: str = ""
    quarantine: str = ""
    state: State = "running"
    process: int = 0
    started: str = ""
    resumed: str = ""
    resumed_documents: int = 0
    seconds: float = 0.0
    ended: str | None = None
    documents: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    incomplete: list[str] = field(default_factory=list)
    size: int | None = None
    error: str | None = None
    cache_mark: str | None = None
    window: int = 1

    @property
    def failed(self) -> bool:
        """Whether some of the input did not become documents, or some documents failed."""
        return bool(self.left_out or self.incomplete or self.statuses.get("failed"))

    @property
    def output_format(self) -> OutputFormat:
        return cast(OutputFormat, self.fingerprint["output_format"])

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The record at a path, None where there is none; raises UserError for a file that is no record."""
        try:
            values = json.loads(path.read_bytes())
            if values.pop("format") != FORMAT:
                raise ValueError("of another version of topicgen")
            record = cls(**values)
            record._require_sound()
            datetime.fromisoformat(record.resumed)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: is no record of a run ({error}); use --force to start anew") from None
        return record

    def seconds_until(self, last: datetime) -> float:
        """Working time, when the last writer ended without recording it."""
        return self.seconds + max((last - datetime.fromisoformat(self.resumed)).total_seconds(), 0)

    def _require_sound(self) -> None:
        kinds = {"fingerprint": dict, "statuses": dict, "incomplete": list, "seconds": (int, float), "window": int}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):  # type: ignore[arg-type]
                raise TypeError(f"{name} is of another type")
        if self.state not in get_args(State) or self.fingerprint.get("output_format") not in get_args(OutputFormat):
            raise ValueError("state or format is unknown")

    def save(self, path: Path) -> None:
        """Writes the record, whole or not at all, and so that it lasts through a power cut; raises OSError."""
        told = json.dumps({"format": FORMAT} | asdict(self), indent=1, ensure_ascii=False)
        replace_whole(path, f"{told}\n".encode("utf-8", "backslashreplace"))


def last_write(lines: Path) -> datetime:
    """When the rows of a run were last added to: a killed writer's last sign of life."""
    return datetime.fromtimestamp(lines.stat().st_mtime, UTC)


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
