"""RecBole's atomic files: NAME.inter, NAME.item, NAME.user, and ready splits NAME.train.inter.

Tabs, no quotes, and a header of `column:type`. A sequence is separated by spaces: words of a
text, or the values of an attribute, which become "a, b" as lists do everywhere else. Vectors
(`float_seq`) say nothing in words and are left behind.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from errors import DataError
from stores.formats.headers import field_named
from stores.formats.tables import Record, Sources, Table, checked_header, lines, wrong_width

PARTS = {"train": "train", "valid": "val", "test": "test"}
TEXTS = {"title", "description", "review", "summary"}
# What stores.exports.recbole adds, a column for either kind.
DESCRIBED = {"user": "user_text", "item": "item_text"}
TABLES = {".inter": "interactions", ".item": "items", ".user": "users"}


def read(path: Path, encoding: str) -> Table:
    feed = lines(path, encoding, newline="\n")
    header = next(feed, "").rstrip("\r\n").split("\t")
    columns = checked_header(path, [cell.rpartition(":")[0] or cell for cell in header])
    kind = TABLES.get(path.suffix, "interactions")
    types = dict(zip(columns, (cell.rpartition(":")[2] for cell in header), strict=True))
    kept = {column: place for place, column in enumerate(columns) if types[column] != "float_seq"}
    readers = {
        column: as_text if is_text(kind, column) else as_list
        for column in kept
        if types[column].endswith("_seq")
    }
    return Table(path, tuple(kept), records(feed, len(header), kept, readers))


def is_text(kind: str, column: str) -> bool:
    return column in DESCRIBED.values() or field_named(kind, column) in TEXTS


def as_text(cell: str) -> str:
    """Spaces around a sequence separate nothing."""
    return cell.strip(" ")


def as_list(cell: str) -> str:
    return ", ".join(cell.split())


def records(
    feed: Iterator[str],
    width: int,
    kept: Mapping[str, int],
    readers: Mapping[str, Callable[[str], str]],
) -> Iterator[Record]:
    for row, line in enumerate(feed, start=2):
        values = line.rstrip("\r\n").split("\t")
        if values == [""]:
            continue
        if len(values) != width:
            yield row, wrong_width(len(values), width)
            continue
        for column, read in readers.items():
            values[kept[column]] = read(values[kept[column]])
        yield row, {column: values[place] for column, place in kept.items()}


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
