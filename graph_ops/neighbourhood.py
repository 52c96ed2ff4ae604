"""Which neighbours a node listens to, and which nodes a set of targets needs below it.

Sampling is stable: every (seed, hop, node, neighbour) gets a number by hashing, and the k smallest
are taken. So the answer does not depend on the order of rows, and one new interaction can replace
at most one neighbour of a node (our own choice; the papers draw afresh).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

import networkx as nx

from errors import unknown


@dataclass(frozen=True, slots=True)
class Sampling:
    """How neighbours are drawn: at most `k` of them, by a rule of `RULES`, for a `seed`."""

    k: int = 6
    rule: str = "uniform"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown("sampling rule", self.rule, RULES)


def chance(*parts: object) -> float:
    """A number in (0, 1) that depends on nothing but `parts`."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 1) / (2**64 + 2)


def neighbours(graph: nx.Graph, node: str, hop: int, sampling: Sampling) -> tuple[str, ...]:
    """At most `sampling.k` neighbours of `node` for `hop`, in the order they were drawn."""
    rank = RULES[sampling.rule]
    drawn = sorted(
        graph.adj[node],
        key=lambda other: (
            *rank(graph, node, other, chance(sampling.seed, hop, node, other)),
            other,
        ),
    )
    return tuple(drawn[: sampling.k])


def ball(
    graph: nx.Graph, targets: Iterable[str], hops: int, sampling: Sampling
) -> tuple[frozenset[str], ...]:
    """The nodes needed at hop 0 … `hops` so that `targets` can be described at the last one.

    A node at hop l needs itself and its sampled neighbours at hop l-1. At hop 0 a user profile
    needs the profiles of its sampled items, so these are added too.
    """
    layers = [frozenset(targets)]
    for hop in range(hops, 0, -1):
        above = layers[0]
        below = {n for node in above for n in neighbours(graph, node, hop, sampling)}
        layers.insert(0, above | below)
    users = [node for node in layers[0] if node.startswith("user:")]
    items = {n for user in users for n in neighbours(graph, user, 0, sampling)}
    layers[0] |= items
    return tuple(layers)


def _uniform(graph: nx.Graph, node: str, other: str, u: float) -> tuple[float, ...]:
    return (u,)


def _recent(graph: nx.Graph, node: str, other: str, u: float) -> tuple[float, ...]:
    """Latest first; interactions without a timestamp come last, in drawn order."""
    when = graph.edges[node, other]["timestamp"]
    return (math.inf if when is None else -when, u)


def _degree_damped(graph: nx.Graph, node: str, other: str, u: float) -> tuple[float, ...]:
    """Weight 1/sqrt(degree), without replacement (Efraimidis & Spirakis 2006, exponential keys)."""
    return (-math.log(u) * math.sqrt(graph.degree(other)),)


RULES: dict[str, Callable[[nx.Graph, str, str, float], tuple[float, ...]]] = {
    "uniform": _uniform,
    "recent": _recent,
    "degree-damped": _degree_damped,
}
