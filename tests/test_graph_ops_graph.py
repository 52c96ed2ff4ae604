"""The graph: what becomes a node, what becomes an edge, and how nodes are named."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import DataError
from graph_ops.graph import build, id_of, kind_of, node_name, nodes_of


@dataclass
class User:
    attributes: dict = field(default_factory=dict)


@dataclass
class Item:
    title: str | None = None
    description: str | None = None
    attributes: dict = field(default_factory=dict)


@dataclass
class Row:
    user: str
    item: str
    rating: float | None = None
    timestamp: float | None = None
    review: str | None = None


def test_only_the_given_interactions_become_edges():
    users, items = {"a": User(), "b": User()}, {"x": Item(), "y": Item()}
    graph = build(users, items, [Row("a", "x"), Row("b", "x")])
    assert {frozenset(edge) for edge in graph.edges} == {
        frozenset({"user:a", "item:x"}),
        frozenset({"user:b", "item:x"}),
    }


def test_nodes_without_interactions_are_kept():
    graph = build({"a": User(), "b": User()}, {"x": Item(), "y": Item()}, [Row("a", "x")])
    assert sorted(graph) == ["item:x", "item:y", "user:a", "user:b"]
    assert graph.degree("user:b") == graph.degree("item:y") == 0


def test_nodes_and_edges_carry_what_is_known():
    item = Item("Wah", "A pedal.", {"colour": "red"})
    row = Row("a", "x", 4.0, 100.0, "Loud.")
    graph = build({"a": User({"town": "Graz"})}, {"x": item}, [row])
    assert graph.nodes["user:a"] == {"attributes": {"town": "Graz"}}
    assert graph.nodes["item:x"] == {
        "title": "Wah",
        "description": "A pedal.",
        "attributes": {"colour": "red"},
    }
    assert graph.edges["user:a", "item:x"] == {"rating": 4.0, "timestamp": 100.0, "review": "Loud."}


@pytest.mark.parametrize(("row", "node"), [(Row("b", "x"), "user:b"), (Row("a", "y"), "item:y")])
def test_an_interaction_with_an_unknown_id_is_refused(row, node):
    with pytest.raises(DataError, match=f"names {node}, which is not in the data"):
        build({"a": User()}, {"x": Item()}, [row])


def test_a_user_and_an_item_of_one_id_are_two_nodes():
    graph = build({"1": User()}, {"1": Item()}, [Row("1", "1")])
    assert list(graph.edges) == [("user:1", "item:1")]


@given(st.sampled_from(["user", "item"]), st.text())
def test_kind_and_id_come_back_from_any_name(kind, id_):
    node = node_name(kind, id_)
    assert (kind_of(node), id_of(node)) == (kind, id_)


@pytest.mark.parametrize("id_", ["a:b", "user:1", "item:", ":", "", "naïve ☕", "用户", "\n"])
def test_kind_and_id_come_back_from_awkward_names(id_):
    for kind in ("user", "item"):
        assert kind_of(node_name(kind, id_)) == kind
        assert id_of(node_name(kind, id_)) == id_


def test_nodes_of_a_kind_come_sorted_whatever_their_order_in_the_data():
    users = {"b": User(), "a": User()}
    graph = build(users, {"z": Item(), "user:": Item()}, [])
    assert nodes_of(graph, "user") == ["user:a", "user:b"]
    assert nodes_of(graph, "item") == ["item:user:", "item:z"]
