"""A Parquet file -> a header and rows; only the needed columns are read, in batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from topicgen.columns import Header
from topicgen.errors import UserError
from topicgen.tables import Row, Table

_BATCH_ROWS = 256


def parquet_table(source: str, file: IO[bytes], first: int = 1) -> Table:
    """Reads the schema of a Parquet file; its rows begin with the row group that holds row ``first``.

    Raises UserError when it is damaged.
    """
    import pyarrow.parquet as pq

    with _readable(source):
        parquet = pq.ParquetFile(file, pre_buffer=False)
        fields = list(parquet.schema_arrow)
        strings = [field.name for field in fields if _is_string(field.type)]
        others = {field.name: str(field.type) for field in fields if not _is_string(field.type)}
        header = Header([field.name for field in fields], strings, others)
    return Table(header, lambda needed: _parquet_rows(source, parquet, needed, first))


def row_count(source: str, file: IO[bytes]) -> int:
    """The number of rows of a Parquet file, from its end; raises UserError when it is damaged."""
    import pyarrow.parquet as pq

    with _readable(source):
        return int(pq.read_metadata(file).num_rows)


def _parquet_rows(source: str, parquet: Any, needed: Sequence[str], first: int) -> Iterator[Row]:
    with _readable(source):
        sizes = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
        skipped = 0
        position = 0
        while skipped < len(sizes) and position + sizes[skipped] < first:
            position += sizes[skipped]
            skipped += 1
        groups = list(range(skipped, len(sizes)))
        batches = parquet.iter_batches(
            batch_size=_BATCH_ROWS, row_groups=groups, columns=list(needed), use_threads=False
        )
        for batch in batches:
            columns = [_python_values(batch.column(name)) for name in needed]
            for values in zip(*columns, strict=True):
                position += 1
                row = dict(zip(needed, values, strict=True))
                yield Row(position, position, row, repr(row)[:2_000])


@contextmanager
def _readable(source: str) -> Iterator[None]:
    """Turns what pyarrow raises on damaged or unsupported files into a UserError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{source}: cannot be read as Parquet, damaged or of an unsupported kind: {reason}") from None


def _is_string(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _python_values(column: Any) -> list[Any]:
    """The values of a column as JSON knows them; dates, times and decimals in their text form."""
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_float16(kind):
        column = column.cast(pa.float32())
    elif (types.is_temporal(kind) and not types.is_interval(kind)) or types.is_decimal(kind):
        # As Python objects, nanoseconds would need pandas.
        column = column.cast(pa.int64() if types.is_duration(kind) else pa.string())
    values: list[Any] = column.to_pylist()
    if _is_string(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return values
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else str(value)
