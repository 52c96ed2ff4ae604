"""A data folder as the rest of Hopscribe may see it: training interactions, and nothing held out.

    folder ─► splits.opened: every row, the split on record first ─► training only ─► Dataset

What is in val and test leaves this module as pairs of ids (`read_split`) and as counts, never as
rating, time or review.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from stores.formats.layout import Source, read_source
from stores.formats.rows import Entity, Row
from stores.splits import Claim, anyones, opened


@dataclass(frozen=True, slots=True)
class Interaction:
    user: str
    item: str
    rating: float | None = None
    timestamp: float | None = None
    review: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    title: str | None = None
    description: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class User:
    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    digest: str
    # Names the data with its split, where `digest` names the data alone.
    settled: str
    domain: str | None
    language: str | None
    users: dict[str, User]
    items: dict[str, Item]
    training: tuple[Interaction, ...]
    counts: dict[str, int]
    split_source: str
    # In words, how the data differs from what the split was recorded for; "" where it does not.
    change: str = ""


def load_training(
    folder: Path,
    split_home: Path,
    seed: int,
    claim: Claim = anyones,
) -> Dataset:
    """The dataset with its training interactions, sorted by user and item.

    The split is the folder's own, or the one recorded in `split_home`, or a new one (ratio 3:1:1
    with `seed`), which is recorded there before this returns. Before that, `claim` is told the
    data's name and digest: it may refuse, by an error, that anything is recorded there.
    """
    found = opened(folder, split_home, seed, claim)
    source, split = found.source, found.split
    trained = set(split.parts["train"])
    rows = sorted(row for row in source.rows if (row.user, row.item) in trained)
    return Dataset(
        name=source.name,
        digest=found.content,
        settled=found.settled,
        domain=source.about.get("domain"),
        language=source.about.get("language"),
        users={id: User(id, one.texts) for id, one in sorted(source.users.items())},
        items={id: item(one) for id, one in sorted(source.items.items())},
        training=tuple(interaction(row) for row in rows),
        counts={part: len(pairs) for part, pairs in split.parts.items()},
        split_source=split.origin,
        change=split.change,
    )


def read_split(folder: Path, split_home: Path, seed: int) -> dict[str, list[tuple[str, str]]]:
    """The pairs of train, val and test, each sorted; the same split as `load_training` uses."""
    return opened(folder, split_home, seed, anyones).split.parts


def interaction(row: Row) -> Interaction:
    review = ". ".join(text for text in (row.summary, row.review) if text) or None
    return Interaction(row.user, row.item, row.rating, row.timestamp, review)


def item(one: Entity) -> Item:
    attributes = {k: v for k, v in one.texts.items() if k not in ("title", "description")}
    return Item(one.id, one.texts.get("title"), one.texts.get("description"), attributes)


def describe(folder: Path) -> dict[str, Any]:
    """What the folder holds, in counts and shares. Changes nothing, makes no split."""
    source = read_source(folder)
    rows, users, items = source.rows, source.users, source.items
    words = sorted(len(row.review.split()) for row in rows if row.review)
    return {
        "name": source.name,
        "domain": source.about.get("domain"),
        "language": source.about.get("language"),
        "users": len(users),
        "items": len(items),
        "interactions": len(rows),
        "density": len(rows) / (len(users) * len(items)),
        "splits": source.parts and {part: len(pairs) for part, pairs in source.parts.items()},
        "split_source": source.split_source,
        "users_without_training": untrained(source, users, 0),
        "items_without_training": untrained(source, items, 1),
        "items_with_title": share(items.values(), lambda one: "title" in one.texts),
        "items_with_description": share(items.values(), lambda one: "description" in one.texts),
        "interactions_with_review": share(rows, lambda row: row.review is not None),
        "interactions_with_rating": share(rows, lambda row: row.rating is not None),
        "interactions_with_timestamp": share(rows, lambda row: row.timestamp is not None),
        "review_words_median": median(words) if words else None,
        "review_words_p90": words[(len(words) * 9 - 1) // 10] if words else None,
        "user_degree": degrees(users, Counter(row.user for row in rows)),
        "item_degree": degrees(items, Counter(row.item for row in rows)),
        "user_attributes": columns(users.values(), ()),
        "item_attributes": columns(items.values(), ("title", "description")),
    }


def untrained(source: Source, nodes: Iterable[str], side: int) -> int | None:
    """How many users (side 0) or items (side 1) have nothing to train on, if there is a split."""
    if source.parts is None:
        return None
    trained = {pair[side] for pair in source.parts["train"]}
    return sum(node not in trained for node in nodes)


def share(things: Iterable[Any], holds: Callable[[Any], bool]) -> float:
    found = [holds(thing) for thing in things]
    return sum(found) / len(found)


def degrees(nodes: Iterable[str], counts: Counter[str]) -> dict[str, float]:
    found = [counts[node] for node in nodes]
    return {"min": min(found), "median": median(found), "max": max(found)}


def columns(entities: Iterable[Entity], without: tuple[str, ...]) -> list[str]:
    seen = dict.fromkeys(column for one in entities for column in one.texts)
    return [column for column in seen if column not in without]
