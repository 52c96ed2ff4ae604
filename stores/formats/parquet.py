"""Parquet, a batch at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from errors import DataError
from stores.formats.tables import Record, Table, checked_header

BATCH = 50_000


def read(path: Path, encoding: str) -> Table:
    """Parquet names its own encoding, so ours is not asked."""
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path.name} is not a parquet file: {error}.") from None
    columns = checked_header(path, list(file.schema_arrow.names))
    return Table(path, columns, records(path, file))


def records(path: Path, file: Any) -> Iterator[Record]:
    row = 0
    with file:
        try:
            for batch in file.iter_batches(BATCH):
                names = batch.schema.names
                columns = [cells(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    row += 1
                    yield row, dict(zip(names, values, strict=True))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path.name} is broken after row {row}: {error}.") from None


def cells(column: Any) -> list[Any]:
    """Nanoseconds have no place in a Python datetime, so moments are cut to microseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return list(column.to_pylist())
