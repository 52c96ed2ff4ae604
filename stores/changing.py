"""A data folder that changes: rows join it, take the place of older ones, or go.

    read the folder ─► what it is to hold ─► written whole beside it ─► renamed into its place

A changed folder says what it held before (stores.formats.history), so the workspaces that were made
for it follow it. A folder with a split of its own keeps each pair in its part; a new pair goes
where the source puts it, or else where its hash does (stores.growth).
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from errors import DataError, UsageError
from stores.formats import digest, headers, history, importing, layout, registry
from stores.formats.importing import Kept, Reading
from stores.formats.layout import Source
from stores.formats.rows import PARTS, BadRow, Entity, Pair, Row, refuse
from stores.formats.values import BadValue, identifier
from stores.formats.writing import InteractionWriter, write_entity_lines, write_pairs
from stores.growth import grown
from stores.new_folder import new_folder
from stores.split_record import rule_of, write_rule

# What a change writes anew or leaves behind; every other file of the folder stays as it is.
OURS = {"interactions", "items", "users", *PARTS, "split", "history", "skipped"}


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did. The first three count interactions; `absent`, what was not there to go."""

    added: int
    edited: int
    removed: int
    users: int
    items: int
    interactions: int
    splits: dict[str, int] | None
    skipped: tuple[BadRow, ...] = ()
    absent: int = 0


@dataclass(frozen=True, slots=True)
class Doomed:
    """What is to go: pairs, and users and items with all their interactions."""

    pairs: frozenset[Pair]
    users: frozenset[str]
    items: frozenset[str]


def append(src: Path, folder: Path, how: Reading) -> Changed:
    """Let what a source holds join a data folder; nothing is written where it says nothing new.

    A row of a known user and item takes the place of the old one, texts of a known user or item
    that of the old texts of the same columns. Raises DataError for bad rows and for a pair that
    the source puts into another part of the split than it has.
    """
    if not folder.is_dir():
        hint = "Make it first: the same command without --append."
        raise DataError(f"There is no data folder {folder} to append to.", hint=hint)
    before = layout.read_source(folder)
    skipped: list[BadRow] = []
    wishes = importing.wishes_of(how, skipped)
    files = importing.sources(src, how, bare=True)
    items, users = wishes.entities("items", files.items), wishes.entities("users", files.users)
    known = (
        None if users is None else {**before.users, **users},
        None if items is None else {**before.items, **items},
    )
    kept, came = Kept(), dict[Pair, Row]()
    for path, part in files.interactions:
        for row in importing.rows(wishes.table(path), known, kept, wishes):
            importing.keep(row, part or row.split, kept)
            came[row.user, row.item] = row
    named = importing.parts_of(files, kept, wishes)
    rows = {(row.user, row.item): row for row in before.rows if _pair(row) not in kept.dropped}
    after = replace(
        before,
        rows=list({**rows, **came}.values()),
        users=_joined(before.users, users or {}, kept.users),
        items=_joined(before.items, items or {}, kept.items),
    )
    after = replace(after, parts=_parts(folder, before, after, named or {}))
    return replace(_put(folder, before, after), skipped=tuple(skipped))


def remove(folder: Path, doomed: Doomed) -> Changed:
    """Let interactions, users and items go. What is not there is counted, not complained about."""
    before = layout.read_source(folder)

    def stays(row: Row) -> bool:
        gone = row.user in doomed.users or row.item in doomed.items
        return not gone and _pair(row) not in doomed.pairs

    after = replace(
        before,
        rows=[row for row in before.rows if stays(row)],
        users={id: one for id, one in before.users.items() if id not in doomed.users},
        items={id: one for id, one in before.items.items() if id not in doomed.items},
    )
    after = replace(after, parts=_parts(folder, before, after, {}))
    there = {_pair(row) for row in before.rows}
    absent = len(doomed.pairs - there)
    absent += len(doomed.users - before.users.keys()) + len(doomed.items - before.items.keys())
    return replace(_put(folder, before, after), absent=absent)


def doomed(what: Iterable[str]) -> Doomed:
    """What `data remove` was told: `user:ID`, `item:ID`, or a file with columns of ids.

    A file's rows are interactions where it has both columns; with one column alone, users or items.
    """
    pairs: set[Pair] = set()
    nodes: dict[str, set[str]] = {"user": set(), "item": set()}
    for word in what:
        kind, colon, id = word.partition(":")
        if colon and kind in nodes and id:
            nodes[kind].add(id)
        elif Path(word).is_file():
            _read_doomed(Path(word), pairs, nodes)
        else:
            raise UsageError(
                f"{word!r} is no file and no node.",
                hint="Say user:ID, item:ID, or a file of user_id and item_id, or of one alone.",
            )
    return Doomed(frozenset(pairs), frozenset(nodes["user"]), frozenset(nodes["item"]))


def _read_doomed(path: Path, pairs: set[Pair], nodes: dict[str, set[str]]) -> None:
    first: set[str] = set()
    for row, values in registry.read(path).records:
        if isinstance(values, str):
            refuse(BadRow(path.name, row, values))
            continue
        found = headers.matched("pairs", tuple(values), {})
        first = first or set(found)
        if first != found.keys():
            refuse(BadRow(path.name, row, "it has other ids than the rows before it"))
        if len(found) != 2 and (not found or len(values) > 1):
            # A file of interactions whose items are called otherwise must not cost its users.
            raise DataError(
                f"{path.name} has neither user_id and item_id nor one of them alone.",
                hint=headers.its(tuple(values)),
            )
        try:
            ids = {ours: identifier(values[theirs], ours) for ours, theirs in found.items()}
        except BadValue as error:
            refuse(BadRow(path.name, row, str(error)))
            continue
        if len(ids) == 2:
            pairs.add((ids["user_id"], ids["item_id"]))
        else:
            ((column, id),) = ids.items()
            nodes[column.removesuffix("_id")].add(id)


def _joined(
    before: Mapping[str, Entity], given: Mapping[str, Entity], named: Iterable[str]
) -> dict[str, Entity]:
    """Old and new ones; a column that is not given keeps its text and its place."""
    joined = dict(before)
    for id in named:
        joined.setdefault(id, Entity(id, {}, 0))
    for id, one in given.items():
        joined[id] = Entity(id, {**joined.get(id, one).texts, **one.texts}, 0)
    return joined


def _parts(
    folder: Path, before: Source, after: Source, named: Mapping[str, list[Pair]]
) -> dict[str, list[Pair]] | None:
    """The folder's own split after the change; None where it has none."""
    if before.parts is None:
        if named:
            raise DataError(
                f"The source says what is train, val or test; {folder} has no split of its own.",
                hint="Split the folder first (data split), or leave the source's split out.",
            )
        return None
    home = {one: part for part, pairs in before.parts.items() for one in pairs}
    parts = {part: list(pairs) for part, pairs in before.parts.items()}
    for part, pairs in named.items():
        for one in pairs:
            if home.get(one, part) != part:
                raise DataError(
                    f"User {one[0]!r} and item {one[1]!r} are in {home[one]}, and the source puts"
                    f" them into {part}.",
                    hint="A pair stays where it is: what was for training was read already.",
                )
            if one not in home:
                parts[part].append(one)
    rule = rule_of(folder, before.parts)
    return grown(parts, {_pair(row) for row in after.rows}, rule.seed or 0, rule.cuts).parts


def _put(folder: Path, before: Source, after: Source) -> Changed:
    """Write the folder anew, with a note of what it held, unless nothing changed."""
    was, now = ({_pair(row): row[:6] for row in one.rows} for one in (before, after))
    changed = Changed(
        added=len(now.keys() - was.keys()),
        edited=sum(now[one] != was[one] for one in now.keys() & was.keys()),
        removed=len(was.keys() - now.keys()),
        users=len(after.users),
        items=len(after.items),
        interactions=len(now),
        splits={part: len(pairs) for part, pairs in (after.parts or {}).items()} or None,
    )
    if not after.rows:
        raise DataError(f"Nothing would be left of {folder}.", hint="Delete the folder instead.")
    content, becomes = digest.content(before), digest.content(after)
    if content == becomes:
        return changed
    try:
        with new_folder(folder, replaces=lambda name: True) as fresh:
            _write(fresh, after)
            history.write(fresh, [*before.history, content])
            if before.parts is not None and after.parts is not None:
                rule = rule_of(folder, before.parts)
                write_rule(fresh, rule, becomes, after.parts)
            _copy_others(folder, fresh)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}.") from error
    return changed


def _write(fresh: Path, after: Source) -> None:
    with InteractionWriter(fresh / "interactions.parquet") as writer:
        for row in after.rows:
            writer.add(row)
    # As lines each keeps its own order of columns, which is the order that questions show.
    write_entity_lines(fresh / "items.jsonl", "item_id", after.items.values())
    write_entity_lines(fresh / "users.jsonl", "user_id", after.users.values())
    for part, pairs in (after.parts or {}).items():
        write_pairs(fresh / f"{part}.parquet", pairs)


def _copy_others(folder: Path, fresh: Path) -> None:
    for path in folder.iterdir():
        if path.name.partition(".")[0] in OURS:
            continue
        copy: Callable[[Path, Path], Any] = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, fresh / path.name)


def _pair(row: Row) -> Pair:
    return row.user, row.item
