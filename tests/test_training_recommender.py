"""A backbone and an alignment joined: which terms there are, what they sum to, what is ranked."""

import pytest
import torch

from errors import UsageError
from tests import slow_formulas as slow
from tests.toy_graphs import batch_of, pairs_of, toy
from training.alignments import ALIGNMENTS
from training.backbones import BACKBONES
from training.backbones.base import untapped
from training.recommender import build

pytestmark = pytest.mark.usefixtures("double")
TAU, WEIGHT, DECAY = 0.3, 0.7, 0.01
PAIRS = [(body, align) for body in BACKBONES for align in ALIGNMENTS]


@pytest.fixture
def graph():
    return toy()


def made(graph, body="lightgcn", align="none", body_options=None, align_options=None):
    torch.manual_seed(3)
    return build(
        body,
        align,
        graph,
        torch.randn(1, graph.nodes, 5),
        backbone_options={"dim": 4, **(body_options or {})},
        align_options=align_options or {},
        decay=DECAY,
    )


def total(terms):
    return torch.stack(list(terms.values())).sum()


def decay(model):
    return DECAY * sum((weight**2).sum() for weight in model.parameters())


def lightgcn(graph, ego):
    matrix = slow.normalised(slow.adjacency(graph.users, graph.items, pairs_of(graph)))
    return ego + matrix @ ego + matrix @ matrix @ ego


def ranking(nodes, batch):
    return slow.bpr(nodes[batch.users], nodes[batch.liked], nodes[batch.others])


WHOLE = {"keep": 1.0, "layers": 2}


def test_lightgcn_alone_minimises_bpr_and_the_norm_of_every_parameter(graph):
    model, batch = made(graph, body_options=WHOLE), batch_of(graph)
    expected = ranking(lightgcn(graph, model.backbone.ego_Nd), batch) + decay(model)
    slow.agree(total(model.losses(batch, 0)), expected, model.parameters())


def test_lightgcn_with_contrastive_text_minimises_the_sum_that_methods_writes(graph):
    options = {"weight": WEIGHT, "temperature": TAU}
    model, batch = made(graph, "lightgcn", "contrastive", WHOLE, options), batch_of(graph)
    nodes = lightgcn(graph, model.backbone.ego_Nd)
    z = slow.mlp(model.alignment.project, model.alignment.text_HNT[0])
    aligned = slow.info_nce(nodes[batch.users], z[batch.users], z[: graph.users], TAU)
    for rows in (batch.liked, batch.others):
        aligned = aligned + slow.info_nce(nodes[rows], z[rows], z[rows], TAU)
    aligned = WEIGHT * aligned / len(batch.users)
    expected = ranking(nodes, batch) + aligned + decay(model)
    slow.agree(total(model.losses(batch, 0)), expected, model.parameters())


def test_lightgcn_with_generative_text_ranks_and_rebuilds_with_one_pass_over_hidden_nodes(graph):
    options = {"weight": WEIGHT, "temperature": TAU, "share": 0.4}
    model, batch = made(graph, "lightgcn", "generative", WHOLE, options), batch_of(graph)
    torch.manual_seed(5)
    hidden = torch.randperm(graph.nodes)[: int(0.4 * graph.nodes)].tolist()
    alignment, ego = model.alignment, model.backbone.ego_Nd
    rows = [alignment.token_d if node in hidden else ego[node] for node in range(graph.nodes)]
    nodes = lightgcn(graph, torch.stack(rows))
    guess, text = slow.mlp(alignment.rebuild, nodes[hidden]), alignment.text_HNT[0][hidden]
    rebuilt = WEIGHT * slow.info_nce(guess, text, text, TAU) / len(hidden)
    expected = ranking(nodes, batch) + rebuilt + decay(model)
    torch.manual_seed(5)
    slow.agree(total(model.losses(batch, 0)), expected, model.parameters())


@pytest.mark.parametrize("body", ["sgl", "simgcl"])
def test_all_views_hide_the_same_nodes(graph, body, monkeypatch):
    model = made(graph, body, "generative", align_options={"share": 0.5})
    enter, first = model.alignment.enter, []

    def tap(layer, hop_Nd):
        if layer == 0:
            first.append(hop_Nd)
        return hop_Nd, hop_Nd

    monkeypatch.setattr(model.alignment, "enter", lambda ego: enter(ego)._replace(tap=tap))
    model.losses(batch_of(graph), 0)
    assert len(first) == 3
    assert all(one is first[0] for one in first)


@pytest.mark.parametrize("body", ["sgl", "simgcl"])
def test_alignment_reads_the_view_that_ranks(graph, body, monkeypatch):
    model, read = made(graph, body, "contrastive"), []
    monkeypatch.setattr(model.alignment, "losses", lambda nodes, *rest: read.append(nodes) or {})
    model.losses(batch_of(graph), 0)
    whole = model.backbone.eval()(model.backbone.ego_Nd, untapped).nodes_ND
    torch.testing.assert_close(read[0], whole)


@pytest.mark.parametrize(("body", "align"), PAIRS)
def test_every_term_has_its_name_and_the_decay_is_over_every_parameter(graph, body, align):
    model = made(graph, body, align)
    terms = model.losses(batch_of(graph), 0)
    expected = ["rank"]
    expected += ["contrast"] * (body in ("sgl", "simgcl", "dccf", "autocf"))
    expected += ["infomax"] * (body == "autocf")
    expected += ["align"] * (align in ("contrastive", "generative"))
    assert list(terms) == [*expected, "decay"]
    torch.testing.assert_close(terms["decay"], decay(model))


@pytest.mark.parametrize(("body", "align"), PAIRS)
def test_embedding_draws_nothing_at_random_and_leaves_training_as_it_was(graph, body, align):
    model = made(graph, body, align)
    model.losses(batch_of(graph), 0)
    state = torch.get_rng_state()
    first, second = model.embed(), model.embed()
    assert torch.equal(first, second) and torch.equal(torch.get_rng_state(), state)
    assert model.training and model.backbone.training and model.alignment.training
    assert not first.requires_grad
    assert first.shape == (graph.nodes, model.backbone.width)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"body": "lightgnc"}, "lightgcn, gccf"),
        ({"align": "contrast"}, "none, contrastive"),
        ({"body_options": {"depth": 3}}, "dim, layers, keep"),
        ({"align": "contrastive", "align_options": {"share": 0.1}}, "weight, temperature"),
    ],
)
def test_a_name_that_is_not_known_is_answered_with_those_that_are(graph, change, told):
    with pytest.raises(UsageError) as error:
        made(graph, **change)
    assert told in error.value.hint
