"""Seeds, controls, cold nodes, tuning and the paired test."""

import math
from dataclasses import replace
from statistics import mean

import pytest
import torch
from scipy import stats

from errors import TrainingError
from tests.toy_graphs import pairs_of, toy
from training import experiment
from training.experiment import (
    Spec,
    Task,
    cold_tested,
    deviations,
    device_of,
    inner_product,
    means,
    paired,
    shuffled,
    train_seed,
    tune,
)
from training.metrics import CUTOFFS, Pairs, evaluate
from training.presets import GRID
from training.trainer import METRIC, Plan, Progress

USERS, ITEMS, COLD_USERS, COLD_ITEMS = 30, 70, 4, 30
SPEC = Spec(
    backbone_options={"dim": 4}, plan=Plan(epochs=4, batch=16, learning_rate=0.05), decay=1e-4
)


@pytest.fixture
def task():
    """A few cold users and many cold items; validation and test hold pairs of every kind."""
    graph = toy(USERS, ITEMS, COLD_USERS, COLD_ITEMS, density=0.15)
    random = torch.Generator().manual_seed(1)
    board = torch.rand(USERS, ITEMS, generator=random)
    board[graph.user_P, graph.item_P] = 1
    train = torch.tensor(pairs_of(graph))
    val, test = (board < 0.05).nonzero(), ((board >= 0.05) & (board < 0.12)).nonzero()
    text_HNT = torch.randn(2, USERS + ITEMS, 5, generator=random)
    return Task.of(USERS, ITEMS, [train, val, test], text_HNT, torch.device("cpu"))


ALL_PLACED = torch.ones(USERS + ITEMS, dtype=torch.bool)


def every_test_pair(task):
    parts = (task.test, task.cold_test)
    return sorted(
        {
            pair
            for part in parts
            for pair in zip(part.user_P.tolist(), part.item_P.tolist(), strict=True)
        }
    )


def nodes_of(task, width=3):
    return torch.randn(task.graph.nodes, width, generator=torch.Generator().manual_seed(2))


def run(task, spec, seed):
    return train_seed(task, spec, seed, Progress(), lambda _: None)


def numbers(outcome):
    return replace(outcome, epoch_seconds=0.0)


# Seeds


@pytest.mark.parametrize("align", ["generative", "contrastive"])
def test_everything_random_follows_from_the_seed(task, align):
    spec = replace(SPEC, backbone="autocf", align=align, shuffled=True)
    (one, nodes), (two, same) = run(task, spec, 1), run(task, spec, 1)
    assert numbers(one) == numbers(two) and torch.equal(nodes, same)
    other, _ = run(task, spec, 2)
    assert other.val != one.val


def test_an_outcome_tells_the_best_validation_and_tests_the_same_embeddings(task):
    outcome, nodes = run(task, SPEC, 0)
    score = inner_product(nodes, USERS)
    assert outcome.val == evaluate(score, task.val, [task.train])
    assert outcome.test == experiment.tested(task, nodes, mask_val=False)
    assert outcome.cold == cold_tested(task, score, (nodes != 0).any(dim=-1))
    assert (outcome.epochs, outcome.seed) == (4, 0) and outcome.best_epoch in (0, 3)
    assert outcome.epoch_seconds > 0


def test_the_test_hides_validation_items_where_it_is_asked_to(task):
    nodes = nodes_of(task)
    score = inner_product(nodes, USERS)
    assert experiment.tested(task, nodes, True) == evaluate(
        score, task.test, [task.train, task.val]
    )
    assert experiment.tested(task, nodes, False) == evaluate(score, task.test, [task.train])
    assert experiment.tested(task, nodes, True) != experiment.tested(task, nodes, False)


def test_scores_are_inner_products(task):
    nodes = nodes_of(task)
    found = inner_product(nodes, USERS)(torch.tensor([4, 1]))
    for place, user in enumerate((4, 1)):
        for item in range(ITEMS):
            assert found[place, item].item() == pytest.approx(
                (nodes[user] @ nodes[USERS + item]).item(), abs=1e-6
            )


# The control


def test_shuffled_text_stays_on_its_side_and_a_nodes_hops_stay_together():
    named = torch.arange(50.0).reshape(1, 50, 1)
    text_HNT = torch.cat([named, named + 100, named + 200])
    found = shuffled(text_HNT, 20, seed=0)
    owners = found[0, :, 0]
    assert owners[:20].sort().values.tolist() == list(range(20))
    assert owners[20:].sort().values.tolist() == list(range(20, 50))
    assert torch.equal(found[1, :, 0], owners + 100) and torch.equal(found[2, :, 0], owners + 200)
    assert (owners == named[0, :, 0]).sum() < 10


def test_text_is_shuffled_by_the_seed_alone():
    text_HNT = torch.arange(50.0).reshape(1, 50, 1)
    state = torch.get_rng_state()
    one, two, three = (shuffled(text_HNT, 20, seed) for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, three)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("is_shuffled", [False, True])
def test_a_spec_says_whether_a_model_reads_shuffled_text(task, is_shuffled):
    model = experiment.recommender(task, Spec(align="fusion", shuffled=is_shuffled), seed=3)
    text_HNT = shuffled(task.text_HNT, USERS, 3) if is_shuffled else task.text_HNT
    assert torch.equal(model.alignment.text_HNT, text_HNT)


@pytest.mark.parametrize("half", [False, True])
def test_a_spec_says_whether_text_is_projected_and_contrasted_in_half_precision(task, half):
    model = experiment.recommender(task, Spec("sgl", "contrastive", half=half), seed=3)
    parts = (model.alignment.project, model.alignment, model.backbone)
    assert [part.half_precision for part in parts] == [half] * 3


# Cold nodes


def slow_recall(nodes, pairs, train, candidates):
    """Recall@20 by sorting, a mean over the users that the pairs hold."""
    found = []
    for user in sorted({user for user, _ in pairs}):
        true = {item for one, item in pairs if one == user}
        rivals = [item for item in candidates if (user, item) not in train]
        rivals.sort(key=lambda item: -(nodes[user] @ nodes[USERS + item]).item())
        found.append(len(true & set(rivals[:20])) / len(true))
    return mean(found)


def test_cold_nodes_are_counted_and_measured_apart(task):
    nodes, train = nodes_of(task), set(pairs_of(task.graph))
    test = every_test_pair(task)
    of_users = [(user, item) for user, item in test if user >= USERS - COLD_USERS]
    of_items = [(user, item) for user, item in test if item >= ITEMS - COLD_ITEMS]
    cold_items = range(ITEMS - COLD_ITEMS, ITEMS)
    expected = {
        "users": len({user for user, _ in of_users}),
        "recall@20_users": slow_recall(nodes, of_users, train, range(ITEMS)),
        "items": len({item for _, item in of_items}),
        "recall@20_items": slow_recall(nodes, of_items, train, range(ITEMS)),
        "recall@20_items_among_cold": slow_recall(nodes, of_items, train, cold_items),
    }
    found = cold_tested(task, inner_product(nodes, USERS), ALL_PLACED)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-12)
    assert 0 < found["recall@20_items"] < found["recall@20_items_among_cold"] < 1


def test_cold_nodes_that_nothing_is_known_of_are_counted_and_not_ranked(task):
    nodes, train = nodes_of(task), set(pairs_of(task.graph))
    unknown_users, unknown_items = {USERS - 1}, {ITEMS - 1, ITEMS - 2}
    placed = ALL_PLACED.clone()
    placed[[*unknown_users, *(USERS + item for item in unknown_items)]] = False
    cold = [(user, item) for user, item in every_test_pair(task) if user >= USERS - COLD_USERS]
    expected = slow_recall(
        nodes, [pair for pair in cold if pair[0] not in unknown_users], train, range(ITEMS)
    )
    found = cold_tested(task, inner_product(nodes, USERS), placed)
    assert found["recall@20_users"] == pytest.approx(expected, rel=1e-12)
    assert found["users_not_placed"] == 1 and found["items_not_placed"] == 2
    everybody = cold_tested(task, inner_product(nodes, USERS), ALL_PLACED)
    assert found["users"] + 1 == everybody["users"]
    assert found["items"] + 2 == everybody["items"]
    nobody = cold_tested(task, inner_product(nodes, USERS), ~ALL_PLACED)
    assert nobody == {
        "users_not_placed": everybody["users"],
        "items_not_placed": everybody["items"],
    }


def test_the_metrics_are_over_users_with_a_training_interaction(task):
    cold = range(USERS - COLD_USERS, USERS)
    for part in (task.val, task.test):
        assert len(part.user_P) and not set(part.user_P.tolist()) & set(cold)
    assert set(task.cold_test.user_P.tolist()) & set(cold)


def test_a_part_without_such_users_is_told():
    pairs = [torch.tensor([pair]) for pair in ((0, 0), (1, 1), (0, 1))]
    with pytest.raises(TrainingError, match="validation part has a training interaction"):
        Task.of(2, 2, pairs, torch.zeros(1, 4, 1), torch.device("cpu"))


def test_where_no_cold_node_is_in_the_test_there_is_nothing_to_tell():
    graph = toy(cold_users=1, cold_items=1)
    test = torch.tensor([(0, 0), (1, 2)])
    parts = [torch.tensor(pairs_of(graph)), test, test]
    text = torch.zeros(1, graph.nodes, 1)
    task = Task.of(graph.users, graph.items, parts, text, torch.device("cpu"))
    score = inner_product(nodes_of(task), graph.users)
    assert cold_tested(task, score, torch.ones(graph.nodes, dtype=torch.bool)) == {}


# Tuning


def learner(task):
    """What `tune` trains a try with: the seed 0."""
    return lambda spec: run(task, spec, 0)[0]


@pytest.mark.parametrize("align", ["contrastive", "generative"])
def test_tuning_tries_the_whole_grid_and_takes_the_best_on_validation(task, align):
    spec, tried = replace(SPEC, align=align, plan=replace(SPEC.plan, epochs=2)), []
    best = tune(spec, learner(task), lambda options, value: tried.append((options, value)))
    grid = GRID[align]
    assert [(o["weight"], o["temperature"]) for o, _ in tried] == [
        (weight, temperature) for weight in grid["weight"] for temperature in grid["temperature"]
    ]
    values = [value for _, value in tried]
    assert len(set(values)) > 2
    assert best == tried[values.index(max(values))][0]
    outcome, _ = run(task, replace(spec, align_options=best), 0)
    assert outcome.val[METRIC] == max(values)


def test_tuning_keeps_the_other_options(task):
    seen, learn = [], learner(task)
    spec = replace(
        *(SPEC,),
        align="generative",
        align_options={"share": 0.3, "weight": 9.0},
        plan=Plan(epochs=1, batch=1000),
    )
    tune(spec, lambda one: seen.append(one) or learn(one), lambda *_: None)
    assert {one.align_options["share"] for one in seen} == {0.3}
    assert {one.align_options["weight"] for one in seen} == set(GRID["generative"]["weight"])


@pytest.mark.parametrize("align", ["none", "fusion"])
def test_what_has_no_weight_cannot_be_tuned(task, align):
    with pytest.raises(TrainingError, match=align) as error:
        tune(replace(SPEC, align=align), learner(task), lambda *_: None)
    assert "contrastive, generative" in error.value.hint


# Over seeds


OURS = {0: 0.31, 1: 0.35, 2: 0.33, 4: 0.9}
BASE = {0: 0.30, 1: 0.31, 2: 0.33, 3: 0.1}


def rows(values, name="recall@20"):
    return {seed: {name: value} for seed, value in values.items()}


def test_the_paired_test_is_students_over_the_seeds_that_both_have():
    found = paired(rows(OURS), rows(BASE))["recall@20"]
    differences = [OURS[seed] - BASE[seed] for seed in (0, 1, 2)]
    centre = mean(differences)
    spread = math.sqrt(sum((d - centre) ** 2 for d in differences) / 2)
    t = centre / (spread / math.sqrt(3))
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(t), df=2))
    assert found["p"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert found["gain_percent"] == pytest.approx(100 * (0.33 / (0.94 / 3) - 1))


def test_runs_that_are_equal_seed_by_seed_have_p_1_and_no_gain():
    found = paired(rows(BASE), rows(BASE))
    assert found == {"recall@20": {"gain_percent": 0, "p": 1}}


def test_one_seed_in_common_is_no_test():
    assert paired(rows({0: 1.0, 1: 2.0}), rows({1: 1.0, 2: 1.0})) == {}


def test_over_a_base_of_zero_there_is_no_gain_in_per_cent():
    found = paired(rows({0: 0.1, 1: 0.2}), rows({0: 0.0, 1: 0.0}))["recall@20"]
    assert found["gain_percent"] is None and 0 < found["p"] < 1


def test_means_and_sample_deviations_are_over_seeds():
    some = [{"a": 1.0, "b": 5.0}, {"a": 2.0, "b": 5.0}, {"a": 6.0, "b": 5.0}]
    assert means(some) == {"a": 3, "b": 5}
    assert deviations(some) == {"a": pytest.approx(math.sqrt(7)), "b": 0}
    assert deviations(some[:1]) == {} and means([]) == {}


# The device


def test_auto_takes_a_gpu_where_there_is_one():
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert device_of("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there_is_told(name):
    with pytest.raises(TrainingError, match=f"--device {name}") as error:
        device_of(name)
    assert "--device auto" in error.value.hint


def test_a_task_reads_its_parts_as_sets():
    twice = torch.tensor([(0, 1), (0, 1), (1, 0)])
    task = Task.of(2, 2, [twice, twice, twice], torch.zeros(1, 4, 1), torch.device("cpu"))
    assert isinstance(task.val, Pairs) and len(task.val.user_P) == 2
    assert pairs_of(task.graph) == [(0, 1), (1, 0)]
    assert len(evaluate(inner_product(nodes_of(task), 2), task.test, [])) == 2 * len(CUTOFFS)
