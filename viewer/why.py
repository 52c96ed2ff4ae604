"""Why a description says a word: who it came from, hop by hop, down to the data.

A word of D^l was in the texts that its question showed, or the model chose it. A text shown was a
description of the layer below, which can be asked the same, or a title, a review, an attribute.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx

from stores.trails.nodes import Described, life
from viewer.evidence import Shown, Told, shown
from viewer.words import Piece, passages, says

# Of more neighbours than a run hears by default, not every text is followed.
MOST_SOURCES = 24


@dataclass(frozen=True, slots=True)
class Source:
    """A text that has the word: whose, what it is, the sentences, and where it had it from.

    `hop` is the hop that brought the word into this description, None where the text is data.
    `again`: this description was followed already, above or beside.
    """

    node: str
    what: str
    hop: int | None
    passages: list[list[Piece]]
    sources: tuple["Source", ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class Why:
    """The hop of a node's life that brought a word, and the sources it was shown. None: no hop."""

    word: str
    brought: Described | None
    passages: list[list[Piece]]
    sources: tuple[Source, ...]


def why(
    db: sqlite3.Connection, graph: nx.Graph, by: Told, hops: Sequence[Described], word: str
) -> Why:
    """Follow a word of a node's descriptions (its `life` in the run of `by`) to its sources."""
    brought = _brings(hops, word)
    if brought is None:
        return Why(word, None, [], ())
    seen = {(brought.node, brought.hop)}
    texts = shown(db, graph, by, brought.node, brought.hop)
    sources = _sources(db, graph, by, texts, word, seen)
    return Why(word, brought, passages(brought.text, word), sources)


def _sources(
    db: sqlite3.Connection,
    graph: nx.Graph,
    by: Told,
    texts: Sequence[Shown],
    word: str,
    seen: set[tuple[str, int]],
) -> tuple[Source, ...]:
    having = [one for one in texts if says(one.text, word)]
    return tuple(_source(db, graph, by, one, word, seen) for one in having[:MOST_SOURCES])


def _source(
    db: sqlite3.Connection,
    graph: nx.Graph,
    by: Told,
    text: Shown,
    word: str,
    seen: set[tuple[str, int]],
) -> Source:
    said = passages(text.text, word)
    if text.hop is None:
        return Source(text.node, text.what, None, said)
    hops = [one for one in life(db, text.node, by.run) if one.hop <= text.hop]
    brought = _brings(hops, word)
    hop = text.hop if brought is None else brought.hop
    if (text.node, hop) in seen:
        return Source(text.node, text.what, hop, said, again=True)
    seen.add((text.node, hop))
    deeper = _sources(db, graph, by, shown(db, graph, by, text.node, hop), word, seen)
    return Source(text.node, text.what, hop, said, deeper)


def _brings(hops: Sequence[Described], word: str) -> Described | None:
    """The first hop from which the word is there to the last one; None where the last lacks it."""
    found = None
    for one in sorted(hops, key=lambda one: -one.hop):
        if not says(one.text, word):
            break
        found = one
    return found
