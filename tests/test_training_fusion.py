"""Fusion: h^l = W^l GCN(h^(l-1)), z^l = MLP^l(h^l + P^l T^l), the readout takes z^l."""

import pytest
import torch

from tests import slow_formulas as slow
from tests.toy_graphs import batch_of, pairs_of, toy
from training.alignments import Fusion
from training.backbones.lightgcn import GCCF, LightGCN
from training.recommender import Recommender

pytestmark = pytest.mark.usefixtures("double")
LAYERS, TEXT = 3, 5


@pytest.fixture
def graph():
    return toy(cold_users=1, cold_items=1)


def made(graph, hops, body=LightGCN, **options):
    """With every parameter away from where it starts."""
    torch.manual_seed(3)
    given = {"keep": 1.0} if body is LightGCN else {}
    backbone = body(graph, body.Options(dim=4, layers=LAYERS, **given))
    text_HNT = torch.randn(hops, graph.nodes, TEXT)
    alignment = Fusion(text_HNT, backbone, Fusion.Options(**options))
    with torch.no_grad():
        for parameter in alignment.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return Recommender(backbone, alignment, decay=0.0)


def hop_read(layer, hops):
    """Layer l reads hop l; layers beyond the last hop read the last one."""
    return min(layer, hops - 1)


def residual(mix, rows):
    hidden = rows @ mix.inner.weight.T + mix.inner.bias
    hidden = torch.where(hidden > 0, hidden, 0.01 * hidden)
    return rows + hidden @ mix.outer.weight.T + mix.outer.bias


def readouts(model, ego, graph, loops=False):
    """z⁰ … z^L. Between layers goes h^l, without text."""
    alignment, hops = model.alignment, len(model.alignment.text_HNT)
    dense = slow.adjacency(graph.users, graph.items, pairs_of(graph), loops)
    matrix, hop, found = slow.normalised(dense), ego, []
    for layer in range(LAYERS + 1):
        if layer:
            hop = matrix @ hop @ alignment.carry[layer].weight.T
        text = alignment.text_HNT[hop_read(layer, hops)] @ alignment.text[layer].weight.T
        found.append(residual(alignment.mix[layer], hop + text))
    return found


def used(model):
    """Layer 0 carries nothing; its W is there and unused."""
    named = model.named_parameters()
    return [p for name, p in named if not name.startswith("alignment.carry.0.")]


@pytest.mark.parametrize("hops", [1, 2, 4, 6])
def test_fusion_on_lightgcn_is_the_sum_of_what_the_article_writes(graph, hops):
    model, batch = made(graph, hops), batch_of(graph)
    nodes = sum(readouts(model, model.backbone.ego_Nd, graph))
    expected = slow.bpr(nodes[batch.users], nodes[batch.liked], nodes[batch.others])
    terms = model.losses(batch, 0)
    slow.agree(terms["rank"], expected, used(model))
    assert list(terms) == ["rank", "decay"]


def test_fusion_on_gccf_puts_what_the_article_writes_side_by_side(graph):
    model, batch = made(graph, 2, GCCF), batch_of(graph)
    nodes = torch.cat(readouts(model, model.backbone.ego_Nd, graph, loops=True), dim=1)
    expected = slow.bpr(nodes[batch.users], nodes[batch.liked], nodes[batch.others])
    slow.agree(model.losses(batch, 0)["rank"], expected, used(model))


def test_ranking_reads_a_zero_id_embedding_for_cold_nodes_and_their_text(graph):
    model = made(graph, 2)
    cold = [6, 12]
    ego = model.backbone.ego_Nd.detach().clone()
    assert (ego[cold] != 0).all()
    ego[cold] = 0
    found = model.embed()
    torch.testing.assert_close(found, sum(readouts(model, ego, graph)).detach())
    assert (found[cold] != 0).all()


def test_training_reads_the_id_embedding_of_cold_nodes(graph):
    model = made(graph, 2)
    ego = model.backbone.ego_Nd
    assert model.alignment.enter(ego).ego_Nd is ego


def test_at_first_w_and_the_mlp_are_the_identity(graph):
    torch.manual_seed(0)
    backbone = LightGCN(graph, LightGCN.Options(dim=4, layers=LAYERS))
    text_HNT, hop = torch.randn(2, graph.nodes, TEXT), torch.randn(graph.nodes, 4)
    alignment = Fusion(text_HNT, backbone, Fusion.Options())
    tap = alignment.enter(backbone.ego_Nd).tap
    for layer in range(LAYERS + 1):
        carried, read = tap(layer, hop)
        text = text_HNT[hop_read(layer, 2)] @ alignment.text[layer].weight.T
        torch.testing.assert_close(carried, hop)
        torch.testing.assert_close(read, hop + text)


def test_without_transform_and_mlp_the_projected_text_is_added_and_no_more(graph):
    model = made(graph, 2, transform=False, mlp=False)
    names = {name.rpartition(".")[0] for name, _ in model.alignment.named_parameters()}
    assert names == {f"text.{layer}" for layer in range(LAYERS + 1)}
    hop = torch.randn(graph.nodes, 4)
    carried, read = model.alignment.enter(hop).tap(2, hop)
    text = model.alignment.text_HNT[1] @ model.alignment.text[2].weight.T
    assert carried is hop
    torch.testing.assert_close(read, hop + text)
