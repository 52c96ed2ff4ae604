"""The rows that are left in a damaged SQLite file, read page by page.

SQLite itself stops at the first page that it cannot follow. Here every page is taken for what it
says it is (SQLite's file format, sections 1.5, 1.6, 2 and 4), whether or not anything leads to it;
a cell that makes no whole record is left out. Where a table's own columns are known, `fits` tells
its rows from those of others.
"""

import mmap
import sqlite3
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from errors import StoreError

Value = int | float | str | bytes | None
_INDEX_NODE, _INDEX_LEAF, _TABLE_LEAF = 0x02, 0x0A, 0x0D
_WHOLE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes of an integer by serial type
_TYPES: dict[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "REAL": (int, float)}
_BROKEN = (IndexError, ValueError, struct.error)


@dataclass(frozen=True)
class Table:
    """A table as its rows lie in the file: the columns in their stored order."""

    name: str
    columns: tuple[str, ...]
    types: tuple[tuple[type, ...], ...]
    required: tuple[bool, ...]
    rowid: int | None  # the place of the column that is the row's number
    in_index: bool  # WITHOUT ROWID: rows lie in pages of an index

    def fits(self, values: Sequence[Value]) -> bool:
        return len(values) == len(self.columns) and all(
            (value is None and (not needed or place == self.rowid)) or isinstance(value, kinds)
            for place, (value, kinds, needed) in enumerate(
                zip(values, self.types, self.required, strict=True)
            )
        )


def tables(db: sqlite3.Connection) -> list[Table]:
    """The tables of a sound file."""
    listed = db.execute("PRAGMA table_list").fetchall()
    found = []
    for _, name, kind, _, without_rowid, _ in listed:
        if kind != "table" or name.startswith("sqlite_"):
            continue
        columns = db.execute(f"PRAGMA table_info({name})").fetchall()
        if without_rowid:
            # What belongs to the key comes first, in the order of the key.
            columns.sort(key=lambda c: (c[5] == 0, c[5] or c[0]))
        number = [i for i, c in enumerate(columns) if c[5] and c[2] == "INTEGER"]
        found.append(
            Table(
                name=name,
                columns=tuple(c[1] for c in columns),
                types=tuple(_TYPES.get(c[2], (int, float, str, bytes)) for c in columns),
                required=tuple(bool(c[3] or c[5]) for c in columns),
                rowid=number[0] if number and not without_rowid else None,
                in_index=bool(without_rowid),
            )
        )
    return found


def salvage(
    damaged: Path,
    into: sqlite3.Connection,
    right: dict[str, Callable[..., bool]],
    once_in_index: Collection[str] = (),
) -> dict[str, int]:
    """Copy the rows that can be read into a new file with the same tables. Counts them by table.

    `right` may say of a table's row, in stored order, whether its content is whole. Of the tables
    `once_in_index` older files have the rows in pages of an index.
    """
    known = tables(into)
    saved = {table.name: 0 for table in known}
    into.execute("BEGIN")
    for in_index, number, values in rows(damaged):
        for table in known:
            if in_index != table.in_index and table.name not in once_in_index:
                continue
            if not table.fits(values) or not right.get(table.name, _any)(*values):
                continue
            row = [number if place == table.rowid else v for place, v in enumerate(values)]
            done = into.execute(
                f"INSERT OR IGNORE INTO {table.name} ({', '.join(table.columns)})"
                f" VALUES ({', '.join('?' * len(row))})",
                row,
            )
            saved[table.name] += done.rowcount
            break
    into.execute("COMMIT")
    return saved


def _any(*_: Value) -> bool:
    return True


def rows(path: Path) -> Iterator[tuple[bool, int, list[Value]]]:
    """Every whole record: whether it lies in an index, its row number, its values."""
    if path.stat().st_size == 0:
        return
    try:
        with (
            path.open("rb") as file,
            closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data,
        ):
            pages = _Pages(data, _written_ahead(path))
            for number in range(1, pages.count + 1):
                yield from _records(pages, number)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error


class _Pages:
    """The pages of a file, the newer ones of its write-ahead log in place of theirs."""

    def __init__(self, data: mmap.mmap, newer: dict[int, bytes]) -> None:
        size = int.from_bytes(data[16:18], "big")
        size = 65536 if size == 1 else size
        # A header that says nonsense is damaged itself; 4096 is what SQLite takes unless told.
        self.size = size if size in {2**n for n in range(9, 17)} and data[:6] == b"SQLite" else 4096
        self.count = max([len(data) // self.size, *newer])
        self._data, self._newer = data, newer

    def __getitem__(self, number: int) -> bytes:
        if not 1 <= number <= self.count:
            raise IndexError(number)
        return self._newer.get(number) or self._data[(number - 1) * self.size : number * self.size]


def _written_ahead(path: Path) -> dict[int, bytes]:
    log = path.with_name(f"{path.name}-wal")
    data = log.read_bytes() if log.exists() else b""
    if len(data) < 32 or data[:3] != b"\x37\x7f\x06":
        return {}
    size, salts = int.from_bytes(data[8:12], "big"), data[16:24]
    committed: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    for start in range(32, len(data) - 24 - size + 1, 24 + size):
        number, pages = struct.unpack(">II", data[start : start + 8])
        if data[start + 8 : start + 16] != salts:
            break
        waiting[number] = data[start + 24 : start + 24 + size]
        if pages:
            committed |= waiting
            waiting = {}
    return committed


def _records(pages: _Pages, number: int) -> Iterator[tuple[bool, int, list[Value]]]:
    page = pages[number]
    start = 100 if number == 1 else 0
    kind = page[start] if len(page) > start + 12 else 0
    if kind not in (_INDEX_NODE, _INDEX_LEAF, _TABLE_LEAF):
        return
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    first = start + (12 if kind == _INDEX_NODE else 8)
    for cell in range(min(cells, pages.size // 4)):
        try:
            (at,) = struct.unpack_from(">H", page, first + 2 * cell)
            row = 0
            if kind == _INDEX_NODE:
                at += 4
            length, at = _varint(page, at)
            if kind == _TABLE_LEAF:
                row, at = _varint(page, at)
            payload = _payload(pages, page, at, length, kind == _TABLE_LEAF)
            yield kind != _TABLE_LEAF, row, _values(payload)
        except _BROKEN:
            continue


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(9):
        byte = data[at + place]
        if place == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("no varint")


def _payload(pages: _Pages, page: bytes, at: int, length: int, in_table: bool) -> bytes:
    """The whole of a record, the part on overflow pages included."""
    size = pages.size
    most = size - 35 if in_table else (size - 12) * 64 // 255 - 23
    if length <= most:
        if at + length > size:
            raise ValueError("it runs over its page")
        return page[at : at + length]
    least = (size - 12) * 32 // 255 - 23
    local = least + (length - least) % (size - 4)
    local = local if local <= most else least
    parts, left = [page[at : at + local]], length - local
    (following,) = struct.unpack_from(">I", page, at + local)
    if left > pages.count * size:
        raise ValueError("it is longer than the file")
    while left > 0:
        more = pages[following]
        (following,) = struct.unpack_from(">I", more)
        parts.append(more[4 : 4 + left])
        left -= size - 4
    return b"".join(parts)


def _values(payload: bytes) -> list[Value]:
    header, at = _varint(payload, 0)
    kinds = []
    while at < header:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload) or not values:
        raise ValueError("its header and its length disagree")
    return values


def _value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in _WHOLE:
        end = at + _WHOLE[kind]
        return int.from_bytes(data[at:end], "big", signed=True), end
    if kind == 7:
        (number,) = struct.unpack_from(">d", data, at)
        return number, at + 8
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        raise ValueError("a kind that is not in use")
    end = at + (kind - 12) // 2
    return (data[at:end].decode("utf-8") if kind % 2 else data[at:end]), end
