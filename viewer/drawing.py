"""A node's neighbourhood as a picture: who is drawn, where, and which lines carried a description.

The node is in the middle, its neighbours around it, and behind each that was listened to those
whose texts it had heard one hop before. Places are computed here: the picture stays the same.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx

from graph_ops.graph import id_of, kind_of
from viewer.evidence import Told, heard
from viewer.text import excerpt

MOST_NEAR, MOST_FAR = 18, 4
_NEAR, _FAR = 150.0, 235.0


def drawing(
    graph: nx.Graph, by: Told, node: str, hops: Sequence[int], title: Callable[[str], str]
) -> dict[str, list[dict[str, Any]]]:
    """Nodes with places and edges, as plain values for the page's script.

    `hops` are those at which the node has a description, `title` gives a node's title or "".
    """
    at: dict[str, list[int]] = {}
    for hop in hops:
        for other in heard(graph, by, node, hop):
            at.setdefault(other, []).append(hop)
    rest = sorted(other for other in graph.adj[node] if other not in at)
    near = [*at, *rest][:MOST_NEAR]
    places = {node: (0.0, 0.0)}
    edges = [_edge(node, other, bool(at.get(other))) for other in near]
    for place, other in enumerate(near):
        places[other] = _point(_NEAR, place / max(1, len(near)))
    for place, other in enumerate(near):
        latest = max(at.get(other, [0]))
        if latest == 0:
            continue
        behind = [one for one in heard(graph, by, other, latest - 1) if one != node][:MOST_FAR]
        new = [one for one in behind if one not in places]
        width = 0.8 / max(1, len(near))
        for order, one in enumerate(new):
            turn = place / len(near) + width * ((order + 0.5) / len(new) - 0.5)
            places[one] = _point(_FAR, turn)
        edges += [_edge(other, one, True) for one in behind]
    ring = {**dict.fromkeys(places, 2), **dict.fromkeys(near, 1), node: 0}
    return {
        "nodes": [
            {
                "id": one,
                "kind": kind_of(one),
                "label": excerpt(title(one) or id_of(one), 34),
                "ring": ring[one],
                "hops": at.get(one, []),
                "x": round(x, 1),
                "y": round(y, 1),
            }
            for one, (x, y) in places.items()
        ],
        "edges": edges,
    }


def _point(radius: float, turn: float) -> tuple[float, float]:
    """A place on an ellipse: pages are wider than high."""
    angle = 2 * math.pi * turn - math.pi / 2
    return 1.7 * radius * math.cos(angle), radius * math.sin(angle)


def _edge(a: str, b: str, listened: bool) -> dict[str, Any]:
    return {"source": a, "target": b, "heard": listened}
