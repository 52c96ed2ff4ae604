"""The training graph and its two products, against dense matrices and PyG's LGConv."""

import pytest
import torch

from tests import slow_formulas as slow
from tests.toy_graphs import pairs_of, toy
from training.graph import Adjacency, TrainGraph, dropped, edge_dots, propagate

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def graph():
    return toy(cold_users=1, cold_items=1)


def nodes(graph, width=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(graph.nodes, width, generator=random).requires_grad_()


def values(graph, seed=5):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(len(graph.weight_E), generator=random).requires_grad_()


def dense(adjacency, value_E):
    """The matrix that holds these values, differentiable in them."""
    empty = torch.zeros(adjacency.nodes, adjacency.nodes)
    return empty.index_put((adjacency.row_E, adjacency.col_E), value_E)


# The structure


def test_the_graph_holds_every_training_pair_in_both_directions(graph):
    there = {(u, 7 + i) for u, i in pairs_of(graph)}
    entries = zip(graph.adjacency.row_E.tolist(), graph.adjacency.col_E.tolist(), strict=True)
    assert sorted(entries) == sorted(there | {(i, u) for u, i in there})


def test_a_pair_that_the_data_holds_twice_is_one_edge():
    user_P, item_P = torch.tensor([0, 1, 0, 0]), torch.tensor([1, 0, 1, 1])
    graph = TrainGraph.of(2, 2, user_P, item_P)
    assert pairs_of(graph) == [(0, 1), (1, 0)]
    assert graph.adjacency.degree_N.tolist() == [1, 1, 1, 1]


def test_the_order_of_pairs_plays_no_part(graph):
    turned = TrainGraph.of(7, 6, graph.user_P.flip(0), graph.item_P.flip(0))
    assert pairs_of(turned) == pairs_of(graph)
    assert torch.equal(turned.weight_E, graph.weight_E)


def test_every_entry_knows_its_mirror(graph):
    adjacency = graph.adjacency
    assert torch.equal(adjacency.row_E[adjacency.mirror_E], adjacency.col_E)
    assert torch.equal(adjacency.col_E[adjacency.mirror_E], adjacency.row_E)


def test_an_edge_weighs_one_over_the_root_of_both_degrees(graph):
    expected = slow.normalised(slow.adjacency(7, 6, pairs_of(graph)))
    torch.testing.assert_close(dense(graph.adjacency, graph.weight_E), expected)


def test_self_loops_count_in_the_degrees(graph):
    looped = graph.adjacency.with_loops()
    expected = slow.normalised(slow.adjacency(7, 6, pairs_of(graph), loops=True))
    torch.testing.assert_close(dense(looped, looped.normalised()), expected)


def test_nodes_without_an_edge_have_degree_0_and_weigh_nothing():
    bare = Adjacency.of(3, torch.tensor([0, 1]), torch.tensor([1, 0]))
    assert bare.degree_N.tolist() == [1, 1, 0]
    assert bare.normalised().tolist() == [1, 1]


# The products


@pytest.mark.parametrize("told", [False, True])
def test_propagation_is_the_dense_product(graph, told):
    x = nodes(graph)
    found = propagate(graph.adjacency, graph.weight_E, x, graph.weight_E if told else None)
    matrix = slow.normalised(slow.adjacency(7, 6, pairs_of(graph)))
    slow.agree(slow.weighed(found), slow.weighed(matrix @ x), [x])
    torch.testing.assert_close(found, matrix @ x)


def test_propagation_over_values_that_are_not_symmetric_is_the_dense_product(graph):
    x, value_E = nodes(graph), values(graph)
    found = propagate(graph.adjacency, value_E, x)
    slow.agree(slow.weighed(found), slow.weighed(dense(graph.adjacency, value_E) @ x), [x, value_E])


def test_propagation_over_learnt_symmetric_values_is_the_dense_product(graph):
    x, half = nodes(graph), values(graph)
    value_E = half + half[graph.adjacency.mirror_E]
    found = propagate(graph.adjacency, value_E, x, value_E)
    slow.agree(slow.weighed(found), slow.weighed(dense(graph.adjacency, value_E) @ x), [x, half])


def test_propagation_agrees_with_pyg(graph):
    from torch_geometric.nn import LGConv

    x = nodes(graph)
    found = propagate(graph.adjacency, graph.weight_E, x, graph.weight_E)
    slow.agree(slow.weighed(found), slow.weighed(LGConv()(x, graph.edge_index)), [x])
    value_E = values(graph)
    found = propagate(graph.adjacency, value_E, x)
    theirs = LGConv(normalize=False)(x, graph.edge_index, value_E)
    slow.agree(slow.weighed(found), slow.weighed(theirs), [x, value_E])


def test_the_gradients_of_propagation_are_those_of_finite_differences(graph):
    x, value_E = nodes(graph, width=2), values(graph)
    assert torch.autograd.gradcheck(lambda v, n: propagate(graph.adjacency, v, n), (value_E, x))


def test_edge_dots_are_entries_of_the_dense_product(graph):
    left, right = nodes(graph, seed=1), nodes(graph, seed=2)
    found = edge_dots(graph.adjacency, left, right)
    entries = (left @ right.T)[graph.adjacency.row_E, graph.adjacency.col_E]
    torch.testing.assert_close(found, entries)
    slow.agree(slow.weighed(found), slow.weighed(entries), [left, right])


def test_edge_dots_of_nodes_with_themselves(graph):
    x = nodes(graph)
    entries = (x @ x.T)[graph.adjacency.row_E, graph.adjacency.col_E]
    slow.agree(slow.weighed(edge_dots(graph.adjacency, x, x)), slow.weighed(entries), [x])


def test_the_gradients_of_edge_dots_are_those_of_finite_differences(graph):
    left, right = nodes(graph, width=2, seed=1), nodes(graph, width=2, seed=2)
    assert torch.autograd.gradcheck(lambda a, b: edge_dots(graph.adjacency, a, b), (left, right))


def test_products_take_strided_rows(graph):
    wide = nodes(graph, width=8)
    x = wide[:, ::2]
    matrix = slow.normalised(slow.adjacency(7, 6, pairs_of(graph)))
    found = propagate(graph.adjacency, graph.weight_E, x, graph.weight_E)
    slow.agree(slow.weighed(found), slow.weighed(matrix @ x), [wide])
    entries = (x @ x.T)[graph.adjacency.row_E, graph.adjacency.col_E]
    slow.agree(slow.weighed(edge_dots(graph.adjacency, x, x)), slow.weighed(entries), [wide])


# Dropping edges


def test_edges_are_kept_with_the_probability_asked_for_and_not_scaled_up():
    torch.manual_seed(0)
    weight_E = torch.full((40_000,), 0.25)
    found = dropped(weight_E, 0.8)
    assert set(found.tolist()) == {0, 0.25}
    # Four standard deviations.
    assert abs(float((found > 0).double().mean()) - 0.8) < 4 * (0.8 * 0.2 / 40_000) ** 0.5


def test_the_two_directions_of_an_edge_drop_independently():
    graph = toy(users=120, items=110, density=0.5)
    torch.manual_seed(0)
    kept = dropped(graph.weight_E, 0.7) > 0
    upper = graph.adjacency.row_E < graph.adjacency.col_E
    one, other = kept[upper], kept[graph.adjacency.mirror_E][upper]
    both = float((one & other).double().mean())
    assert abs(both - 0.49) < 4 * (0.49 * 0.51 / int(upper.sum())) ** 0.5
