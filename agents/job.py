"""A job: the graph, the settings and the layers of one run, as the stages see them."""

from dataclasses import dataclass, field
from typing import Literal

import networkx as nx

from agents.ask import Desk
from graph_ops.neighbourhood import Sampling
from prompts.library import Domain
from stores.rows import Outcome

Mode = Literal["append", "replace"]


@dataclass(frozen=True)
class Job:
    """One run. `needed[l]` are the nodes to describe at hop l; `layers[l]` what they got.

    `targets` are the nodes that were asked for; `limited` says that other nodes of the graph were
    left out on purpose.
    """

    graph: nx.Graph
    targets: frozenset[str]
    needed: tuple[frozenset[str], ...]
    sampling: Sampling
    domain: Domain
    language: str
    mode: Mode
    evidence_tokens: int
    desk: Desk
    limited: bool = False
    layers: tuple[dict[str, Outcome], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple({} for _ in self.needed))

    @property
    def hops(self) -> int:
        return len(self.needed) - 1

    def texts(self, hop: int) -> dict[str, str]:
        """The descriptions of a finished layer, by node; "" where nothing is known."""
        return {node: outcome.text for node, outcome in self.layers[hop].items()}

    def settle(self, outcomes: list[Outcome]) -> None:
        """Keep what became of some nodes."""
        for outcome in outcomes:
            self.layers[outcome.hop][outcome.node] = outcome
