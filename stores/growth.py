"""A split that grows with its data: what is placed stays, what is new is placed by its hash.

A pair that was held out stays held out, and one that was trained on stays in training, where texts
were written from it. So the order in which data came in plays a part, and nothing else does: the
same pairs after the same split are placed the same.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from stores.formats.rows import PARTS, Pair

Split = dict[str, list[Pair]]
RATIO = (0.6, 0.8)
"""Where the scheme `ratio` cuts (0, 1) into train, val and test."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The split now, and how many pairs are new in it or gone from it."""

    parts: Split
    new: int
    gone: int


def hashed(pair: Pair, seed: int) -> bytes:
    """16 bytes by chance that depend on nothing but the pair and the seed."""
    return blake2b(json.dumps([seed, *pair]).encode(), digest_size=16).digest()


def cuts_of(split: Mapping[str, Collection[Pair]]) -> tuple[float, float]:
    """Where (0, 1) is to be cut so that new pairs are shared out as these are."""
    train, val, test = (len(split[part]) for part in PARTS)
    return train / (train + val + test), (train + val) / (train + val + test)


def grown(
    before: Mapping[str, Collection[Pair]],
    pairs: Collection[Pair],
    seed: int,
    cuts: tuple[float, float],
) -> Growth:
    """The split of `pairs` that leaves each pair of `before` in its part; parts are sorted.

    A new pair whose user or item would have nothing to train on is for training, whatever its hash.
    """
    parts = {part: [one for one in before[part] if one in pairs] for part in PARTS}
    known = {one for found in parts.values() for one in found}
    new = sorted((hashed(one, seed), one) for one in pairs if one not in known)
    drawn = [(_part(name, cuts), one) for name, one in new]
    parts["train"] += [one for part, one in drawn if part == "train"]
    users = {user for user, _ in parts["train"]}
    items = {item for _, item in parts["train"]}
    for part, (user, item) in drawn:
        if part != "train":
            warm = user in users and item in items
            parts[part if warm else "train"].append((user, item))
            users.add(user)
            items.add(item)
    gone = sum(len(found) for found in before.values()) - len(known)
    return Growth({part: sorted(found) for part, found in parts.items()}, len(new), gone)


def _part(name: bytes, cuts: tuple[float, float]) -> str:
    place = int.from_bytes(name, "big") / 2 ** (8 * len(name))
    return PARTS[sum(place >= cut for cut in cuts)]
