"""A split on disk: on record in a workspace, or beside the parts of a data folder.

split.json       scheme, seed, counts, hashes of the parts, digest of the data, where it is cut
split.parquet    in a workspace: every pair and its part
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from errors import DataError
from stores.formats import digest
from stores.formats.rows import PARTS
from stores.growth import RATIO, Split, cuts_of

NEXT = "split.next.parquet"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a split was made, and where new pairs are cut into its parts."""

    scheme: str
    seed: int | None
    cuts: tuple[float, float]


def rule_of(folder: Path, parts: Split) -> Rule:
    """The rule by which the split of a data folder grows; `parts` are its shares so far.

    It is written down when the folder first grows: pairs that are for training because their node
    has no other would make the share of training larger each time.
    """
    path = folder / "split.json"
    if not path.is_file():
        return Rule("its own", None, cuts_of(parts))
    record = read_json(path)
    known = RATIO if record["scheme"] == "ratio" else cuts_of(parts)
    low, high = record.get("cuts", known)
    return Rule(record["scheme"], record["seed"], (low, high))


def write_rule(folder: Path, rule: Rule, content: str, parts: Split) -> None:
    """split.json of a data folder whose split has grown."""
    write_json(folder / "split.json", {**asdict(rule), **facts(content, parts)})


def facts(content: str, split: Split) -> dict[str, Any]:
    return {
        "counts": {part: len(split[part]) for part in PARTS},
        "hashes": hashes(split),
        "source": content,
    }


def hashes(split: Split) -> dict[str, str]:
    return {part: digest.pairs(split[part]) for part in PARTS}


def write_record(home: Path, split: Split, record: dict[str, Any]) -> None:
    """split.json names the hashes, so half a record is never taken for one.

    The pairs wait beside the earlier ones until split.json names them.
    """
    home.mkdir(parents=True, exist_ok=True)
    write_pairs(home / NEXT, split, parted=True)
    write_json(home / "split.json", record)
    (home / NEXT).replace(home / "split.parquet")


def read_record(home: Path, record: dict[str, Any]) -> Split:
    for name in ("split.parquet", NEXT):
        split: Split = {part: [] for part in PARTS}
        try:
            table = pq.read_table(home / name).to_pydict()
        except (OSError, pa.ArrowException):
            continue
        for user, item, part in zip(*table.values(), strict=True):
            split[part].append((user, item))
        if record["hashes"] == hashes(split):
            return split
    raise DataError(
        f"The split recorded in {home} is damaged.", hint="Use a new workspace for this data."
    )


def write_pairs(path: Path, split: Split, *, parted: bool) -> None:
    rows = [(user, item, part) for part, pairs in split.items() for user, item in pairs]
    names = ("user_id", "item_id", "split") if parted else ("user_id", "item_id")
    columns = {
        name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)
    }
    started = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    pq.write_table(pa.table(columns), started)
    started.replace(path)


def write_json(path: Path, record: dict[str, Any]) -> None:
    started = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    started.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    started.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        needed = {key: found[key] for key in ("scheme", "seed", "counts", "hashes", "source")}
        return needed | {key: found[key] for key in ("cuts",) if key in found}
    except (ValueError, KeyError, TypeError):
        hint = "Use a new workspace for this data."
        raise DataError(f"{path} is damaged.", hint=hint) from None
