"""`--half` is taken where the CPU gains by it."""

import time

import pytest
import torch

from errors import TrainingError
from tests.worlds import make
from training import half
from training.experiment import Spec
from verbs import learning

CPU = torch.device("cpu")


def test_half_precision_is_refused_where_it_is_much_slower_than_float32(monkeypatch):
    monkeypatch.setattr(half, "slowness", lambda: 17.4)
    with pytest.raises(TrainingError, match="17 times as long") as refused:
        half.must_pay(CPU)
    assert refused.value.hint == "Leave --half out."


def test_half_precision_is_taken_where_it_is_not(monkeypatch):
    monkeypatch.setattr(half, "slowness", lambda: 0.5)
    half.must_pay(CPU)


def test_slowness_is_what_a_product_in_bfloat16_takes_over_one_in_float32(monkeypatch):
    now = 0.0

    def timed(one, two):
        nonlocal now
        now += 6.0 if one.dtype == torch.bfloat16 else 2.0

    monkeypatch.setattr(torch, "mm", timed)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    assert half.slowness() == 3.0


def test_training_asks_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(half, "slowness", lambda: 17.4)
    lesson = learning.Lesson(Spec("simgcl", half=True), [0], "cpu", False, False)
    board = learning.Board(say=print, epoch=lambda *_: None)
    ground = learning.ground(make(tmp_path / "data"), tmp_path / "ws")
    with ground as place, pytest.raises(TrainingError, match="--half"):
        learning.train(place, lesson, learning.no_text(place), "no-text", board)
    assert not (tmp_path / "ws" / "runs").exists()
