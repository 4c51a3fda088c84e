"""Rows -> a Parquet file in bounded row groups, whose kept columns get the narrowest type that fits all values."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from topicgen.config import WriterSettings
from topicgen.errors import UserError
from topicgen.outputs import Output
from topicgen.records import Topic
from topicgen.rows import field_names, json_text, kept_fields, topic_row

MAX_GROUP_ROWS = 10_000
MAX_GROUP_CHARACTERS = 1 << 23

Kind = Literal["unknown", "bool", "int", "float", "string"]


def value_kind(value: Any) -> Kind:
    """Returns the kind of column that holds a value; what is neither number nor truth value is a string."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "string"
    return "float" if isinstance(value, float) else "string"


def common_kind(one: Kind, other: Kind) -> Kind:
    """Returns the narrowest kind that holds the values of both."""
    if "unknown" in (one, other) or one == other:
        return other if one == "unknown" else one
    return "float" if {one, other} == {"int", "float"} else "string"


class ParquetTopics:
    """Writes topics as Parquet.

    A kept column is typed by the values so far. When a later value does not fit, the file so far is copied with the
    wider type: integers become floats; anything else, JSON in strings. When the disk fills up nothing is left of the
    file, for without its end it cannot be read; a run that must survive that writes JSON lines.
    """

    def __init__(self, output: Output, settings: WriterSettings) -> None:
        self._output = output
        self._settings = settings
        self._kept = kept_fields(settings.keep)
        self._kinds: dict[str, Kind] = dict.fromkeys(self._kept.values(), "unknown")
        self._rows: list[dict[str, Any]] = []
        self._size = 0
        self._file: Any = None
        self._broken = False
        self._closed = False

    def write(self, topics: Iterable[Topic]) -> None:
        """Takes topics; row groups are written as they fill."""
        self.write_rows(topic_row(topic, self._settings, self._kept) for topic in topics)

    def write_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Takes rows with all fields; row groups are written as they fill."""
        if self._closed:
            raise ValueError("write to a closed writer")
        for row in rows:
            self._rows.append(row)
            self._size += sum(len(value) for value in row.values() if isinstance(value, (str, list, dict)))
            if len(self._rows) >= MAX_GROUP_ROWS or self._size >= MAX_GROUP_CHARACTERS:
                self._write_or_break()

    def close(self) -> None:
        """Writes what is left and moves the file into its place."""
        if self._closed:
            return
        self._closed = True
        finished = False
        try:
            if not self._broken:
                self._finish()
                finished = True
        finally:
            # Without its end a Parquet file cannot be read.
            self._output.close(keep=finished)

    def _finish(self) -> None:
        if self._rows or self._file is None:
            self._write_or_break()
        with self._output.guard():
            self._file.close()
        self._output.flush()

    def _write_or_break(self) -> None:
        try:
            self._write_group()
        except UserError:
            self._broken = True
            raise

    def _write_group(self) -> None:
        import pyarrow as pa

        self._fit_kinds()
        columns = {name: [_fitted(row[name], self._kinds.get(name)) for row in self._rows] for name in self._names}
        self._rows, self._size = [], 0
        with self._output.guard():
            self._file.write_table(pa.Table.from_pydict(columns, schema=self._schema()))
            pa.default_memory_pool().release_unused()  # else memory grows over the first hundred groups

    def _fit_kinds(self) -> None:
        kinds = dict(self._kinds)
        for name, kind in kinds.items():
            for row in self._rows:
                kind = common_kind(kind, value_kind(row[name]))
            kinds[name] = kind
        if self._file is None:
            self._kinds = kinds
            self._open()
        elif kinds != self._kinds:
            self._kinds = kinds
            self._copy_with_new_kinds()

    def _open(self) -> None:
        import pyarrow.parquet as pq

        with self._output.guard():
            self._file = pq.ParquetWriter(self._output.stream, self._schema(), compression="zstd")

    def _copy_with_new_kinds(self) -> None:
        import pyarrow.parquet as pq

        with self._output.guard():
            self._file.close()
        old: Path = self._output.restart()
        self._open()
        try:
            with self._output.guard(), old.open("rb") as file:
                for batch in pq.ParquetFile(file).iter_batches(batch_size=MAX_GROUP_ROWS, use_threads=False):
                    self._file.write_batch(batch.cast(self._schema(), safe=False))
        finally:
            old.unlink(missing_ok=True)

    @property
    def _names(self) -> list[str]:
        return field_names(self._settings)

    def _schema(self) -> Any:
        import pyarrow as pa

        ranked = pa.list_(pa.struct([("topic", pa.string()), ("score", pa.float64())]))
        supported = [("topic", pa.string()), ("weight", pa.float64()), ("score", pa.float64())]
        passages = pa.list_(pa.struct([*supported, ("offset", pa.int64()), ("length", pa.int64())]))
        own = {"score": pa.float64(), "position": pa.int64(), "topics": ranked, "passages": passages}
        typed = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
        kept = {name: typed.get(kind, pa.string()) for name, kind in self._kinds.items()}
        return pa.schema([(name, own.get(name) or kept.get(name) or pa.string()) for name in self._names])


def _fitted(value: Any, kind: Kind | None) -> Any:
    """The value as a column of this kind stores it; None stands for one of topicgen's own fields."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if kind == "string" and value is not None:
        return json_text(value)
    return float(value) if kind == "float" and value is not None else value
