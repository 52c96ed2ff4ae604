"""A job: the graph, the settings and the layers of one run, as the stages see them.

The descriptions of a layer are not held here: they are in the ledger before anybody asks for them,
and are read from there, some at a time. Only an estimate, whose texts are supposed, holds its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import networkx as nx

from agents.ask import Desk
from agents.manner import Manner
from graph_ops.graph import kind_of
from stores.rows import Outcome

AT_HAND = 4096
"""Texts of a layer that are kept at hand: neighbours are asked about again and again."""


@dataclass(frozen=True)
class Job:
    """One run. `needed[l]` are the nodes to describe at hop l.

    `targets` are the nodes that were asked for; `limited` says that other nodes of the graph were
    left out on purpose. `supposed` are the layers of an estimate, which no ledger has.
    """

    graph: nx.Graph
    targets: frozenset[str]
    needed: tuple[frozenset[str], ...]
    manner: Manner
    desk: Desk
    limited: bool = False
    supposed: tuple[dict[str, Outcome], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "supposed", tuple({} for _ in self.needed))

    @property
    def hops(self) -> int:
        return len(self.needed) - 1

    @property
    def stages(self) -> dict[str, int]:
        """The stages in their order, and how many nodes each has."""
        items = sum(kind_of(node) == "item" for node in self.needed[0])
        profiles = {"item profiles": items, "user profiles": len(self.needed[0]) - items}
        hops = {f"hop {hop}": len(nodes) for hop, nodes in enumerate(self.needed) if hop}
        return profiles | hops

    def texts(self, hop: int) -> Mapping[str, str]:
        """The descriptions of a finished layer, by node; "" where nothing is known."""
        return Texts(self, hop)

    def outcomes(self, hop: int, nodes: Sequence[str]) -> dict[str, Outcome]:
        """What became of some nodes at a hop; those that are not settled yet are left out."""
        if self.desk.suppose is not None:
            layer = self.supposed[hop]
            return {node: layer[node] for node in nodes if node in layer}
        return self.desk.ledger.outcomes(self.desk.run, hop, nodes)

    def settle(self, outcomes: list[Outcome]) -> None:
        """Keep what is supposed of some nodes; what became of others is in the ledger."""
        if self.desk.suppose is not None:
            for outcome in outcomes:
                self.supposed[outcome.hop][outcome.node] = outcome


class Texts(Mapping[str, str]):
    """The descriptions of a finished layer, each looked up when it is asked for."""

    def __init__(self, job: Job, hop: int) -> None:
        self._nodes = job.needed[hop]

        def find(node: str) -> str:
            return job.outcomes(hop, [node])[node].text

        self._find = lru_cache(AT_HAND)(find)

    def __getitem__(self, node: str) -> str:
        return self._find(node)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)
