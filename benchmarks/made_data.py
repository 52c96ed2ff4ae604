"""Data folders of any size for benchmarks: power laws, and words that nobody wrote.

Users and items are drawn by the power laws of `benchmarks.growth`; words are made of syllables, and
each item has a few of its own, so that texts differ as real ones do. Equal arguments make equal
files.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.growth import ACTIVITY, POPULARITY, power_law

SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
WORDS, OWN = 3000, 8
CHUNK = 50_000


def write(folder: Path, count: int, per_user: int, words: int = 20, seed: int = 0) -> None:
    """`count` interactions with reviews of `words` words, and items with titles and descriptions.

    `per_user` interactions a user on average, and twice as many an item.
    """
    random = np.random.default_rng(seed)
    users, items = count // per_user, count // (2 * per_user)
    pairs = _pairs(count, users, items, random)
    vocabulary = np.array(
        ["".join(random.choice(SYLLABLES, size=random.integers(2, 5))) for _ in range(WORDS)]
    )
    own_IW = random.integers(WORDS, size=(items, OWN))
    folder.mkdir(parents=True)
    pq.write_table(
        pa.table(
            {
                "item_id": [f"i{item}" for item in range(items)],
                "title": [" ".join(vocabulary[own[:3]]).title() for own in own_IW],
                "description": _texts(vocabulary, own_IW, 2 * words, random),
            }
        ),
        folder / "items.parquet",
    )
    schema = pa.schema(
        [
            ("user_id", pa.string()),
            ("item_id", pa.string()),
            ("rating", pa.float64()),
            ("timestamp", pa.int64()),
            ("review", pa.string()),
        ]
    )
    with pq.ParquetWriter(folder / "interactions.parquet", schema) as file:
        for start in range(0, count, CHUNK):
            some = pairs[start : start + CHUNK]
            rows = {
                "user_id": [f"u{user}" for user in some // items],
                "item_id": [f"i{item}" for item in some % items],
                "rating": random.integers(1, 6, len(some)).astype(np.float64),
                "timestamp": 1_600_000_000 + random.integers(10**8, size=len(some)),
                "review": _texts(vocabulary, own_IW[some % items], words, random),
            }
            file.write_table(pa.table(rows, schema=schema))


def _pairs(count: int, users: int, items: int, random: np.random.Generator) -> np.ndarray:
    """Distinct pairs in random order, as user * items + item, shape (count,)."""
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < count:
        some = count - len(keys) + count // 4
        user = power_law(users, ACTIVITY, some, random).astype(np.int64)
        item = power_law(items, POPULARITY, some, random)
        keys = np.unique(np.concatenate([keys, user * items + item]))
    return random.permutation(keys)[:count]


def _texts(
    vocabulary: np.ndarray, own_NW: np.ndarray, words: int, random: np.random.Generator
) -> list[str]:
    """A text of two sentences for each row of words of its own, which are a third of it."""
    shape = (len(own_NW), words)
    any_NW = random.integers(len(vocabulary), size=shape)
    picked = np.take_along_axis(own_NW, random.integers(own_NW.shape[1], size=shape), axis=1)
    chosen = vocabulary[np.where(random.random(shape) < 1 / 3, picked, any_NW)]
    half = words // 2
    return [
        f"{' '.join(row[:half])}. {' '.join(row[half:])}.".capitalize() for row in chosen.tolist()
    ]
