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

MOST_NEAR, MOST_FAR = 16, 3
_NEAR, _FAR, _STRETCH = 165.0, 255.0, 1.5


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
    angles = _angles(len(near))
    for angle, other in zip(angles, near, strict=True):
        places[other] = _point(_NEAR, angle)
    for angle, other in zip(angles, near, strict=True):
        latest = max(at.get(other, [0]))
        if latest == 0:
            continue
        behind = [one for one in heard(graph, by, other, latest - 1) if one != node][:MOST_FAR]
        new = [one for one in behind if one not in places]
        width = 0.8 * min((abs(angle - one) for one in angles if one != angle), default=1.0)
        for order, one in enumerate(new):
            places[one] = _point(_FAR, angle + width * ((order + 0.5) / len(new) - 0.5))
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


def _angles(count: int) -> list[float]:
    """Clockwise from the top, in radians: each half at even heights, so that names have room."""
    right = -(-count // 2)
    halves = (right, count - right)
    heights = [[2 * (place + 0.5) / half - 1 for place in range(half)] for half in halves]
    return [math.asin(y) for y in heights[0]] + [math.pi + math.asin(y) for y in heights[1]]


def _point(radius: float, angle: float) -> tuple[float, float]:
    """A place on an ellipse: pages are wider than high."""
    return _STRETCH * radius * math.cos(angle), radius * math.sin(angle)


def _edge(a: str, b: str, listened: bool) -> dict[str, Any]:
    return {"source": a, "target": b, "heard": listened}
