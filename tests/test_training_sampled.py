"""Sampled neighbourhoods: unbiased, exact where nothing is left out, and cheap in wide graphs."""

import pytest
import torch

from stores.arrays import load_arrays
from tests.toy_graphs import batch_of, toy
from tests.worlds import make
from training.alignments import ALIGNMENTS
from training.experiment import Spec, Task, train_seed
from training.graph import TrainGraph
from training.group import ALONE
from training.neighbours import Neighbours
from training.recommender import build
from training.sampling import Batch
from training.step import stepper
from training.trainer import Plan, Progress
from verbs.flags import SAMPLE

USERS, ITEMS, NODES = 12, 10, 22
ALL = NODES
"""A fanout that no node's degree reaches."""

pytestmark = pytest.mark.usefixtures("double")


def graph():
    return toy(USERS, ITEMS, density=0.4)


def made(body="lightgcn", align="none", decay=0.0, **options):
    torch.manual_seed(0)
    return build(
        body,
        align,
        graph(),
        torch.randn(2, NODES, 6, generator=torch.Generator().manual_seed(2)),
        backbone_options={"dim": 4, "layers": 3, **({"keep": 1.0} if body == "lightgcn" else {})},
        align_options=options,
        decay=decay,
    )


def around(model, nodes, *fanouts):
    return Neighbours(*model.backbone.walked, fanouts).around(nodes)


def gradients(model, terms):
    """The summed loss and its gradient by parameter, all of them dense."""
    model.zero_grad()
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    found = {n: p.grad.to_dense() for n, p in model.named_parameters() if p.grad is not None}
    return loss.detach(), found


def everybody():
    """A batch that holds every node."""
    numbers = torch.arange(30)
    return Batch(numbers % USERS, USERS + numbers % ITEMS, USERS + (numbers + 3) % ITEMS)


def same_step(model, batch, near):
    torch.manual_seed(3)
    whole = gradients(model, model.losses(batch, 0))
    torch.manual_seed(3)
    near_loss, near_gradients = gradients(model, model.losses_near(batch, near))
    torch.testing.assert_close(near_loss, whole[0])
    assert near_gradients.keys() == whole[1].keys()
    for name, gradient in near_gradients.items():
        torch.testing.assert_close(gradient, whole[1][name])


# Exact where all neighbours are taken


@pytest.mark.parametrize("align", ["none", "fusion"])
@pytest.mark.parametrize("body", ["lightgcn", "gccf"])
def test_with_all_neighbours_a_step_is_the_whole_graphs(body, align):
    model = made(body, align)
    batch = batch_of(model.backbone.graph, size=8)
    near = around(model, torch.cat(batch), *[ALL] * 3)
    assert len(near.seeds_S) < NODES
    same_step(model, batch, near)


@pytest.mark.parametrize("align", ["contrastive", "generative"])
@pytest.mark.parametrize("body", ["lightgcn", "gccf"])
def test_so_it_is_with_negatives_where_the_batch_holds_every_node(body, align):
    model = made(body, align, weight=1.0)
    near = around(model, torch.arange(NODES), *[ALL] * 3)
    same_step(model, everybody(), near)


def test_a_users_negatives_are_the_batchs_users():
    model = made("lightgcn", "contrastive", weight=1.0)
    batch = Batch(torch.tensor([0, 5, 5]), torch.tensor([12, 13, 14]), torch.tensor([15, 16, 17]))
    near = around(model, torch.cat(batch), 50, 50, 50)
    term = model.losses_near(batch, near)["align"]
    with torch.no_grad():
        model.alignment.text_HNT[:, [1, 2, 3, 4, *range(6, 12)]] = 9.0
    torch.testing.assert_close(model.losses_near(batch, near)["align"], term)


def test_l2_is_over_the_rows_that_were_read_and_every_other_parameter():
    model = made("lightgcn", "fusion", decay=0.5)
    batch = Batch(*torch.tensor([[0], [12], [13]]))
    near = around(model, torch.cat(batch), 1, 1, 1)
    assert len(near.nodes_M) < NODES
    rows = model.backbone.ego_Nd[near.nodes_M].square().sum()
    others = [p.square().sum() for n, p in model.named_parameters() if n != "backbone.ego_Nd"]
    torch.testing.assert_close(model.losses_near(batch, near)["decay"], 0.5 * (rows + sum(others)))


# Unbiased where not


def test_the_mean_of_many_samples_is_the_whole_graphs_propagation():
    """4,000 samples; each coordinate within five standard errors of Σ Ã^l E."""
    model = made()
    whole = model.embed()
    seeds = torch.arange(0, NODES, 2)
    torch.manual_seed(1)
    drawn = []
    for _ in range(4000):
        near = around(model, seeds, 2, 2, 1)
        assert len(near.blocks) == 3
        ego_Md = model.backbone.ego_Nd[near.nodes_M]
        drawn.append(model.backbone.forward_near(ego_Md, model.alignment.enter(ego_Md).tap, near))
    values = torch.stack([one.nodes_ND.detach() for one in drawn])
    error = values.std(0) / 4000**0.5
    assert (error > 0).any()
    assert ((values.mean(0) - whole[seeds]).abs() <= 5 * error + 1e-12).all()


def test_of_a_long_row_each_entry_is_drawn_equally_often():
    """6,000 draws; each entry within five standard deviations of a binomial's mean."""
    matrix, value_E = graph().adjacency, graph().weight_E
    row = int(matrix.degree_N.argmax())
    neighbours = matrix.col_E[matrix.row_E == row]
    draws, fanout, counts = 6000, len(neighbours) - 2, torch.zeros(NODES)
    sampler = Neighbours(matrix, value_E, [fanout])
    torch.manual_seed(1)
    for _ in range(draws):
        near = sampler.around(torch.tensor([row]))
        assert len(near.blocks[0].col_e) == fanout
        counts += torch.bincount(near.nodes_M[near.blocks[0].col_e], minlength=NODES)
    assert counts.nonzero().squeeze(-1).tolist() == neighbours.tolist()
    share = fanout / len(neighbours)
    bound = 5 * (draws * share * (1 - share)) ** 0.5
    assert (counts[neighbours] - draws * share).abs().max() < bound


def test_what_a_step_reads_is_bounded_by_the_fanouts_in_any_graph():
    users, items = 3000, 5
    pairs = torch.cartesian_prod(torch.arange(users), torch.arange(items)).unbind(1)
    graph = TrainGraph.of(users, items, *pairs)
    near = Neighbours(graph.adjacency, graph.weight_E, [3, 2]).around(torch.tensor([0, users]))
    assert len(near.nodes_M) <= 2 * (1 + 3) * (1 + 2)


# Training


def test_a_sampled_step_moves_only_the_rows_that_it_read():
    model = made()
    before = model.backbone.ego_Nd.detach().clone()
    stepping = stepper(model, 0.1, (1, 1, 1), ALONE)
    torch.manual_seed(0)
    near = stepping.neighbours.around(torch.tensor([0, 12, 13]))
    torch.manual_seed(0)
    stepping.step(Batch(*torch.tensor([[0], [12], [13]])), 0)
    moved = (model.backbone.ego_Nd != before).any(-1).nonzero().squeeze(-1)
    assert set(moved.tolist()) <= set(near.nodes_M.tolist()) and 0 < len(moved) < NODES


@pytest.mark.parametrize("align", ALIGNMENTS)
def test_the_sample_is_learnt_about_as_well_as_with_the_whole_graph(tmp_path, align):
    """Validation Recall@20; an item has some eight neighbours, of which at most five are drawn."""
    torch.set_default_dtype(torch.float32)
    arrays = load_arrays(SAMPLE, tmp_path, 0)
    found = [recall(arrays, align, fanouts) for fanouts in ((), (5, 2, 1))]
    assert found[0] > 0.15
    assert found[1] == pytest.approx(found[0], abs=0.04)


def recall(arrays, align, fanouts):
    users, items = len(arrays.users), len(arrays.items)
    parts = [torch.from_numpy(part) for part in (arrays.train, arrays.val, arrays.test)]
    random = torch.Generator().manual_seed(0)
    text_HNT = torch.randn(1, users + items, 8, generator=random)
    task = Task.of(users, items, parts, text_HNT, torch.device("cpu"))
    plan = Plan(epochs=31, batch=256, learning_rate=0.01, patience=99, fanouts=fanouts)
    spec = Spec(align=align, backbone_options={"dim": 16}, plan=plan)
    return train_seed(task, spec, 0, Progress(), lambda _: None)[0].val["recall@20"]


# The verb


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fanout", "3"], "--fanout has 1 numbers, and the backbone 3 layers"),
        (["--fanout", "3,0,2"], "a number from 1 to 1,000,000"),
        (["--fanout", "3,2,2", "--backbone", "sgl"], "SGL needs the whole graph"),
    ],
)
def test_what_cannot_be_sampled_is_told(cli, tmp_path, words, told):
    done = cli("train", "--data", make(tmp_path / "data"), *words)
    assert done.code == 2 and told in done.err and "Traceback" not in done.err


def test_a_sampled_training_is_a_run_like_any_other(cli, tmp_path):
    place = ["--data", make(tmp_path / "data"), "--epochs", "4", "--batch", "64", "--json"]
    whole, sampled = (cli("train", *place, *flag).summary for flag in ([], ["--fanout", "3,2,1"]))
    assert whole["run"] != sampled["run"] and sampled["test"].keys() == whole["test"].keys()
    again = cli("train", *place, "--fanout", "3,2,1")
    assert "epoch" not in again.err and again.summary["test"] == sampled["test"]
