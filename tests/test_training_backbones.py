"""The forward pass of each backbone against dense matrices and loops; AutoCF's while ranking."""

import pytest
import torch

from tests import slow_formulas as slow
from tests.toy_graphs import pairs_of, toy
from training.backbones import BACKBONES
from training.backbones.base import untapped

pytestmark = pytest.mark.usefixtures("double")
OPTIONS = {
    "lightgcn": {"layers": 3},
    "gccf": {"layers": 2},
    "sgl": {"layers": 2},
    "simgcl": {"layers": 3},
    "dccf": {"layers": 2, "intents": 5},
    "autocf": {"layers": 2, "heads": 2, "seeds": 2},
}


def bent(layer, hop_Nd):
    """A tap that tells every layer from the others, and both of its answers from each other."""
    return hop_Nd * (1 + 0.5 * layer) + 0.1, hop_Nd * (2 - layer) - 0.3 * layer


TAPS = pytest.mark.parametrize("tap", [untapped, bent], ids=["straight", "tapped"])


@pytest.fixture
def graph():
    return toy(cold_users=1, cold_items=1)


def made(name, graph, **options):
    torch.manual_seed(3)
    body = BACKBONES[name]
    return body(graph, body.Options(dim=4, **{**OPTIONS[name], **options}))


def matrix_of(graph, loops=False):
    dense = slow.adjacency(graph.users, graph.items, pairs_of(graph), loops)
    return slow.normalised(dense)


def thinned(graph, keep):
    """The matrix, each entry kept by a draw of its own, in the order of rows, then of columns."""
    matrix = matrix_of(graph)
    entries = matrix.nonzero().tolist()
    found = torch.zeros_like(matrix)
    for (row, col), draw in zip(entries, torch.rand(len(entries)).tolist(), strict=True):
        found[row, col] = matrix[row, col] * (draw < keep)
    return found


def forward_agrees(model, tap, expected, seed=None):
    """Value and gradients of every parameter; both sides draw what follows from the seed."""
    if seed is not None:
        torch.manual_seed(seed)
    found = model(model.ego_Nd, tap).nodes_ND
    if seed is not None:
        torch.manual_seed(seed)
    nodes = expected()
    torch.testing.assert_close(found, nodes)
    slow.agree(slow.weighed(found), slow.weighed(nodes), model.parameters())


# LightGCN


@TAPS
def test_lightgcn_ranks_with_the_sum_of_its_layers(graph, tap):
    model = made("lightgcn", graph).eval()
    forward_agrees(model, tap, lambda: sum(slow.walk(matrix_of(graph), model.ego_Nd, 3, tap)))


@TAPS
def test_lightgcn_trains_on_a_graph_that_is_thinned_once_for_all_layers(graph, tap):
    model = made("lightgcn", graph, keep=0.6)
    forward_agrees(
        model, tap, lambda: sum(slow.walk(thinned(graph, 0.6), model.ego_Nd, 3, tap)), seed=11
    )


def test_lightgcn_that_keeps_every_edge_trains_on_the_whole_graph(graph):
    model = made("lightgcn", graph, keep=1.0)
    forward_agrees(
        model, untapped, lambda: sum(slow.walk(matrix_of(graph), model.ego_Nd, 3, untapped))
    )


# GCCF


@TAPS
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("loops", [False, True])
def test_gccf_puts_its_layers_side_by_side(graph, tap, loops, training):
    model = made("gccf", graph, loops=loops).train(training)
    matrix = matrix_of(graph, loops)
    forward_agrees(model, tap, lambda: torch.cat(slow.walk(matrix, model.ego_Nd, 2, tap), dim=1))
    assert model.width == 4 * 3


# SGL and SimGCL


@TAPS
@pytest.mark.parametrize("name", ["sgl", "simgcl"])
@pytest.mark.parametrize("training", [False, True])
def test_sgl_and_simgcl_rank_with_the_whole_graph_also_while_training(graph, tap, name, training):
    model = made(name, graph).train(training)
    layers = OPTIONS[name]["layers"]
    forward_agrees(model, tap, lambda: sum(slow.walk(matrix_of(graph), model.ego_Nd, layers, tap)))


@pytest.mark.parametrize("name", ["sgl", "simgcl"])
def test_no_view_is_made_while_ranking(graph, name):
    model = made(name, graph).eval()
    assert model(model.ego_Nd, untapped).views == ()


@TAPS
def test_a_view_of_sgl_is_the_graph_thinned_once_per_view(graph, tap):
    model = made("sgl", graph, keep=0.6)
    torch.manual_seed(11)
    views = model(model.ego_Nd, tap).views
    torch.manual_seed(11)
    expected = [sum(slow.walk(thinned(graph, 0.6), model.ego_Nd, 2, tap)) for _ in range(2)]
    for mine, theirs in zip(views, expected, strict=True):
        torch.testing.assert_close(mine, theirs)
        slow.agree(slow.weighed(mine), slow.weighed(theirs), [model.ego_Nd])
    assert not torch.allclose(*views)


@TAPS
def test_a_view_of_simgcl_has_noise_of_the_length_asked_for_after_every_layer(graph, tap):
    model = made("simgcl", graph, noise=0.7)
    torch.manual_seed(11)
    views = model(model.ego_Nd, tap).views
    torch.manual_seed(11)

    def view():
        hop, total = tap(0, model.ego_Nd)
        for layer in (1, 2, 3):
            clean, draws = matrix_of(graph) @ hop, torch.rand(graph.nodes, 4)
            noise = [row.sign() * 0.7 * d / d.norm() for row, d in zip(clean, draws, strict=True)]
            hop, read = tap(layer, clean + torch.stack(noise))
            total = total + read
        return total

    for mine, theirs in zip(views, [view(), view()], strict=True):
        torch.testing.assert_close(mine, theirs)
        slow.agree(slow.weighed(mine), slow.weighed(theirs), [model.ego_Nd])


# DCCF


def dccf(model, graph, tap):
    """Node embeddings, and per layer (local, intent, weighted by local, weighted by intent)."""
    matrix, views = matrix_of(graph), []
    hop, total = tap(0, model.ego_Nd)
    for layer in range(1, model.options.layers + 1):
        local = matrix @ hop
        intents = [model.user_intents] * graph.users + [model.item_intents] * graph.items
        intent = torch.stack(
            [(row @ C).softmax(0) @ C.T for row, C in zip(hop, intents, strict=True)]
        )
        adapted = [by_agreement(matrix, ends, hop) for ends in (local, intent)]
        views += [local, intent, *adapted]
        hop, read = tap(layer, local + intent + sum(adapted) + hop)
        total = total + read
    return total, views


def by_agreement(matrix, ends, hop):
    rows = []
    for node in range(len(hop)):
        around = matrix[node].nonzero().flatten().tolist()
        weights = [(slow.cosine(ends[node], ends[other]) + 1) / 2 for other in around]
        heard = sum((w * hop[o] for w, o in zip(weights, around, strict=True)), hop.new_zeros(4))
        rows.append(heard / sum(weights) if around else heard)
    return torch.stack(rows)


@TAPS
@pytest.mark.parametrize("training", [False, True])
def test_dccf_adds_intents_and_neighbours_weighted_by_agreement(graph, tap, training):
    model = made("dccf", graph).train(training)
    forward_agrees(model, tap, lambda: dccf(model, graph, tap)[0])


def test_the_views_of_dccf_are_the_four_parts_of_every_layer(graph):
    model = made("dccf", graph)
    found, expected = model(model.ego_Nd, bent).views, dccf(model, graph, bent)[1]
    assert len(found) == 2 * 4
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


# AutoCF


def attention(layer, around, nodes):
    """Every node's softmax over `around[node]`, head by head, logits clamped to ±10."""
    width = nodes.shape[1] // layer.heads
    rows = []
    for node, others in enumerate(around):
        heads = []
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            query = nodes[node] @ layer.query[:, part]
            logits = [(query @ (nodes[o] @ layer.key[:, part])).clamp(-10, 10) for o in others]
            total = sum(logit.exp() for logit in logits) + 1e-8
            values = [nodes[o] @ layer.value[:, part] for o in others]
            heard = nodes.new_zeros(width)
            for logit, value in zip(logits, values, strict=True):
                heard = heard + logit.exp() / total * value
            heads.append(heard)
        rows.append(torch.cat(heads))
    return torch.stack(rows)


def autocf(model, matrix, decoder, tap):
    """Two propagations over `matrix`, one attention layer over the decoder, everything summed."""
    last = None

    def heard(layer, hop):
        nonlocal last
        last, read = tap(layer, hop)
        return last, read

    total = sum(slow.walk(matrix, model.ego_Nd, model.options.layers, heard))
    around = [row.nonzero().flatten().tolist() for row in decoder]
    hop = attention(model.attention[0], around, last)
    return total + heard(model.options.layers + 1, hop)[1]


def entries(adjacency):
    dense = torch.zeros(adjacency.nodes, adjacency.nodes)
    dense[adjacency.row_E, adjacency.col_E] = 1
    return dense


@TAPS
def test_autocf_ranks_with_the_whole_graph_in_both_halves(graph, tap):
    model = made("autocf", graph)
    model.begin_step(0)
    model.eval()
    whole = matrix_of(graph)
    forward_agrees(model, tap, lambda: autocf(model, whole, whole, tap))


@TAPS
def test_autocf_trains_on_the_visible_graph_and_attends_over_the_decoders(graph, tap):
    model = made("autocf", graph)
    model.begin_step(0)
    assert 0 < len(model.visible_E) < len(graph.weight_E)
    visible = slow.normalised(entries(model.visible))
    forward_agrees(model, tap, lambda: autocf(model, visible, entries(model.decoder), tap))


def test_attention_clamps_its_logits_to_10_on_both_sides(graph):
    model = made("autocf", graph).eval()
    with torch.no_grad():
        model.ego_Nd *= 30
    whole = matrix_of(graph)
    forward_agrees(model, untapped, lambda: autocf(model, whole, whole, untapped))


# All of them


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_tap_hears_of_every_layer_in_every_pass(graph, name, training):
    model = made(name, graph).train(training)
    heard = []
    model(model.ego_Nd, lambda layer, hop: (heard.append((layer, hop.shape)), hop, hop)[1:])
    passes = 3 if training and name in ("sgl", "simgcl") else 1
    assert heard == [(layer, (13, 4)) for layer in range(model.layers + 1)] * passes


@pytest.mark.parametrize("name", BACKBONES)
def test_a_node_embedding_is_as_wide_as_the_backbone_says(graph, name):
    model = made(name, graph)
    assert model(model.ego_Nd, untapped).nodes_ND.shape == (graph.nodes, model.width)


@pytest.mark.parametrize("name", BACKBONES)
def test_users_and_items_start_xavier_uniform_each_side_by_its_own_size(name):
    model = made(name, toy(users=300, items=12))
    users, items = model.ego_Nd[:300], model.ego_Nd[300:]
    for side in (users, items):
        bound = (6 / (len(side) + 4)) ** 0.5
        assert 0.8 * bound < side.abs().max() < bound
