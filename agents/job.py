"""A job: the graph, the settings and the layers of one run, as the stages see them."""

from dataclasses import dataclass, field

import networkx as nx

from agents.ask import Desk
from agents.manner import Manner
from graph_ops.graph import kind_of
from stores.rows import Outcome


@dataclass(frozen=True)
class Job:
    """One run. `needed[l]` are the nodes to describe at hop l; `layers[l]` what they got.

    `targets` are the nodes that were asked for; `limited` says that other nodes of the graph were
    left out on purpose.
    """

    graph: nx.Graph
    targets: frozenset[str]
    needed: tuple[frozenset[str], ...]
    manner: Manner
    desk: Desk
    limited: bool = False
    layers: tuple[dict[str, Outcome], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple({} for _ in self.needed))

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

    def texts(self, hop: int) -> dict[str, str]:
        """The descriptions of a finished layer, by node; "" where nothing is known."""
        return {node: outcome.text for node, outcome in self.layers[hop].items()}

    def settle(self, outcomes: list[Outcome]) -> None:
        """Keep what became of some nodes."""
        for outcome in outcomes:
            self.layers[outcome.hop][outcome.node] = outcome
