"""The neighbourhood as a picture: who is drawn, where, and which lines carried a description."""

import math

import pytest

from graph_ops.graph import build
from graph_ops.neighbourhood import neighbours
from stores.datasets import Interaction, Item, User
from viewer.drawing import MOST_NEAR, drawing
from viewer.evidence import told

BY = told("r1", {"neighbours": 2, "seed": 0})


@pytest.fixture
def graph():
    users = {f"u{n}": User(f"u{n}") for n in range(30)}
    items = {f"i{n}": Item(f"i{n}", f"Title {n} " * 9) for n in range(4)}
    pairs = [(f"u{u}", "i0") for u in range(30)] + [(f"u{u}", f"i{u % 3 + 1}") for u in range(30)]
    return build(users, items, [Interaction(u, i) for u, i in pairs])


def drawn(graph, node, hops=(0, 1, 2)):
    found = drawing(graph, BY, node, hops, lambda one: graph.nodes[one].get("title") or "")
    return {one["id"]: one for one in found["nodes"]}, found["edges"]


def test_the_node_is_in_the_middle_and_its_neighbours_are_around_it(graph):
    nodes, edges = drawn(graph, "user:u0")
    assert (nodes["user:u0"]["x"], nodes["user:u0"]["y"], nodes["user:u0"]["ring"]) == (0, 0, 0)
    assert {id for id, one in nodes.items() if one["ring"] == 1} == {"item:i0", "item:i1"}
    assert {(e["source"], e["target"]) for e in edges} >= {
        ("user:u0", "item:i0"), ("user:u0", "item:i1"),
    }  # fmt: skip


def test_a_neighbour_says_at_which_hops_its_text_was_read(graph):
    nodes, edges = drawn(graph, "item:i0")
    for hop in (1, 2):
        for other in neighbours(graph, "item:i0", hop, BY.sampling):
            assert hop in nodes[other]["hops"]
    unread = [e["target"] for e in edges if e["source"] == "item:i0" and not e["heard"]]
    assert unread and all(nodes[one]["hops"] == [] for one in unread)


def test_behind_a_neighbour_stand_those_whose_texts_it_had_read(graph):
    nodes, edges = drawn(graph, "user:u0")
    for other in neighbours(graph, "user:u0", 2, BY.sampling):
        assert max(nodes[other]["hops"]) == 2
        behind = {e["target"] for e in edges if e["source"] == other}
        heard = {n for n in neighbours(graph, other, 1, BY.sampling) if n != "user:u0"}
        assert behind == heard and heard


def test_a_busy_node_is_drawn_with_some_of_its_neighbours_those_read_first(graph):
    nodes, _ = drawn(graph, "item:i0")
    near = [one for one in nodes.values() if one["ring"] == 1]
    assert len(near) == MOST_NEAR < graph.degree("item:i0")
    assert all(one["hops"] for one in near[:2])


def test_no_two_nodes_stand_in_the_same_place(graph):
    nodes, _ = drawn(graph, "item:i0")
    places = [(one["x"], one["y"]) for one in nodes.values()]
    closest = min(math.dist(a, b) for n, a in enumerate(places) for b in places[:n])
    assert closest > 8


def test_long_titles_are_cut(graph):
    nodes, _ = drawn(graph, "user:u0")
    assert len(nodes["item:i0"]["label"]) <= 35 and nodes["item:i0"]["label"].endswith("…")


def test_a_node_without_neighbours_is_drawn_alone(graph):
    graph.add_node("user:alone", attributes={})
    nodes, edges = drawn(graph, "user:alone")
    assert list(nodes) == ["user:alone"] and edges == []
