"""The bipartite graph of users and items, made from training interactions and nothing else.

A node is named `user:<id>` or `item:<id>`. A user node carries `attributes`; an item node carries
`title`, `description` and `attributes`; an edge carries `rating`, `timestamp` and `review`.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import networkx as nx

from errors import DataError

Kind = Literal["user", "item"]


class UserText(Protocol):
    """What the graph keeps of a user."""

    @property
    def attributes(self) -> Mapping[str, str]: ...


class ItemText(Protocol):
    """What the graph keeps of an item."""

    @property
    def title(self) -> str | None: ...
    @property
    def description(self) -> str | None: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...


class TrainingInteraction(Protocol):
    """One training interaction. Held-out ones never come here: the split is made before."""

    @property
    def user(self) -> str: ...
    @property
    def item(self) -> str: ...
    @property
    def rating(self) -> float | None: ...
    @property
    def timestamp(self) -> float | None: ...
    @property
    def review(self) -> str | None: ...


def node_name(kind: Kind, id_: str) -> str:
    """The name of a node: `user:42`."""
    return f"{kind}:{id_}"


def kind_of(node: str) -> Kind:
    """`user` or `item`, from a node's name."""
    return "user" if node.startswith("user:") else "item"


def id_of(node: str) -> str:
    """The id as the data has it, from a node's name."""
    return node.partition(":")[2]


def build(
    users: Mapping[str, UserText],
    items: Mapping[str, ItemText],
    interactions: Iterable[TrainingInteraction],
) -> nx.Graph:
    """Join users and items by their training interactions.

    Nodes without an interaction are kept: they have text of their own, or none. Raises DataError
    for an interaction whose user or item is unknown.
    """
    graph = nx.Graph()
    # One string a node: networkx keeps the name that it is given in every edge.
    user_nodes = {id_: node_name("user", id_) for id_ in users}
    item_nodes = {id_: node_name("item", id_) for id_ in items}
    for id_, user in users.items():
        graph.add_node(user_nodes[id_], attributes=user.attributes)
    for id_, item in items.items():
        graph.add_node(
            item_nodes[id_],
            title=item.title,
            description=item.description,
            attributes=item.attributes,
        )
    for row in interactions:
        user_node, item_node = user_nodes.get(row.user), item_nodes.get(row.item)
        if user_node is None or item_node is None:
            unknown = f"user:{row.user}" if user_node is None else f"item:{row.item}"
            raise DataError(
                f"An interaction names {unknown}, which is not in the data.",
                hint="Add it to the users or items file, or drop the interaction.",
            )
        graph.add_edge(
            user_node, item_node, rating=row.rating, timestamp=row.timestamp, review=row.review
        )
    return graph


def nodes_of(graph: nx.Graph, kind: Kind) -> list[str]:
    """All nodes of a kind, sorted by name, so that the order of rows never matters."""
    return sorted(node for node in graph if kind_of(node) == kind)
