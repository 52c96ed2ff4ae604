"""Which interactions are trained on, and which are held out: made once, then written down.

A split is {"train": pairs, "val": pairs, "test": pairs}, each sorted. Where order or chance is
needed it comes from a hash of (seed, user, item), so the order of rows in a file plays no part.

    make_split      three schemes, as pure functions
    write_split     makes one and puts it into a data folder, as train/val/test.parquet
    opened          a data folder, read whole, with its settled split
    settled         the split of a source: its own, the recorded one, or a new one, recorded

Data that changed takes its recorded split along (stores.growth).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from errors import DataError, unknown
from stores.formats import digest, layout
from stores.formats.layout import Source
from stores.formats.rows import PARTS, Pair
from stores.growth import RATIO, Split, grown, hashed
from stores.split_record import (
    facts,
    hashes,
    read_json,
    read_record,
    write_json,
    write_pairs,
    write_record,
)


class Timed(Protocol):
    """What a split needs to know of an interaction."""

    @property
    def user(self) -> str: ...
    @property
    def item(self) -> str: ...
    @property
    def timestamp(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Settled:
    """A split, the hash of each part, and where it comes from.

    `change` says how the data changed since the split was recorded.
    """

    parts: Split
    hashes: dict[str, str]
    origin: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A data folder as it was read: all of it, the digest of its content, its settled split."""

    source: Source
    content: str
    split: Settled

    @property
    def settled(self) -> str:
        """One name for the content and the split: another split of the same data has another."""
        return digest.settled(self.content, self.split.hashes)


Claim = Callable[[str, str, Sequence[str]], object]
"""Told the data's name, its digest and those it had earlier; may refuse, by an error."""


def anyones(name: str, content: str, earlier: Sequence[str]) -> None:
    """Claims nothing and refuses nobody."""


def opened(folder: Path, home: Path, seed: int, claim: Claim) -> Opened:
    """Read a data folder and settle its split in `home`; `claim` is heard before that."""
    source = layout.read_source(folder)
    content = digest.content(source)
    claim(source.name, content, source.history)
    return Opened(source, content, settled(source, content, home, seed))


def make_split(interactions: Iterable[Timed], scheme: str, seed: int) -> Split:
    """Split by one of SCHEMES."""
    if scheme not in SCHEMES:
        raise unknown("split scheme", scheme, SCHEMES)
    hashed = sorted(interactions, key=lambda one: hash_of(one, seed))
    return {part: sorted(pairs) for part, pairs in SCHEMES[scheme](hashed).items()}


def hash_of(one: Timed, seed: int) -> tuple[bytes, str, str]:
    return hashed(pair(one), seed), one.user, one.item


def ratio(hashed: Sequence[Timed]) -> Split:
    """3:1:1 of all interactions by chance, then every user and item keeps one to train on.

    A user or item that chance left without a training interaction gets its first one (by hash)
    back from val or test. That is our own choice: it differs from a purely random split by a
    little more than 3/5 in train, and by no node being cold.
    """
    held = len(hashed) // 5
    cut = len(hashed) - 2 * held
    train = [pair(one) for one in hashed[:cut]]
    users, items = {user for user, _ in train}, {item for _, item in train}
    split: Split = {"train": train, "val": [], "test": []}
    for place, one in enumerate(hashed[cut:]):
        user, item = pair(one)
        warm = user in users and item in items
        part = "train" if not warm else "val" if place < held else "test"
        split[part].append((user, item))
        users.add(user)
        items.add(item)
    return split


def leave_one_out(hashed: Sequence[Timed]) -> Split:
    """Per user, the last interaction is test and the one before is val.

    Last by time; by hash for a user some of whose interactions have no time. Users with fewer
    than three interactions keep them all in train.
    """
    split: Split = {part: [] for part in PARTS}
    by_user: dict[str, list[Timed]] = {}
    for one in hashed:
        by_user.setdefault(one.user, []).append(one)
    for found in by_user.values():
        if all(one.timestamp is not None for one in found):
            found.sort(key=lambda one: one.timestamp or 0.0)
        held = 2 if len(found) >= 3 else 0
        last = found[len(found) - held :]
        split["train"] += [pair(one) for one in found[: len(found) - held]]
        split["val"] += [pair(one) for one in last[:1]]
        split["test"] += [pair(one) for one in last[1:]]
    return split


def by_time(hashed: Sequence[Timed]) -> Split:
    """The first 60 % of all interactions in time are train, then 20 % val, then 20 % test.

    Equal times stand in hash order. A user or item may have nothing to train on: cold start.
    """
    timeless = sum(one.timestamp is None for one in hashed)
    if timeless:
        raise DataError(
            f"{timeless} of {len(hashed)} interactions have no timestamp to split by.",
            hint="Use the scheme ratio or leave-one-out, or give every row a timestamp.",
        )
    held = len(hashed) // 5
    ordered = [pair(one) for one in sorted(hashed, key=lambda one: one.timestamp or 0.0)]
    cut = len(ordered) - 2 * held
    return {"train": ordered[:cut], "val": ordered[cut : cut + held], "test": ordered[cut + held :]}


def pair(one: Timed) -> Pair:
    return one.user, one.item


def write_split(
    folder: Path, scheme: str = "ratio", seed: int = 0, *, force: bool = False
) -> dict[str, int]:
    """Split a data folder for good: train/val/test.parquet and split.json. Returns the counts."""
    source = layout.read_source(folder)
    if source.parts is not None and not force:
        raise DataError(
            f"{folder} already has a split ({source.split_source}).",
            hint="Keep it, or replace it with --force; what was trained on it stays as it is.",
        )
    split = make_split(source.rows, scheme, seed)
    empty = [part for part in PARTS if not split[part]]
    if empty:
        raise DataError(
            f"By the scheme {scheme} {folder} would have no {' and no '.join(empty)} interactions.",
            hint="Nothing was changed. Try --scheme leave-one-out, or add data.",
        )
    for part in PARTS:
        write_pairs(folder / f".{part}.parquet", {part: split[part]}, parted=False)
    for part in PARTS:
        old = layout.table_named(folder, part)
        if old is not None and old.name != f"{part}.parquet":
            old.unlink()
        (folder / f".{part}.parquet").replace(folder / f"{part}.parquet")
    record = {"scheme": scheme, "seed": seed, **facts(digest.content(source), split)}
    write_json(folder / "split.json", record)
    return {part: len(split[part]) for part in PARTS}


def settled(source: Source, content: str, home: Path, seed: int) -> Settled:
    """The split of a source, on record in `home` before anyone sees the data.

    A split that the folder brings along is used as it is, unless an interaction that was on record
    for training is now held out: texts written from it may be in the workspace already. A recorded
    split follows data that says it is a later state of what it was made for.
    """
    record = read_json(home / "split.json") if (home / "split.json").is_file() else None
    if source.parts is not None:
        return own(source, content, home, record)
    if record is None:
        split = make_split(source.rows, "ratio", seed)
        record = {"scheme": "ratio", "seed": seed, **facts(content, split)}
        write_record(home, split, record)
        return Settled(split, record["hashes"], origin(record))
    if record["source"] == content:
        return Settled(read_record(home, record), record["hashes"], origin(record))
    if record["source"] not in source.history:
        raise DataError(
            f"The data in {source.name} changed after its split was made ({home}).",
            hint="Change data by data import --append or data remove, so that its split can follow;"
            " or use a new workspace, or bring the old data back.",
        )
    pairs = {pair(one) for one in source.rows}
    growth = grown(read_record(home, record), pairs, record["seed"] or 0, RATIO)
    record = {**record, **facts(content, growth.parts)}
    write_record(home, growth.parts, record)
    change = told(growth.new, growth.gone)
    return Settled(growth.parts, record["hashes"], origin(record), change)


def own(source: Source, content: str, home: Path, record: dict[str, Any] | None) -> Settled:
    split = {part: sorted(pairs) for part, pairs in (source.parts or {}).items()}
    given, change, known = source.split_source or "", "", hashes(split)
    if record is not None and (record["hashes"], record["source"]) == (known, content):
        return Settled(split, known, given)
    if record is not None:
        before = read_record(home, record)
        trained = set(before["train"])
        leaked = [one for part in ("val", "test") for one in split[part] if one in trained]
        if leaked:
            raise DataError(
                f"{len(leaked)} interactions of {source.name} were for training and are now held"
                f" out, user {leaked[0][0]!r} and item {leaked[0][1]!r} among them.",
                hint="Use a new workspace, or bring the old split back.",
            )
        was, now = ({one for some in parts.values() for one in some} for parts in (before, split))
        change = told(len(now - was), len(was - now))
    write_record(home, split, {"scheme": given, "seed": None, **facts(content, split)})
    return Settled(split, known, given, change)


def told(new: int, gone: int) -> str:
    return f"+{new} -{gone} interactions" if new or gone else "same interactions, other texts"


def origin(record: dict[str, Any]) -> str:
    return str(record["scheme"]) + ("" if record["seed"] is None else f", seed {record['seed']}")


SCHEMES: dict[str, Callable[[Sequence[Timed]], Split]] = {
    "ratio": ratio,
    "leave-one-out": leave_one_out,
    "time": by_time,
}
