"""Our data folder: which files it has, and the whole of it read and checked.

`Source` holds every interaction, held-out ones too, so it stays inside `stores`; what others get
is made from it in `datasets.py`.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from errors import DataError
from stores.formats import history, jsonl, registry
from stores.formats.rows import PARTS, BadRow, Entity, OnBad, Pair, Row, Spelling, cleaned, refuse
from stores.formats.tables import Sources, Table

SUFFIXES = (".parquet", ".csv", ".jsonl", ".tsv", ".json", ".ndjson", ".txt")
SUFFIXES_ZIPPED = tuple(f"{suffix}.gz" for suffix in SUFFIXES if suffix != ".parquet")
NAMES = {part: (part,) for part in PARTS}
NAMES_ABROAD = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
YAML_KEYS = ("domain", "language")


@dataclass(frozen=True, slots=True)
class Source:
    """A whole folder. `history` are the digests of what it held before it was changed."""

    name: str
    rows: list[Row]
    items: dict[str, Entity]
    users: dict[str, Entity]
    parts: dict[str, list[Pair]] | None
    split_source: str | None
    about: dict[str, str]
    history: tuple[str, ...] = ()


def read_source(folder: Path) -> Source:
    files = find(folder)
    path = files.interactions[0][0]
    items, users = listed("items", files.items), listed("users", files.users)
    rows = list(interactions(strict_table(path), users, items))
    if not rows:
        raise DataError(f"{path.name} has no rows.", hint="Give at least one interaction.")
    items = items or {row.item: Entity(row.item, {}, 0) for row in rows}
    users = users or {row.user: Entity(row.user, {}, 0) for row in rows}
    parts, origin = own_split(files, rows)
    name, earlier = folder.resolve().name, history.read(folder)
    return Source(name, rows, items, users, parts, origin, about(folder), earlier)


def interactions(
    table: Table, users: Container[str] | None, items: Container[str] | None
) -> Iterator[Row]:
    """The rows, refusing doubles and ids that a users or items file does not know."""
    first: dict[Pair, int] = {}
    for row in cleaned("interactions", table, Spelling(), refuse):
        if reason := stranger(row, users, items) or twice(row, first):
            refuse(BadRow(table.path.name, row.number, reason))
        yield row


def stranger(row: Row, users: Container[str] | None, items: Container[str] | None) -> str | None:
    if items is not None and row.item not in items:
        return (
            f"unknown id: item_id {row.item!r} is not in the items file (a row with its id will do)"
        )
    if users is not None and row.user not in users:
        return (
            f"unknown id: user_id {row.user!r} is not in the users file (a row with its id will do)"
        )
    return None


def twice(row: Row, first: dict[Pair, int]) -> str | None:
    before = first.setdefault((row.user, row.item), row.number)
    if before == row.number:
        return None
    return f"user {row.user!r} and item {row.item!r} are already in row {before}"


def listed(kind: str, path: Path | None) -> dict[str, Entity] | None:
    return None if path is None else entities(kind, strict_table(path), Spelling(), refuse)


def entities(kind: str, table: Table, spelling: Spelling, bad: OnBad) -> dict[str, Entity]:
    """Items or users by id; an id given twice is a bad row."""
    found: dict[str, Entity] = {}
    for one in cleaned(kind, table, spelling, bad):
        if before := found.get(one.id):
            reason = f"{kind[:-1]}_id {one.id!r} is already in row {before.number}"
            bad(BadRow(table.path.name, one.number, reason))
        else:
            found[one.id] = one
    return found


def strict_table(path: Path) -> Table:
    """Our JSON files are plain, whatever keys they carry; so no guess at Amazon's shapes here."""
    if registry.by_suffix(path) == "jsonl":
        return jsonl.read(path, "utf-8")
    return registry.read(path)


def own_split(files: Sources, rows: list[Row]) -> tuple[dict[str, list[Pair]] | None, str | None]:
    """The split the folder brings along: its files, else its column."""
    if files.pairs:
        known = {(row.user, row.item) for row in rows}
        parts = {part: pairs(path, known) for part, path in files.pairs}
        disjoint(parts)
        return parts, "train/val/test files"
    if all(row.split is None for row in rows):
        return None, None
    column: dict[str, list[Pair]] = {part: [] for part in PARTS}
    for row in rows:
        if row.split is None:
            reason = "split is empty, as it is not in other rows"
            refuse(BadRow(files.interactions[0][0].name, row.number, reason))
        else:
            column[row.split].append((row.user, row.item))
    return column, "split column"


def pairs(path: Path, known: set[Pair]) -> list[Pair]:
    found: dict[Pair, int] = {}
    for one, row in cleaned("pairs", strict_table(path), Spelling(), refuse):
        if one not in known:
            reason = f"user {one[0]!r} and item {one[1]!r} are not in the interactions"
            refuse(BadRow(path.name, row, reason))
        if one in found:
            reason = f"user {one[0]!r} and item {one[1]!r} are already in row {found[one]}"
            refuse(BadRow(path.name, row, reason))
        found[one] = row
    return list(found)


def disjoint(parts: dict[str, list[Pair]]) -> None:
    """An interaction in two parts would be trained on and then tested on."""
    home: dict[Pair, str] = {}
    for part, found in parts.items():
        for user, item in found:
            other = home.setdefault((user, item), part)
            if other != part:
                raise DataError(
                    f"User {user!r} and item {item!r} are in {other} and in {part}.",
                    hint="Each interaction belongs to one of train, val and test. Drop one.",
                )


def find(folder: Path, *, abroad: bool = False) -> Sources:
    """The files of a data folder; `abroad`, names that other projects use are taken too."""
    if not folder.is_dir():
        raise DataError(f"There is no data folder {folder}.", hint="Check --data.")
    names = NAMES_ABROAD if abroad else NAMES
    found = [(part, table_named(folder, *names[part])) for part in PARTS]
    parts = tuple((part, path) for part, path in found if path is not None)
    needed = {"train", "test"} if abroad else set(PARTS)
    if parts and not needed <= {part for part, _ in parts}:
        missing = ", ".join(part for part, path in found if path is None)
        hint = f"Add {missing} (a file with only a header will do), or remove the others."
        raise DataError(f"{folder} has only some of its train/val/test files.", hint=hint)
    main = table_named(folder, "interactions")
    items, users = table_named(folder, "items"), table_named(folder, "users")
    if main is not None:
        return Sources(((main, None),), items, users, parts)
    if abroad and parts:
        return Sources(tuple((path, part) for part, path in parts), items, users)
    raise DataError(
        f"{folder} has no interactions.parquet, .csv or .jsonl.",
        hint="Bring other layouts in with: data import SOURCE --out FOLDER.",
    )


def tables(folder: Path) -> dict[str, Path]:
    """The tables a folder has, by our names of them."""
    stems = {"interactions": ("interactions",), "items": ("items",), "users": ("users",)}
    named = {name: table_named(folder, *known) for name, known in {**stems, **NAMES_ABROAD}.items()}
    return {name: path for name, path in named.items() if path is not None}


def table_named(folder: Path, *stems: str) -> Path | None:
    endings = (*SUFFIXES, *SUFFIXES_ZIPPED)
    found = [p for s in stems for end in endings if (p := folder / f"{s}{end}").is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{folder} has both {names}.", hint="Keep one of them.")
    return found[0] if found else None


def about(folder: Path) -> dict[str, str]:
    """`dataset.yaml`: two lines at most, so they are read as text, where `no` stays Norwegian."""
    path = folder / "dataset.yaml"
    found: dict[str, str] = {}
    for row, line in enumerate(path.read_text("utf-8").splitlines() if path.is_file() else (), 1):
        line = line.partition(" #")[0].strip()
        if not line or line.startswith("#") or line == "---":
            continue
        key, colon, value = line.partition(":")
        if key.strip() not in YAML_KEYS or not colon:
            hint = f"It may hold these keys: {', '.join(YAML_KEYS)}."
            raise DataError(f"dataset.yaml, row {row}: unknown key {key.strip()!r}.", hint=hint)
        if text := value.strip().strip("\"'"):
            found[key.strip()] = text
    return found
