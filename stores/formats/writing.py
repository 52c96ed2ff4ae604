"""Our data folder on the way out: parquet tables with string ids, and pairs of a split."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stores.formats.rows import Entity, Pair, Row

BATCH = 50_000
INTERACTIONS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("rating", pa.float64()),
        pa.field("timestamp", pa.float64()),
        pa.field("review", pa.string()),
        pa.field("summary", pa.string()),
    ]
)


class InteractionWriter:
    """interactions.parquet, a batch at a time, so that no more than a batch is held."""

    def __init__(self, path: Path) -> None:
        self.writer = pq.ParquetWriter(path, INTERACTIONS)
        self.waiting: list[Row] = []

    def __enter__(self) -> "InteractionWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.flush()
        self.writer.close()

    def add(self, row: Row) -> None:
        self.waiting.append(row)
        if len(self.waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        columns = [[row[place] for row in self.waiting] for place in range(len(INTERACTIONS))]
        arrays = [
            pa.array(cells, one.type) for cells, one in zip(columns, INTERACTIONS, strict=True)
        ]
        self.writer.write_batch(pa.record_batch(arrays, schema=INTERACTIONS))
        self.waiting = []


def write_entities(path: Path, id_column: str, entities: Iterable[Entity]) -> None:
    """Items or users: the id, then every column any of them has."""
    found = list(entities)
    names = dict.fromkeys(name for one in found for name in one.texts)
    columns: dict[str, Sequence[Any]] = {id_column: [one.id for one in found]}
    for name in names:
        columns[name] = [one.texts.get(name) for one in found]
    pq.write_table(strings(columns), path)


def write_entity_lines(path: Path, id_column: str, entities: Iterable[Entity]) -> None:
    """Items or users as JSON lines, each with its own columns in its own order."""
    with path.open("w", encoding="utf-8") as file:
        for one in entities:
            file.write(json.dumps({id_column: one.id, **one.texts}, ensure_ascii=False) + "\n")


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    columns = {"user_id": [user for user, _ in pairs], "item_id": [item for _, item in pairs]}
    pq.write_table(strings(columns), path)


def strings(columns: Mapping[str, Sequence[Any]]) -> Any:
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
