"""The loop: Adam by hand, when it validates and stops, and that a stopped run goes on exactly."""

import pytest
import torch

from errors import StoreError, TrainingError
from tests.toy_graphs import toy
from training import checkpoint
from training.backbones import BACKBONES
from training.experiment import inner_product
from training.metrics import Pairs, evaluate
from training.recommender import build
from training.sampling import Sampler
from training.trainer import METRIC, Plan, Progress, fit

GRAPH = toy(users=20, items=16, density=0.2)
PLAN = Plan(epochs=9, batch=16, learning_rate=0.02, patience=3)


def made(body="lightgcn", align="none", seed=0, **options):
    torch.manual_seed(seed)
    return build(
        body,
        align,
        GRAPH,
        torch.randn(1, GRAPH.nodes, 6, generator=torch.Generator().manual_seed(2)),
        backbone_options={"dim": 4, **({"seeds": 3, "refresh": 2} if body == "autocf" else {})},
        align_options=options,
        decay=1e-3,
    )


def validation(model):
    """Recall@20 of pairs that nobody trained on."""
    board = torch.rand(20, 16, generator=torch.Generator().manual_seed(5)) < 0.3
    train = Pairs.of(20, 16, GRAPH.user_P, GRAPH.item_P)
    board[GRAPH.user_P, GRAPH.item_P] = False
    truth = Pairs.of(20, 16, *board.nonzero().unbind(1))
    return lambda: evaluate(inner_product(model.embed(), 20), truth, [train])


def told(*values):
    """Validation that tells these values, one after the other, and the last one for ever."""
    given = list(values)
    return lambda: {METRIC: given.pop(0) if len(given) > 1 else given[0]}


def trained(model, validate, plan=PLAN, progress=None, on_epoch=lambda _: None):
    return fit(model, Sampler(GRAPH), validate, plan, progress or Progress(), on_epoch)


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# One step


def test_steps_are_adams_without_weight_decay():
    """m, v and the step as Kingma and Ba write them, with rates 0.9 and 0.999."""
    one, two, plan = made(), made(), Plan(epochs=1, batch=16, learning_rate=0.02)
    torch.manual_seed(7)
    trained(one, told(0.5), plan)
    torch.manual_seed(7)
    weight = two.backbone.ego_Nd
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, batch in enumerate(Sampler(GRAPH).epoch(16)):
        loss = torch.stack(list(two.losses(batch, step).values())).sum()
        (g,) = torch.autograd.grad(loss, [weight])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        with torch.no_grad():
            weight -= 0.02 * m_hat / (v_hat.sqrt() + 1e-8)
    assert step > 2
    torch.testing.assert_close(one.backbone.ego_Nd, weight)


def test_an_epochs_terms_are_means_over_its_steps():
    one, two = made("sgl", "contrastive"), made("sgl", "contrastive")
    torch.manual_seed(7)
    progress = trained(one, told(0.5), Plan(epochs=1, batch=16, learning_rate=1e-12))
    torch.manual_seed(7)
    steps = [two.losses(batch, step) for step, batch in enumerate(Sampler(GRAPH).epoch(16))]
    assert len(steps) > 2
    for name, value in progress.epochs[0].terms.items():
        mean = sum(terms[name].item() for terms in steps) / len(steps)
        assert value == pytest.approx(mean, rel=1e-5)
    assert list(progress.epochs[0].terms) == ["rank", "contrast", "align", "decay"]


def test_autocf_counts_its_steps_from_0_in_every_epoch(monkeypatch):
    model, heard = made("autocf"), []
    begin = model.backbone.begin_step
    monkeypatch.setattr(model.backbone, "begin_step", lambda n: (heard.append(n), begin(n)))
    trained(model, told(0.5), Plan(epochs=2, batch=16))
    steps = len(heard) // 2
    assert heard == [*range(steps), *range(steps)]


# Validation and stopping


def test_validation_follows_epochs_0_3_6_and_so_on():
    progress = trained(made(), told(0.5), Plan(epochs=8, batch=16))
    assert [epoch.number for epoch in progress.epochs] == list(range(8))
    assert [e.number for e in progress.epochs if e.val] == [0, 3, 6]


def test_training_stops_after_patience_validations_without_a_better_one():
    model = made()
    values = told(0.1, 0.3, 0.2, 0.3, 0.29, 0.9)
    progress = trained(model, values, Plan(epochs=100, batch=16, patience=3))
    # Best after epoch 3; 6, 9 (equal is not better) and 12 are the three.
    assert (progress.best_epoch, progress.best_value) == (3, 0.3)
    assert progress.epochs[-1].number == 12


def test_a_better_validation_starts_the_waiting_anew():
    values = told(0.1, 0.0, 0.0, 0.2, 0.0, 0.0, 0.0)
    progress = trained(made(), values, Plan(epochs=100, batch=16, patience=3))
    assert progress.best_epoch == 9 and progress.epochs[-1].number == 18


def test_the_model_ends_with_the_parameters_of_its_best_validation():
    model, seen = made(), []

    def validate():
        seen.append(state_of(model))
        return {METRIC: {0: 0.1, 1: 0.4}.get(len(seen) - 1, 0.2)}

    progress = trained(model, validate)
    assert same(state_of(model), seen[1]) and same(progress.best, seen[1])
    assert not same(seen[1], seen[-1])


def test_a_recall_of_zero_is_kept_until_there_is_a_better_one():
    model = made()
    progress = trained(model, told(0.0), Plan(epochs=1, batch=16))
    assert progress.best_epoch == 0 and same(progress.best, state_of(model))


def test_training_learns_while_ranking_is_measured_without_anything_dropped():
    model, modes = made(), []

    def validate():
        modes.append(model.training)
        return validation(model)()

    trained(model, validate, on_epoch=lambda _: modes.append(model.training))
    assert all(modes)


# Going on


def plain(progress):
    """All numbers of a run but its seconds."""
    return [(epoch.number, epoch.terms, epoch.val) for epoch in progress.epochs]


class Stopped(Exception):
    """What ends a training in its middle."""


@pytest.mark.parametrize("align", ["generative", "contrastive"])
@pytest.mark.parametrize("body", BACKBONES)
def test_a_stopped_run_goes_on_from_its_file_with_the_very_same_numbers(tmp_path, body, align):
    whole = made(body, align)
    expected = trained(whole, validation(whole))
    path, saved = tmp_path / "checkpoint.pt", []

    def on_epoch(progress):
        if progress.epochs[-1].val:
            checkpoint.save(path, progress, "mine")
            saved.append(progress.epochs[-1].number)
        if progress.epochs[-1].number == 4:
            raise Stopped

    first = made(body, align)
    with pytest.raises(Stopped):
        trained(first, validation(first), on_epoch=on_epoch)
    assert saved == [0, 3]
    second = made(body, align, seed=99)
    found = trained(second, validation(second), progress=checkpoint.load(path, "mine"))
    assert plain(found) == plain(expected)
    assert found.best_epoch == expected.best_epoch
    assert same(state_of(second), state_of(whole))


def test_a_run_that_had_stopped_by_itself_is_not_trained_further():
    model, plan = made(), Plan(epochs=100, batch=16, patience=1)
    progress = trained(model, told(0.5), plan)
    again, before = made(seed=3), plain(progress)
    trained(again, told(0.9), plan, progress)
    assert plain(progress) == before
    assert same(state_of(again), state_of(model))


# Failing


def test_a_loss_that_is_no_number_ends_the_training_and_says_what_to_lower():
    model = made()
    with pytest.raises(TrainingError, match="no number in epoch 0") as error:
        trained(model, told(0.5), Plan(epochs=3, batch=16, learning_rate=1e30))
    assert "--learning-rate" in error.value.hint


def test_what_was_best_before_the_loss_became_no_number_is_kept():
    model, progress = made(), Progress()

    def break_it(now):
        if now.epochs[-1].number == 3:
            with torch.no_grad():
                model.backbone.ego_Nd.fill_(torch.nan)

    with pytest.raises(TrainingError, match="epoch 4"):
        trained(model, told(0.5, 0.6), progress=progress, on_epoch=break_it)
    assert progress.best_epoch == 3
    assert all(value.isfinite().all() for value in progress.best.values())


def test_a_device_out_of_memory_is_told_with_what_to_lower():
    def validate():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore words.")

    with pytest.raises(TrainingError, match=r"cpu is out of memory: .*2 GiB\.$") as error:
        trained(made(), validate)
    assert "--batch (it was 16)" in error.value.hint and "--dim" in error.value.hint


# Checkpoints


def test_where_nothing_was_saved_training_begins(tmp_path):
    assert checkpoint.load(tmp_path / "none.pt", "mine") == Progress()


def test_saving_leaves_one_file(tmp_path):
    checkpoint.save(tmp_path / "checkpoint.pt", Progress(), "mine")
    checkpoint.save(tmp_path / "checkpoint.pt", Progress(), "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_is_told_and_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, Progress(waited=1), "mine")
    (tmp_path / "checkpoint.new").symlink_to("/dev/full")
    with pytest.raises(StoreError, match="cannot be written") as error:
        checkpoint.save(path, Progress(waited=2), "mine")
    assert "Make room" in error.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert checkpoint.load(path, "mine").waited == 1


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    checkpoint.save(tmp_path / "checkpoint.pt", Progress(), "theirs")
    with pytest.raises(StoreError, match="other data, text or settings") as error:
        checkpoint.load(tmp_path / "checkpoint.pt", "mine")
    assert "--fresh" in error.value.hint


class Trap:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_checkpoint_that_would_run_something_is_refused_before_it_does(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"owner": "mine", "progress": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(StoreError, match="no checkpoint"):
        checkpoint.load(path, "mine")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no checkpoint"),
        lambda path: torch.save(torch.zeros(3), path),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: torch.save({"owner": "mine"}, path),
        lambda path: torch.save({"owner": "mine", "progress": {"epochs": [], "x": 1}}, path),
        lambda path: torch.save([1, 2], path),
    ],
    ids=["empty", "text", "a-tensor", "cut", "no-progress", "other-progress", "a-list"],
)
def test_a_damaged_checkpoint_is_told(tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, Progress(), "mine")
    damage(path)
    with pytest.raises(StoreError, match="no checkpoint of Hopscribe, or is damaged"):
        checkpoint.load(path, "mine")
