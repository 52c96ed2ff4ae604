"""What a node is shown at a hop: one door to the evidence, for those who ask and those who look.

A part of the graph is enough (stores.graph_file gives one): the node, its interactions and, for the
rule `degree-damped`, those of its neighbours.
"""

from collections.abc import Mapping

import networkx as nx

from graph_ops.evidence import (
    ItemEvidence,
    RefineEvidence,
    UserEvidence,
    item_evidence,
    refine_evidence,
    user_evidence,
)
from graph_ops.graph import kind_of
from graph_ops.neighbourhood import Sampling, neighbours

Evidence = ItemEvidence | UserEvidence | RefineEvidence


def listened_to(graph: nx.Graph, node: str, hop: int, sampling: Sampling) -> tuple[str, ...]:
    """The neighbours whose descriptions a node is shown at a hop, in the order they are shown.

    At hop 0 a user is shown item profiles and an item none; at hop l both are shown layer l - 1.
    """
    if hop == 0 and kind_of(node) == "item":
        return ()
    return neighbours(graph, node, hop, sampling)


def evidence(
    graph: nx.Graph,
    node: str,
    hop: int,
    below: Mapping[str, str],
    sampling: Sampling,
    budget: int,
    replaces: bool = False,
) -> Evidence:
    """What a node is shown at a hop within `budget` tokens; false where there is nothing to show.

    `below` maps a node to its description: to item profiles at hop 0, to layer `hop - 1` above, the
    node's own included; only the node's own and those of `listened_to` are looked at.
    """
    if hop:
        return refine_evidence(graph, node, hop, below, sampling, budget, replaces)
    if kind_of(node) == "item":
        return item_evidence(graph, node, sampling, budget)
    return user_evidence(graph, node, below, sampling, budget)
