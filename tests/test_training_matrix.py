"""What holds for each of the 6 × 4 recommenders: they learn a board, and numbers are only names."""

from types import SimpleNamespace

import pytest
import torch

from tests.toy_graphs import checkerboard, pairs_of, ring, toy
from training.alignments import ALIGNMENTS
from training.backbones import BACKBONES
from training.experiment import inner_product
from training.graph import Adjacency, TrainGraph
from training.metrics import Pairs, evaluate
from training.recommender import build
from training.sampling import Batch, Sampler

PAIRS = [(body, align) for body in BACKBONES for align in ALIGNMENTS]
EACH = pytest.mark.parametrize(("body", "align"), PAIRS)
OPTIONS = {"autocf": {"seeds": 3}, "dccf": {"intents": 8}}


def made(body, align, graph, text_HNT, dim=16):
    torch.manual_seed(0)
    return build(
        body,
        align,
        graph,
        text_HNT,
        backbone_options={"dim": dim, **OPTIONS.get(body, {})},
        align_options={"share": 0.3} if align == "generative" else {},
        decay=1e-4,
    )


# Learning


def unit_text(graph):
    random = torch.Generator().manual_seed(1)
    return torch.nn.functional.normalize(torch.randn(1, graph.nodes, 6, generator=random), dim=-1)


def training_recall(model, graph, cutoff):
    """How much of what users trained on ranks first; 1 says that it is learnt by heart."""
    train = Pairs.of(graph.users, graph.items, graph.user_P, graph.item_P)
    score = inner_product(model.embed(), graph.users)
    return evaluate(score, train, [], (cutoff,))[f"recall@{cutoff}"]


def learn(model, graph, epochs):
    """Trains; yields the mean loss of each epoch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    sampler = Sampler(graph)
    for _ in range(epochs):
        losses = []
        for step, batch in enumerate(sampler.epoch(32)):
            terms = model.losses(batch, step)
            # Gumbel noise is all that this term would add to the curve.
            loss = torch.stack([v for name, v in terms.items() if name != "infomax"]).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        yield sum(losses) / len(losses)


@EACH
def test_each_learns_a_checkerboard_by_heart_and_its_loss_falls(body, align):
    graph = checkerboard(users=12, items=16, colours=4)
    model = made(body, align, graph, unit_text(graph))
    losses = list(learn(model, graph, epochs=20))
    assert training_recall(model, graph, cutoff=4) > 0.98
    assert sum(losses[-3:]) / 3 < losses[0]


@EACH
def test_each_learns_a_ring_of_which_propagation_alone_does_not_know_enough(body, align):
    graph = ring()
    model = made(body, align, graph, unit_text(graph))
    recalls = [training_recall(model, graph, cutoff=3)]
    for epoch, _ in enumerate(learn(model, graph, epochs=40)):
        if epoch % 5 == 4:
            recalls.append(training_recall(model, graph, cutoff=3))
    assert recalls[0] < 0.88 and max(recalls) > 0.95


# Renumbering


@pytest.fixture
def doubled(double, monkeypatch):
    """Two worlds of the same nodes under other numbers, with everything random alike in both."""
    graph = toy(users=9, items=8, cold_users=1, cold_items=1)
    random = torch.Generator().manual_seed(4)
    users, items = (torch.randperm(n, generator=random) for n in (graph.users, graph.items))
    # Node n of the first world is node place_N[n] of the second.
    place_N = torch.cat([users, items + graph.users])
    pairs = torch.tensor(pairs_of(graph))
    turned = TrainGraph.of(9, 8, users[pairs[:, 0]], items[pairs[:, 1]])
    text_HNT = torch.randn(2, graph.nodes, 5, generator=random)
    # Half-way draws: every edge is kept, noise is the same for every node.
    monkeypatch.setattr(torch, "rand_like", lambda rows: torch.full_like(rows, 0.5))
    return SimpleNamespace(
        graphs=(graph, turned),
        texts=(text_HNT, moved(text_HNT, place_N, dim=1)),
        place_N=place_N,
    )


def moved(rows, place_N, dim=0):
    """The rows of the first world where the second one has them."""
    return torch.empty_like(rows).index_copy_(dim, place_N, rows)


def twins(body, align, worlds, monkeypatch):
    """The same recommender in both worlds, with the same nodes hidden and the same pairs drawn."""
    one, two = (made(body, align, g, t) for g, t in zip(worlds.graphs, worlds.texts, strict=True))
    with torch.no_grad():
        two.load_state_dict(one.state_dict())
        two.backbone.ego_Nd.copy_(moved(one.backbone.ego_Nd, worlds.place_N))
    if align == "generative":
        order = torch.randperm(len(worlds.place_N))
        for model, places in ((one, order), (two, worlds.place_N[order])):
            replay_hidden(model.alignment, places, monkeypatch)
    if body == "autocf":
        replay_decoder(one.backbone, two.backbone, worlds.place_N, monkeypatch)
    return one, two


def replay_hidden(alignment, places, monkeypatch):
    enter = alignment.enter

    def with_these(ego_Nd):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randperm", lambda count, device: places)
            return enter(ego_Nd)

    monkeypatch.setattr(alignment, "enter", with_these)


def replay_decoder(one, two, place_N, monkeypatch):
    """The second world's decoder has the first one's edges. Call the first world first."""

    def renumbered(touched_N):
        assert torch.equal(touched_N.nonzero().squeeze(-1), touched_there())
        found = one.decoder
        return Adjacency.of(found.nodes, place_N[found.row_E], place_N[found.col_E])

    def touched_there():
        _, touched_N = one.hide(one.explained_N.topk(one.options.seeds).indices)
        return place_N[touched_N.nonzero().squeeze(-1)].sort().values

    monkeypatch.setattr(two, "decoded", renumbered)


@EACH
def test_renumbering_users_and_items_changes_no_loss_gradient_or_score(
    body, align, doubled, monkeypatch
):
    place_N = doubled.place_N
    one, two = twins(body, align, doubled, monkeypatch)
    (batch,) = Sampler(one.backbone.graph).epoch(1000)
    there = Batch(*(place_N[rows] for rows in batch))
    terms = one.losses(batch, 0), two.losses(there, 0)
    assert terms[0].keys() == terms[1].keys()
    for name in terms[0]:
        torch.testing.assert_close(terms[0][name], terms[1][name])
    for found in terms:
        torch.stack(list(found.values())).sum().backward()
    theirs = dict(two.named_parameters())
    for name, mine in one.named_parameters():
        expected = moved(mine.grad, place_N) if name == "backbone.ego_Nd" else mine.grad
        torch.testing.assert_close(theirs[name].grad, expected)
    embedded = one.embed()
    torch.testing.assert_close(two.embed(), moved(embedded, place_N))
    assert not torch.allclose(moved(embedded, place_N), embedded)
