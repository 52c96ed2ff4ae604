"""One hash for what a data folder says, whatever its files are called, ordered or encoded."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from stores.formats.layout import Source
from stores.formats.rows import Entity

CHUNK = 1000


def content(source: Source) -> str:
    """sha256 over interactions, items and users. The split is not content, so it is not in."""
    digest = hashlib.sha256()
    add(digest, "interactions", (row[:6] for row in sorted(source.rows)))
    add(digest, "items", listed(source.items))
    add(digest, "users", listed(source.users))
    return digest.hexdigest()


def listed(entities: Mapping[str, Entity]) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    return ((id, sorted(one.texts.items())) for id, one in sorted(entities.items()))


def pairs(found: Iterable[tuple[str, str]]) -> str:
    """sha256 over one part of a split."""
    digest = hashlib.sha256()
    add(digest, "pairs", sorted(found))
    return digest.hexdigest()


def settled(content: str, parts: Mapping[str, str]) -> str:
    """One hash for a data folder and its split, from that of its content and those of its parts."""
    digest = hashlib.sha256()
    add(digest, "settled", [content, *sorted(parts.items())])
    return digest.hexdigest()


def add(digest: Any, kind: str, values: Iterable[Any]) -> None:
    """JSON in ASCII, because its spelling of texts and numbers is the same in every Python."""
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        # CHUNK is part of what is hashed: change it, and every digest on record changes.
        digest.update(f"{kind} {json.dumps(chunk)}\n".encode())
