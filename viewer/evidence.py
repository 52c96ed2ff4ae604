"""What a question showed of a node's neighbourhood, made again from the graph and the ledger.

The same functions as in the run itself, with the run's own settings and seed, so this is what the
model was shown; each text says whose it is. Training interactions only: the graph has no others.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from graph_ops.budget import CUT
from graph_ops.evidence import ItemEvidence, RefineEvidence, UserEvidence
from graph_ops.neighbourhood import Sampling
from graph_ops.seen import evidence, listened_to
from stores.trails.nodes import described


@dataclass(frozen=True, slots=True)
class Shown:
    """One text that a question showed.

    `node` is whose text it is, or, of a review, the item it is about or the user who wrote it.
    `hop` is set where the text is a description of that node, which can be asked about in turn.
    """

    what: str
    node: str
    hop: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """A run's settings that decide what a question shows."""

    run: str
    sampling: Sampling
    budget: int
    replaces: bool


def told(run: str, settings: Mapping[str, Any]) -> Told:
    """The settings of a run as the ledger has them."""
    sampling = Sampling(
        int(settings.get("neighbours", 6)),
        str(settings.get("sampling", "uniform")),
        int(settings.get("seed", 0)),
    )
    budget = int(settings.get("evidence_tokens", 1800))
    return Told(run, sampling, budget, settings.get("mode") == "replace")


def shown(
    db: sqlite3.Connection, graph: nx.Graph, by: Told, node: str, hop: int
) -> tuple[Shown, ...]:
    """The texts shown when `node` was asked about at `hop`. Empty for a node the graph lacks."""
    if node not in graph:
        return ()
    drawn = listened_to(graph, node, hop, by.sampling)
    # A user's profile shows item profiles, which are of the same hop.
    below = described(db, by.run, max(0, hop - 1), [node, *drawn] if hop else drawn)
    found = evidence(graph, node, hop, below, by.sampling, by.budget, by.replaces)
    if isinstance(found, RefineEvidence):
        return _refinement(found, node, hop)
    if isinstance(found, ItemEvidence):
        return _of_item(graph, found, node)
    return _of_user(found, node, drawn)


def heard(graph: nx.Graph, by: Told, node: str, hop: int) -> tuple[str, ...]:
    """The neighbours whose descriptions a node was shown at a hop."""
    return listened_to(graph, node, hop, by.sampling) if node in graph else ()


def _refinement(found: RefineEvidence, node: str, hop: int) -> tuple[Shown, ...]:
    own = [Shown("its own description", node, hop - 1, found.own)] if found.own else []
    return (*own, *(Shown("description", n.node, hop - 1, n.text) for n in found.neighbours))


def _of_item(graph: nx.Graph, found: ItemEvidence, node: str) -> tuple[Shown, ...]:
    texts = [Shown("title", node, None, found.title)] if found.title else []
    if found.description:
        texts.append(Shown("product text", node, None, found.description))
    texts += [Shown(name, node, None, value) for name, value in found.attributes.items()]
    for opinion in found.reviews:
        texts.append(Shown("review", _writer(graph, node, opinion.text), None, opinion.text))
    return tuple(texts)


def _of_user(found: UserEvidence, node: str, drawn: tuple[str, ...]) -> tuple[Shown, ...]:
    texts = [Shown(name, node, None, value) for name, value in found.attributes.items()]
    for item, one in zip(drawn, found.chosen, strict=True):
        if one.title:
            texts.append(Shown("title", item, None, one.title))
        if one.profile:
            texts.append(Shown("description", item, 0, one.profile))
        if one.review:
            texts.append(Shown("own review", item, None, one.review))
    return tuple(texts)


def _writer(graph: nx.Graph, item: str, review: str) -> str:
    """Who wrote a review that an item's question showed, cut as it may be."""
    whole = review.removesuffix(CUT)
    user: str
    for user in sorted(graph.adj[item]):
        if (graph.edges[item, user]["review"] or "").startswith(whole):
            return user
    return item
