"""Bring a data set of any known format into our layout.

    find the files ─► items, users ─► interactions, streamed ─► split ─► rename into place
                                         └── a bad row stops it all, or is left out and listed

Everything is written beside the target and renamed at the end, so a failed import leaves nothing.
Columns of interactions that we have no use for are left behind; those of items and users become
attributes. `min_rating` drops interactions rated lower, and those without a rating.
"""

import csv
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from errors import DataError, UsageError
from stores.formats import headers, layout, recbole, registry, rlmrec
from stores.formats.rows import PARTS, BadRow, Entity, OnBad, Pair, Row, Spelling, cleaned, refuse
from stores.formats.tables import Sources, Table
from stores.formats.writing import InteractionWriter, write_entities, write_pairs
from stores.new_folder import new_folder

ON_BAD_ROWS = ("error", "skip")


@dataclass(frozen=True, slots=True)
class ImportReport:
    users: int
    items: int
    interactions: int
    splits: dict[str, int] | None
    skipped: tuple[BadRow, ...]
    out: Path
    rated_lower: int = 0
    left_behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is to be read, as `data import` is told it."""

    format: str = "auto"
    columns: Mapping[str, str] | None = None
    items: Path | None = None
    users: Path | None = None
    on_bad_rows: str = "error"
    encoding: str = "utf-8"
    min_rating: float | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to read: the format and encoding, whose column is whose, what to do with bad rows."""

    format: str
    encoding: str
    spelling: Spelling
    min_rating: float | None
    bad: OnBad

    def table(self, path: Path) -> Table:
        return registry.read(path, self.encoding, self.format)

    def entities(self, kind: str, path: Path | None) -> dict[str, Entity] | None:
        if path is None:
            return None
        return layout.entities(kind, self.table(path), self.spelling, self.bad)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the interactions left: rows by pair, ids, and the parts of a split they carried."""

    first: dict[Pair, int] = field(default_factory=dict)
    dropped: set[Pair] = field(default_factory=set)
    users: dict[str, None] = field(default_factory=dict)
    items: dict[str, None] = field(default_factory=dict)
    parts: dict[str, list[Pair]] = field(default_factory=lambda: {part: [] for part in PARTS})


def import_data(
    src: Path,
    out: Path,
    *,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
    items: Path | None = None,
    users: Path | None = None,
    on_bad_rows: str = "error",
    encoding: str = "utf-8",
    min_rating: float | None = None,
) -> ImportReport:
    """Read `src`, a file of interactions or a folder, and write a data folder to `out`."""
    how = Reading(format, columns, items, users, on_bad_rows, encoding, min_rating)
    skipped: list[BadRow] = []
    wishes = wishes_of(how, skipped)
    files = sources(src, how)
    with new_folder(out) as folder:
        counts = write(folder, files, wishes)
        if src.is_dir() and layout.about(src):
            shutil.copyfile(src / "dataset.yaml", folder / "dataset.yaml")
        if skipped:
            write_skipped(folder / "skipped.csv", skipped)
    return replace(counts, skipped=tuple(skipped), out=out)


def wishes_of(how: Reading, skipped: list[BadRow]) -> Wishes:
    """Refuses what cannot be meant; bad rows that are to be left out go to `skipped`."""
    if how.on_bad_rows not in ON_BAD_ROWS:
        raise UsageError(f"Unknown way with bad rows {how.on_bad_rows!r}.", hint="error or skip")
    headers.check_known(how.columns or {})
    bad = refuse if how.on_bad_rows == "error" else skipped.append
    return Wishes(how.format, how.encoding, Spelling(how.columns or {}), how.min_rating, bad)


def sources(src: Path, how: Reading, *, bare: bool = False) -> Sources:
    """Which files there are; `bare`, a folder of items or users alone will do."""
    tables = layout.tables(src) if bare and src.is_dir() else {}
    if tables and tables.keys() <= {"items", "users"}:
        files = Sources((), tables.get("items"), tables.get("users"))
    else:
        files = found(src, how.format)
    return replace(files, items=how.items or files.items, users=how.users or files.users)


def found(src: Path, format: str) -> Sources:
    """Which files there are. A RecBole dataset may be named by a prefix that is no file itself."""
    if format != "auto":
        registry.known(format)
    atomic = src.is_dir() and any(src.glob("*.inter"))
    prefix = not src.exists() and any(src.parent.glob(f"{src.name}.*inter"))
    if format == "recbole" or (format == "auto" and (atomic or prefix or src.suffix == ".inter")):
        return recbole.find(src)
    if format == "rlmrec" or (format == "auto" and src.is_dir() and rlmrec.recognises(src)):
        return rlmrec.find(src)
    if src.is_dir():
        return layout.find(src, abroad=True)
    if not src.is_file():
        raise DataError(f"There is no {src}.", hint="Name a file of interactions, or a folder.")
    return Sources(((src, None),))


def write(folder: Path, files: Sources, wishes: Wishes) -> ImportReport:
    items, users = wishes.entities("items", files.items), wishes.entities("users", files.users)
    kept = Kept()
    left_behind: dict[str, None] = {}
    with InteractionWriter(folder / "interactions.parquet") as writer:
        for path, part in files.interactions:
            table = wishes.table(path)
            left_behind |= dict.fromkeys(wishes.spelling.useless("interactions", table.columns))
            for row in rows(table, (users, items), kept, wishes):
                keep(row, part or row.split, kept)
                writer.add(row)
    if not kept.first:
        raise DataError("No interaction is left to import.", hint="Is it the right file?")
    items = items or {id: Entity(id, {}, 0) for id in kept.items}
    users = users or {id: Entity(id, {}, 0) for id in kept.users}
    write_entities(folder / "items.parquet", "item_id", items.values())
    write_entities(folder / "users.parquet", "user_id", users.values())
    splits = write_split(folder, files, kept, wishes)
    lower, behind = len(kept.dropped), tuple(left_behind)
    return ImportReport(len(users), len(items), len(kept.first), splits, (), folder, lower, behind)


def rows(
    table: Table,
    known: tuple[Mapping[str, Entity] | None, Mapping[str, Entity] | None],
    kept: Kept,
    wishes: Wishes,
) -> Iterator[Row]:
    """The good rows of one file that are rated high enough."""
    for row in cleaned("interactions", table, wishes.spelling, wishes.bad):
        if wishes.min_rating is not None and (row.rating is None or row.rating < wishes.min_rating):
            kept.dropped.add((row.user, row.item))
            continue
        reason = layout.stranger(row, *known)
        if reason is None and (row.user, row.item) in kept.first:
            before = kept.first[row.user, row.item]
            reason = f"user {row.user!r} and item {row.item!r} are already in row {before}"
        if reason is None:
            yield row
        else:
            wishes.bad(BadRow(table.path.name, row.number, reason))


def keep(row: Row, part: str | None, kept: Kept) -> None:
    kept.first[row.user, row.item] = row.number
    kept.users[row.user] = None
    kept.items[row.item] = None
    if part is not None:
        kept.parts[part].append((row.user, row.item))


def write_split(folder: Path, files: Sources, kept: Kept, wishes: Wishes) -> dict[str, int] | None:
    """train/val/test.parquet, if the source has a split, in whichever way."""
    parts = parts_of(files, kept, wishes)
    if parts is None:
        return None
    for part in PARTS:
        write_pairs(folder / f"{part}.parquet", parts[part])
    return {part: len(parts[part]) for part in PARTS}


def parts_of(files: Sources, kept: Kept, wishes: Wishes) -> dict[str, list[Pair]] | None:
    """The split that a source brings along: its files, else what its rows say."""
    parts = kept.parts
    if files.pairs:
        parts = {part: [] for part in PARTS}
        for part, path in files.pairs:
            parts[part] = list(pairs(wishes.table(path), kept, wishes))
        layout.disjoint(parts)
    return parts if any(parts.values()) else None


def pairs(table: Table, kept: Kept, wishes: Wishes) -> Iterator[Pair]:
    seen: set[Pair] = set()
    for (user, item), row in cleaned("pairs", table, wishes.spelling, wishes.bad):
        if (user, item) in seen:
            reason = f"user {user!r} and item {item!r} are in an earlier row already"
            wishes.bad(BadRow(table.path.name, row, reason))
        elif (user, item) in kept.first:
            seen.add((user, item))
            yield user, item
        elif (user, item) not in kept.dropped:
            reason = f"user {user!r} and item {item!r} are not in the interactions"
            wishes.bad(BadRow(table.path.name, row, reason))


def write_skipped(path: Path, skipped: list[BadRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "row", "reason"))
        writer.writerows((bad.file, bad.row, bad.reason) for bad in skipped)
