"""Documents with their place among the themes -> documents.parquet, and back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topicgen.errors import UserError
from topicgen.themes.records import Member, Theme

LABEL = "label_"


@dataclass(frozen=True, slots=True)
class Placed:
    """A document and where it belongs.

    Attributes:
        member: The document.
        theme: Id of its theme.
        subtheme: Id of its sub-theme.
        x: Place on the map, 0 to 1.
        y: Place on the map, 0 to 1.
        update: Number of the update that brought it.
        score: Cosine of its vector to the theme's centroid, as both were when it was placed.
    """

    member: Member
    theme: str
    subtheme: str
    x: float
    y: float
    update: int
    score: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where a document belongs: its theme and sub-theme, the cosine to the theme, and whether that is near enough.

    A document that is not near has the nearest theme all the same; an update may found a new one for it.
    """

    theme: Theme
    subtheme: Theme
    score: float
    near: bool


def write_documents(path: Path, rows: Sequence[Placed]) -> None:
    """Writes the table; texts and dates that are not known are null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    members = [row.member for row in rows]
    labels = dict.fromkeys(name for member in members for name in member.labels)
    columns: dict[str, Any] = {
        "id": pa.array([m.id for m in members], pa.string()),
        "source": pa.array([m.source for m in members], pa.string()),
        "position": pa.array([m.position for m in members], pa.int64()),
        "topic": pa.array([m.topic for m in members], pa.string()),
        "theme": pa.array([row.theme for row in rows], pa.string()),
        "subtheme": pa.array([row.subtheme for row in rows], pa.string()),
        "x": pa.array([row.x for row in rows], pa.float32()),
        "y": pa.array([row.y for row in rows], pa.float32()),
        "date": pa.array([m.date for m in members], pa.date32()),
        "text": pa.array([m.text or None for m in members], pa.string()),
        "update": pa.array([row.update for row in rows], pa.int32()),
        "score": pa.array([row.score for row in rows], pa.float32()),
    }
    for name in labels:
        columns[f"{LABEL}{name}"] = pa.array([m.labels.get(name) for m in members], pa.string())
    pq.write_table(pa.table(columns), path, compression="zstd")


def read_documents_table(path: Path) -> list[Placed]:
    """Reads the table back; raises UserError when it is not one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, use_threads=False)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        labels = [name for name in table.column_names if name.startswith(LABEL)]
        return list(_rows(columns, labels, table.num_rows))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not the documents of a themes folder ({reason})") from None


def _rows(columns: dict[str, list[Any]], labels: Sequence[str], count: int) -> Iterable[Placed]:
    for row in range(count):
        member = Member(
            id=columns["id"][row],
            topic=columns["topic"][row],
            text=columns["text"][row] or "",
            source=columns["source"][row],
            position=columns["position"][row],
            date=columns["date"][row],
            labels={name.removeprefix(LABEL): columns[name][row] for name in labels if columns[name][row] is not None},
        )
        place = (columns[name][row] for name in ("theme", "subtheme", "x", "y", "update", "score"))
        yield Placed(member, *place)
