"""RecBole's atomic files: NAME.inter, NAME.item, NAME.user, and ready splits NAME.train.inter.

Tabs, no quotes, and a header of `column:type`. A sequence is separated by spaces: words of a
text, or the values of an attribute, which become "a, b" as lists do everywhere else.
"""

from collections.abc import Iterator
from pathlib import Path

from errors import DataError
from stores.formats.headers import field_named
from stores.formats.tables import Record, Sources, Table, checked_header, lines, wrong_width

PARTS = {"train": "train", "valid": "val", "test": "test"}
TEXTS = {"title", "description", "review", "summary"}
TABLES = {".inter": "interactions", ".item": "items", ".user": "users"}


def read(path: Path, encoding: str) -> Table:
    feed = lines(path, encoding, newline="\n")
    header = next(feed, "").rstrip("\r\n").split("\t")
    columns = checked_header(path, [cell.rpartition(":")[0] or cell for cell in header])
    kind = TABLES.get(path.suffix, "interactions")
    lists = [
        cell.endswith("_seq") and field_named(kind, column) not in TEXTS
        for cell, column in zip(header, columns, strict=True)
    ]
    return Table(path, columns, records(feed, columns, lists))


def records(feed: Iterator[str], columns: tuple[str, ...], lists: list[bool]) -> Iterator[Record]:
    for row, line in enumerate(feed, start=2):
        values = line.rstrip("\r\n").split("\t")
        if values == [""]:
            continue
        if len(values) != len(columns):
            yield row, wrong_width(len(values), len(columns))
            continue
        for place in (place for place, is_list in enumerate(lists) if is_list):
            values[place] = ", ".join(values[place].split())
        yield row, dict(zip(columns, values, strict=True))


def find(src: Path) -> Sources:
    """The files of one dataset, from its folder, its prefix or one of its files."""
    prefix = prefix_of(src)
    parts = [
        (path, ours)
        for theirs, ours in PARTS.items()
        if (path := beside(prefix, f".{theirs}.inter")).is_file()
    ]
    one = beside(prefix, ".inter")
    if parts and not {"train", "test"} <= {part for _, part in parts}:
        raise DataError(f"{prefix.name} has only some of its .train/.valid/.test.inter files.")
    if not parts and not one.is_file():
        raise DataError(f"There is no {one.name} in {one.parent}.")
    items, users = beside(prefix, ".item"), beside(prefix, ".user")
    return Sources(
        tuple(parts) or ((one, None),),
        items if items.is_file() else None,
        users if users.is_file() else None,
    )


def prefix_of(src: Path) -> Path:
    if not src.is_dir():
        return src.with_name(dataset_name(src))
    names = sorted({dataset_name(path) for path in src.glob("*.inter")})
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise DataError(f"{src} holds {len(names)} RecBole datasets ({found}); one is needed.")
    return src / names[0]


def dataset_name(path: Path) -> str:
    """ml.inter and ml.train.inter both belong to ml."""
    name = path.name.removesuffix(".inter")
    head, _, part = name.rpartition(".")
    return head if head and part in PARTS else name


def beside(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)
