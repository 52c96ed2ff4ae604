"""Contrastive and generative alignment against loops over the batch: values, gradients, rows."""

import pytest
import torch
from scipy import stats

from tests import slow_formulas as slow
from tests.toy_graphs import batch_of, toy
from training.alignments import ALIGNMENTS, Bridge
from training.backbones import BACKBONES

pytestmark = pytest.mark.usefixtures("double")
USERS, ITEMS, TEXT, TAU, WEIGHT = 7, 6, 5, 0.3, 0.7


@pytest.fixture
def graph():
    return toy(USERS, ITEMS)


@pytest.fixture
def batch(graph):
    found = batch_of(graph)
    for rows in found:
        assert len(rows.unique()) < len(rows)
    return found


def text(hops=1, nodes=USERS + ITEMS):
    return torch.randn(hops, nodes, TEXT, generator=torch.Generator().manual_seed(8))


def made(name, graph, body="lightgcn", hops=1, **options):
    torch.manual_seed(3)
    backbone = BACKBONES[body](graph, BACKBONES[body].Options(dim=4))
    return ALIGNMENTS[name](text(hops, graph.nodes), backbone, ALIGNMENTS[name].Options(**options))


def encoded(graph, width=4):
    """Node embeddings as a backbone might have left them."""
    random = torch.Generator().manual_seed(6)
    return torch.randn(graph.nodes, width, generator=random).requires_grad_()


def contrastive(nodes, project, side_by_side, batch, others=True):
    """methods.md: users against all users; liked, and other, items against the batch's own."""
    z = slow.mlp(project, side_by_side)
    total = slow.info_nce(nodes[batch.users], z[batch.users], z[:USERS], TAU)
    for rows in [batch.liked, batch.others][: 1 + others]:
        total = total + slow.info_nce(nodes[rows], z[rows], z[rows], TAU)
    return WEIGHT * total / len(batch.users)


@pytest.mark.parametrize(("body", "width"), [("lightgcn", 4), ("gccf", 12)])
def test_contrastive_tells_users_from_all_users_and_items_from_the_batchs(
    graph, batch, body, width
):
    model = made("contrastive", graph, body, weight=WEIGHT, temperature=TAU)
    nodes = encoded(graph, width)
    terms = model.losses(nodes, model.enter(nodes), batch)
    expected = contrastive(nodes, model.project, text()[0], batch)
    slow.agree(terms["align"], expected, [nodes, *model.parameters()])


def test_contrastive_leaves_out_other_items_where_the_backbone_has_no_use_for_them(graph, batch):
    model = made("contrastive", graph, "autocf", weight=WEIGHT, temperature=TAU)
    nodes = encoded(graph)
    terms = model.losses(nodes, model.enter(nodes), batch)
    expected = contrastive(nodes, model.project, text()[0], batch, others=False)
    slow.agree(terms["align"], expected, [nodes, *model.parameters()])


def test_contrastive_reads_all_hops_side_by_side(graph, batch):
    model = made("contrastive", graph, hops=3, weight=WEIGHT, temperature=TAU)
    nodes = encoded(graph)
    side_by_side = torch.stack([text(3)[:, node].flatten() for node in range(graph.nodes)])
    terms = model.losses(nodes, model.enter(nodes), batch)
    expected = contrastive(nodes, model.project, side_by_side, batch)
    slow.agree(terms["align"], expected, [nodes, *model.parameters()])


def test_an_item_that_is_liked_and_other_in_one_batch_counts_in_both_terms(graph):
    batch = batch_of(graph)
    assert set(batch.liked.tolist()) & set(batch.others.tolist())
    model = made("contrastive", graph, weight=WEIGHT, temperature=TAU)
    nodes = encoded(graph)
    expected = contrastive(nodes, model.project, text()[0], batch)
    torch.testing.assert_close(model.losses(nodes, model.enter(nodes), batch)["align"], expected)


# Generative


def generative(nodes, rebuild, side_by_side, hidden):
    """methods.md: the mean over hidden nodes, told from the other hidden ones."""
    texts = side_by_side[hidden]
    total = slow.info_nce(slow.mlp(rebuild, nodes[hidden]), texts, texts, TAU)
    return WEIGHT * total / len(hidden)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_generative_rebuilds_the_text_of_every_hidden_node_in_one_softmax(graph, batch, share):
    model = made("generative", graph, weight=WEIGHT, temperature=TAU, share=share)
    nodes = encoded(graph)
    entered = model.enter(nodes)
    terms = model.losses(nodes, entered, batch)
    expected = generative(nodes, model.rebuild, text()[0], entered.hidden_M.tolist())
    slow.agree(terms["align"], expected, [nodes, *model.rebuild.parameters()])


def test_generative_reads_all_hops_side_by_side(graph, batch):
    model = made("generative", graph, hops=2, weight=WEIGHT, temperature=TAU, share=0.5)
    nodes = encoded(graph)
    entered = model.enter(nodes)
    side_by_side = torch.stack([text(2)[:, node].flatten() for node in range(graph.nodes)])
    terms = model.losses(nodes, entered, batch)
    expected = generative(nodes, model.rebuild, side_by_side, entered.hidden_M.tolist())
    slow.agree(terms["align"], expected, [nodes, *model.rebuild.parameters()])


def test_what_generative_rebuilds_does_not_depend_on_the_batch(graph, batch):
    model = made("generative", graph, share=0.5)
    nodes = encoded(graph)
    entered = model.enter(nodes)
    one, two = (model.losses(nodes, entered, some)["align"] for some in (batch, batch_of(graph, 3)))
    assert one == two


def test_hidden_nodes_enter_as_the_token_and_the_others_as_they_are(graph):
    model, ego = made("generative", graph, share=0.4), encoded(graph)
    with torch.no_grad():
        model.token_d.copy_(torch.arange(4.0))
    entered = model.enter(ego)
    hidden = set(entered.hidden_M.tolist())
    assert len(hidden) == len(entered.hidden_M) == int(0.4 * 13)
    for node in range(13):
        expected = model.token_d if node in hidden else ego[node]
        assert torch.equal(entered.ego_Nd[node], expected)


def test_the_token_learns_from_all_hidden_nodes_and_hidden_id_embeddings_from_none(graph):
    model, ego = made("generative", graph, share=0.4), encoded(graph)
    entered = model.enter(ego)
    weights = torch.arange(52.0).reshape(13, 4)
    (entered.ego_Nd * weights).sum().backward()
    torch.testing.assert_close(model.token_d.grad, weights[entered.hidden_M].sum(0))
    expected = weights.index_fill(0, entered.hidden_M, 0)
    torch.testing.assert_close(ego.grad, expected)


def test_the_token_is_zero_at_first(graph):
    assert made("generative", graph).token_d.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (0.01, 1), (0.08, 1), (0.16, 2), (1.0, 13)])
def test_at_least_one_node_is_hidden_and_shares_are_rounded_down(graph, share, count):
    assert len(made("generative", graph, share=share).enter(encoded(graph)).hidden_M) == count


def test_users_and_items_are_hidden_alike(graph):
    model, ego = made("generative", graph, share=0.3), encoded(graph)
    torch.manual_seed(0)
    drawn = torch.cat([model.enter(ego).hidden_M for _ in range(1000)])
    counts = torch.bincount(drawn, minlength=13)
    # Draws without replacement are more even than chance, never less.
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_nothing_is_hidden_while_ranking(graph, batch):
    model, ego = made("generative", graph).eval(), encoded(graph)
    entered = model.enter(ego)
    assert entered.ego_Nd is ego and entered.hidden_M is None
    assert model.losses(ego, entered, batch) == {}


# None


def test_without_alignment_nothing_is_changed_and_nothing_added(graph, batch):
    model, ego = made("none", graph), encoded(graph)
    entered = model.enter(ego)
    assert entered.ego_Nd is ego and entered.hidden_M is None
    assert entered.tap(2, ego) == (ego, ego)
    assert model.losses(ego, entered, batch) == {}
    assert list(model.parameters()) == []


# All of them


@pytest.mark.parametrize("name", ["contrastive", "generative"])
def test_the_weight_multiplies_the_term_once(graph, batch, name):
    nodes, found = encoded(graph), []
    for weight in (1.0, 10.0):
        model = made(name, graph, weight=weight)
        found.append(model.losses(nodes, model.enter(nodes), batch)["align"])
    torch.testing.assert_close(found[1], 10 * found[0])


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_text_is_a_constant_that_moves_with_the_model_and_is_in_no_checkpoint(graph, batch, name):
    model, nodes = made(name, graph), encoded(graph)
    entered = model.enter(nodes)
    terms = model.losses(nodes, entered, batch)
    loss = sum(terms.values(), entered.tap(1, entered.ego_Nd)[1].sum())
    loss.backward()
    assert not model.text_HNT.requires_grad and model.text_HNT.grad is None
    assert "text_HNT" in dict(model.named_buffers())
    assert "text_HNT" not in model.state_dict()
    assert model.float().text_HNT.dtype == torch.float32


# The projections


@pytest.mark.parametrize(("text", "dim", "middle"), [(1536, 32, 784), (1536, 96, 816), (7, 4, 5)])
def test_the_projections_have_the_widths_of_the_reference_code(text, dim, middle):
    for bridge, into, out in ((Bridge(text, dim), text, dim), (Bridge(dim, text), dim, text)):
        shapes = [tuple(parameter.shape) for parameter in bridge.parameters()]
        assert shapes == [(middle, into), (middle,), (out, middle), (out,)]


def test_the_projections_are_xavier_uniform_with_torchs_own_biases():
    torch.manual_seed(0)
    for layer in (Bridge(300, 40)[0], Bridge(300, 40)[2]):
        out, into = layer.weight.shape
        bound = (6 / (out + into)) ** 0.5
        assert 0.98 * bound < layer.weight.abs().max() < bound
        assert abs(layer.weight.std().item() / (bound / 3**0.5) - 1) < 0.05
        assert 0.8 * into**-0.5 < layer.bias.abs().max() < into**-0.5


def test_a_projection_in_bfloat16_is_a_little_coarser_and_still_gives_and_learns_in_float32():
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    bridge, rows = Bridge(300, 40), torch.randn(20, 300)
    exact = bridge(rows)
    bridge.half_precision = True
    coarse = bridge(rows)
    assert coarse.dtype == torch.float32
    assert 0 < (coarse - exact).norm() / exact.norm() < 0.02
    coarse.sum().backward()
    assert all(p.grad.dtype == p.dtype == torch.float32 for p in bridge.parameters())
