"""What a training leaves to look at: TensorBoard events and a picture."""

import matplotlib.image
import numpy as np
import pytest

from training.curves import draw, events
from training.trainer import Epoch

FIRST = Epoch(0, {"rank": 0.7, "align": 0.2}, 1.5, {"recall@20": 0.1, "ndcg@20": 0.05})
SECOND = Epoch(1, {"rank": 0.5, "align": 0.1}, 1.25)


def test_events_hold_every_term_validation_and_second_of_every_epoch(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with events(tmp_path) as write:
        write(FIRST)
        write(SECOND)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    found = {
        name: [(point.step, point.value) for point in read.Scalars(name)]
        for name in read.Tags()["scalars"]
    }
    assert found == {
        "loss/rank": [(0, pytest.approx(0.7)), (1, pytest.approx(0.5))],
        "loss/align": [(0, pytest.approx(0.2)), (1, pytest.approx(0.1))],
        "val/recall@20": [(0, pytest.approx(0.1))],
        "val/ndcg@20": [(0, pytest.approx(0.05))],
        "seconds": [(0, 1.5), (1, 1.25)],
    }


def test_events_are_written_when_training_is_interrupted(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(KeyboardInterrupt), events(tmp_path) as write:
        write(FIRST)
        write(SECOND)
        raise KeyboardInterrupt
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [point.step for point in read.Scalars("seconds")] == [0, 1]


def picture(path, seeds):
    draw(path, "lightgcn", seeds)
    return matplotlib.image.imread(path)


def test_another_seed_is_another_line(tmp_path):
    more = Epoch(1, SECOND.terms, 1.0, {"recall@20": 0.2})
    lower = Epoch(1, SECOND.terms, 1.0, {"recall@20": 0.05})
    one = picture(tmp_path / "one.png", {0: [FIRST, more]})
    two = picture(tmp_path / "two.png", {0: [FIRST, more], 1: [FIRST, lower]})
    assert one.shape == two.shape == (480, 1200, 4)
    assert not np.array_equal(one, two)


def test_one_epoch_makes_a_picture(tmp_path):
    assert picture(tmp_path / "one.png", {0: [FIRST]}).std() > 0
