"""The loss terms against loops over rows: values and gradients, counts and chunks."""

import math

import pytest
import torch
from torch import nn

from tests import slow_formulas as slow
from training import losses
from training.losses import bpr, counted, info_nce, log_partition, squared_norm, unit

pytestmark = pytest.mark.usefixtures("double")
TEMPERATURES = (0.05, 0.2, 1.0)


def rows(count, width=5, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=random).requires_grad_()


def test_bpr_is_the_mean_over_the_batch():
    inputs = rows(9, seed=1), rows(9, seed=2), rows(9, seed=3)
    slow.agree(bpr(*inputs), slow.bpr(*inputs), inputs)


def test_bpr_falls_when_the_liked_item_scores_higher():
    user, liked, other = torch.ones(1, 2), torch.full((1, 2), 3.0), torch.ones(1, 2)
    assert bpr(user, liked, other) < math.log(2) < bpr(user, other, liked)


def test_bpr_of_scores_far_apart_is_their_difference_and_not_infinite():
    user, liked, other = torch.ones(1, 1), torch.zeros(1, 1), torch.full((1, 1), 5000.0)
    assert bpr(user, liked, other) == 5000


def test_a_unit_row_is_divided_by_the_root_of_1e_8_and_its_square():
    found = rows(4)
    for mine, row in zip(unit(found), found, strict=True):
        torch.testing.assert_close(mine, row / (1e-8 + row @ row).sqrt(), rtol=1e-14, atol=0)


def test_a_zero_row_stays_zero_and_has_a_finite_gradient():
    row = torch.zeros(1, 3, requires_grad=True)
    unit(row).sum().backward()
    assert unit(row).tolist() == [[0, 0, 0]]
    assert row.grad.isfinite().all()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_info_nce_with_keys_of_its_own(temperature):
    inputs = rows(6, seed=1), rows(6, seed=2), rows(11, seed=3)
    slow.agree(info_nce(*inputs, temperature), slow.info_nce(*inputs, temperature), inputs)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_info_nce_whose_keys_are_its_positives(temperature):
    one, two = rows(6, seed=1), rows(6, seed=2)
    fast = info_nce(one, two, two, temperature)
    slow.agree(fast, slow.info_nce(one, two, two, temperature), (one, two))


def test_info_nce_does_not_depend_on_how_long_rows_are():
    one, two = rows(6, seed=1).detach(), rows(6, seed=2).detach()
    torch.testing.assert_close(
        info_nce(one, two, two, 0.2), info_nce(one * 700, two * 30, two * 30, 0.2)
    )


def test_info_nce_is_a_sum_over_anchors():
    one, two = rows(6, seed=1), rows(6, seed=2)
    halves = [info_nce(one[some], two[some], two, 0.2) for some in (slice(0, 2), slice(2, None))]
    torch.testing.assert_close(info_nce(one, two, two, 0.2), sum(halves))


def test_the_positive_is_in_the_denominator_only_where_it_is_a_key():
    one, two, keys = rows(1, seed=1), rows(1, seed=2), rows(3, seed=3)
    without = info_nce(one, two, keys, 0.2)
    slow.agree(without, slow.info_nce(one, two, keys, 0.2), (one, two, keys))
    assert info_nce(one, two, torch.cat([keys, two]), 0.2) > without


def test_repeated_anchors_are_computed_once_and_counted():
    one, two, keys = rows(4, seed=1), rows(4, seed=2), rows(7, seed=3)
    batch = torch.tensor([3, 0, 3, 3, 2, 0])
    distinct, times = counted(batch)
    assert (distinct.tolist(), times.tolist()) == ([0, 2, 3], [2, 1, 3])
    fast = info_nce(one[distinct], two[distinct], keys, 0.2, times)
    slow.agree(fast, slow.info_nce(one[batch], two[batch], keys, 0.2), (one, two, keys))


def test_repeated_keys_are_in_the_denominator_as_often_as_the_batch_holds_them():
    one, two = rows(5, seed=1), rows(5, seed=2)
    batch = torch.tensor([4, 1, 4, 4, 0, 1])
    distinct, times = counted(batch)
    fast = info_nce(one[distinct], two[distinct], two[distinct], 0.2, times, times)
    naive = slow.info_nce(one[batch], two[batch], two[batch], 0.2)
    slow.agree(fast, naive, (one, two))
    once = info_nce(one[distinct], two[distinct], two[distinct], 0.2, times)
    assert abs((once - naive).item()) > 0.1


def test_log_partition_is_the_sum_of_logsumexp():
    anchors, keys = rows(6, seed=1), rows(9, seed=2)
    naive = 6 * slow.mean_log_partition(anchors, keys)
    slow.agree(log_partition(anchors, keys), naive, (anchors, keys))


def test_log_partition_when_the_keys_are_the_anchors_themselves():
    both = rows(6)
    slow.agree(log_partition(both, both), 6 * slow.mean_log_partition(both, both), (both,))


@pytest.mark.parametrize("held", [1, 20, 50, 10**6])
def test_the_size_of_a_chunk_changes_nothing(monkeypatch, held):
    anchors, keys, times = rows(11, seed=1), rows(9, seed=2), torch.arange(1.0, 12)
    key_times = torch.arange(1.0, 10)
    monkeypatch.setattr(losses, "CHUNK_CPU", held)
    logits = anchors @ keys.T + key_times.log()
    whole = (logits.logsumexp(-1) * times).sum()
    slow.agree(log_partition(anchors, keys, times, key_times), whole, (anchors, keys))


def test_the_log_partition_of_no_anchor_is_nothing():
    anchors, keys = rows(3)[:0].detach().requires_grad_(), rows(9)
    total = log_partition(anchors, keys)
    total.backward()
    assert total == 0 and not keys.grad.any()


def test_the_gradients_of_log_partition_are_those_of_finite_differences():
    anchors, keys = rows(4, 3, seed=1), rows(5, 3, seed=2)
    times, key_times = torch.tensor([1.0, 2, 1, 5]), torch.tensor([3.0, 1, 1, 2, 1])
    assert torch.autograd.gradcheck(
        lambda a, k: log_partition(a, k, times, key_times) ** 2, (anchors, keys)
    )


@pytest.mark.parametrize("held", [40, 10**6])
@pytest.mark.parametrize("counts", [False, True])
def test_info_nce_in_bfloat16_is_a_little_coarser_and_gives_and_learns_in_its_inputs_precision(
    monkeypatch, held, counts
):
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    monkeypatch.setattr(losses, "CHUNK_CPU_HALF", held)
    one, two, keys = (torch.randn(n, 8, requires_grad=True) for n in (50, 50, 90))
    times = (torch.arange(1.0, 51), torch.arange(1.0, 91)) if counts else ()
    exact, coarse = (info_nce(one, two, keys, 0.2, *times, half=half) for half in (False, True))
    assert coarse.dtype == torch.float32
    assert 0 < abs(coarse - exact) / exact < 0.005
    both = (slow.gradients(x, [one, keys]) for x in (exact, coarse))
    for exactly, coarsely in zip(*both, strict=True):
        assert coarsely.dtype == torch.float32
        assert 0 < (coarsely - exactly).norm() / exactly.norm() < 0.02


@pytest.mark.parametrize("learns", ["anchors", "keys"])
def test_log_partition_leaves_constants_without_a_gradient(learns):
    anchors, keys = rows(4, seed=1), rows(5, seed=2)
    naive = 4 * slow.mean_log_partition(anchors, keys)
    constant = keys if learns == "anchors" else anchors
    learnt = anchors if learns == "anchors" else keys
    expected = slow.gradients(naive, [learnt])[0]
    constant.requires_grad_(False)
    log_partition(anchors, keys).backward()
    torch.testing.assert_close(learnt.grad, expected)
    assert constant.grad is None


def test_log_partition_of_dot_products_beyond_what_exp_can_hold_is_a_number():
    anchors = torch.full((2, 1), 100.0, dtype=torch.float32, requires_grad=True)
    keys = torch.tensor([[50.0], [49.0]], dtype=torch.float32, requires_grad=True)
    total = log_partition(anchors, keys)
    total.backward()
    assert total.item() == 10_000
    assert anchors.grad.tolist() == [[50], [50]]
    assert keys.grad.flatten().tolist() == pytest.approx([200, 0])


def test_the_squared_norm_is_over_every_parameter_without_a_half():
    module = nn.Sequential(nn.Linear(3, 2), nn.Embedding(4, 5))
    total = sum(w.item() ** 2 for p in module.parameters() for w in p.flatten())
    assert squared_norm(module).item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_two_guards_that_the_reference_code_has_in_logarithms_move_the_loss_by_next_to_nothing(
    temperature,
):
    guess, text = rows(200, 96, seed=1), rows(200, 96, seed=2)
    found = torch.exp(unit(guess) @ unit(text).T / temperature)
    guarded = -(found.diagonal() / (found.sum(1) + 1e-8) + 1e-8).log().mean()
    ours = info_nce(guess, text, text, temperature) / 200
    assert 0 < (ours - guarded).item() < 1e-3 * guarded.item()
    # Exactly as far as the least likely nodes go: -log(p + guard) for -log p.
    chance = found.diagonal() / found.sum(1)
    assert (ours - guarded).item() == pytest.approx((1e-8 / chance).log1p().mean().item(), rel=1e-3)
