"""Records into clean rows: the one place where a row is found good or bad.

`Row` is an interaction, an `Entity` is an item or a user. A bad row goes to `bad`, which raises or
takes note; reading goes on if it returns. Ids are interned: each comes again in every interaction,
and as a string of its own it would take more memory than the row.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from sys import intern
from typing import Any, NamedTuple

from errors import DataError
from stores.formats import headers
from stores.formats.tables import Table
from stores.formats.values import BadValue, identifier, moment, number, recent, text

PARTS = ("train", "val", "test")
PART_NAMES = {
    "training": "train",
    "trn": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
}
Pair = tuple[str, str]
Cells = dict[str, Any]
Names = dict[str, str]
# Stands for the column a file does not have; no column can be called this.
ABSENT = "\0"


class Row(NamedTuple):
    user: str
    item: str
    rating: float | None
    timestamp: float | None
    review: str | None
    summary: str | None
    split: str | None
    number: int


class Entity(NamedTuple):
    """An item or a user: its texts by column, in the file's order; title and description too."""

    id: str
    texts: dict[str, str]
    number: int


@dataclass(frozen=True, slots=True)
class BadRow:
    file: str
    row: int
    reason: str


OnBad = Callable[[BadRow], None]


def refuse(bad: BadRow) -> None:
    """The strict answer to a bad row."""
    raise DataError(
        f"{bad.file}, row {bad.row}: {bad.reason}.",
        hint="Correct or drop the row, or leave such rows out: data import --on-bad-rows skip.",
    )


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a file's columns are named: ours only, or (`asked` is not None) any known way."""

    asked: Mapping[str, str] | None = None

    def matched(self, kind: str, columns: tuple[str, ...]) -> dict[str, str]:
        if self.asked is None:
            return headers.exact(kind, columns)
        return headers.matched(kind, columns, self.asked)

    def useless(self, kind: str, columns: tuple[str, ...] | None) -> list[str]:
        """The columns that nothing is read from; none where every record brings its own."""
        read = set(self.matched(kind, columns or ()).values())
        return [column for column in columns or () if column not in read]


def cleaned(kind: str, table: Table, spelling: Spelling, bad: OnBad) -> Iterator[Any]:
    """Rows of one kind; columns are matched once for every set of keys that comes along."""
    name, clean = table.path.name, CLEANERS[kind]
    if table.columns is not None:
        headers.check_asked(kind, name, table.columns, spelling.asked or {})
        found = spelling.matched(kind, table.columns)
        headers.check_ids(kind, name, table.columns, found)
    seen: dict[tuple[str, ...], dict[str, str]] = {}
    foreign = spelling.asked is not None
    for row, values in table.records:
        if isinstance(values, str):
            bad(BadRow(name, row, values))
            continue
        keys = tuple(values)
        if keys not in seen:
            absent = dict.fromkeys(headers.FIELDS[kind], ABSENT)
            seen[keys] = absent | spelling.matched(kind, keys)
        try:
            yield clean(values, seen[keys], row, foreign)
        except BadValue as error:
            bad(BadRow(name, row, str(error)))


def interaction(values: Cells, found: Names, row: int, foreign: bool) -> Row:
    get = values.get
    when = recent if foreign else moment
    return Row(
        intern(identifier(get(found["user_id"]), "user_id")),
        intern(identifier(get(found["item_id"]), "item_id")),
        number(get(found["rating"]), "rating"),
        when(get(found["timestamp"]), "timestamp"),
        text(get(found["review"]), "review"),
        text(get(found["summary"]), "summary"),
        None if found["split"] == ABSENT else part(get(found["split"]), foreign),
        row,
    )


def part(value: Any, foreign: bool) -> str:
    found = text(value, "split") or ""
    found = PART_NAMES.get(found.lower(), found.lower()) if foreign else found
    if found not in PARTS:
        raise BadValue(f"split {found!r} is not train, val or test")
    return found


def entity(id_column: str, values: Cells, found: Names, row: int, foreign: bool) -> Entity:
    names = {theirs: ours for ours, theirs in found.items()}
    texts = {}
    for theirs, value in values.items():
        if names.get(theirs) != id_column and (one := text(value, theirs)) is not None:
            texts[names.get(theirs, theirs)] = one
    return Entity(intern(identifier(values.get(found[id_column]), id_column)), texts, row)


def pair(values: Cells, found: Names, row: int, foreign: bool) -> tuple[Pair, int]:
    user = intern(identifier(values.get(found["user_id"]), "user_id"))
    return (user, intern(identifier(values.get(found["item_id"]), "item_id"))), row


CLEANERS: dict[str, Callable[[Cells, Names, int, bool], Any]] = {
    "interactions": interaction,
    "items": partial(entity, "item_id"),
    "users": partial(entity, "user_id"),
    "pairs": pair,
}
