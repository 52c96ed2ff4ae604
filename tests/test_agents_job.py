"""A job reads the descriptions of its layers from the ledger; only what is supposed it holds."""

import asyncio
from dataclasses import replace

import pytest

from agents.job import AT_HAND
from agents.models.offline import Offline
from agents.setup import Options, make_desk, make_job
from stores.datasets import load_training
from stores.ledger import Ledger
from stores.rows import Outcome
from tests.worlds import make


def outcome(node, text, hop=0):
    return Outcome(node, hop, "written", 1, "", "p@1:0", "m", text)


@pytest.fixture
def job(tmp_path):
    data = load_training(make(tmp_path / "data"), tmp_path / "split", 0)
    options = Options(hops=1)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield make_job(data, options, make_desk("r1", Offline(), ledger, options))


def settled(job, *outcomes, run="r1"):
    asyncio.run(job.desk.ledger.settle(run, list(outcomes)))
    job.settle(list(outcomes))


def test_the_texts_of_a_layer_are_those_in_the_ledger(job):
    settled(job, outcome("item:i1", "a drum"), outcome("user:u1", ""))
    texts = job.texts(0)
    assert (texts["item:i1"], texts.get("user:u1"), texts.get("item:i2")) == ("a drum", "", None)
    assert set(texts) == job.needed[0]


def test_a_node_that_is_settled_later_is_found_then(job):
    texts = job.texts(0)
    assert texts.get("item:i1") is None
    settled(job, outcome("item:i1", "a drum"))
    assert texts["item:i1"] == "a drum"


def test_neither_another_run_nor_another_hop_answers(job):
    settled(job, outcome("item:i1", "of another run"), run="r0")
    settled(job, outcome("item:i1", "of hop 1", hop=1))
    assert job.texts(0).get("item:i1") is None
    assert job.outcomes(1, ["item:i1", "item:i2"]) == {"item:i1": outcome("item:i1", "of hop 1", 1)}


def test_a_run_holds_no_texts_but_some_at_hand(job):
    settled(job, *(outcome(f"item:{n}", f"text {n}") for n in range(AT_HAND + 50)))
    texts = job.texts(0)
    assert all(texts[f"item:{n}"] == f"text {n}" for n in range(AT_HAND + 50))
    assert texts._find.cache_info().currsize == AT_HAND
    assert job.supposed == ({}, {})


def test_what_is_supposed_is_held_as_no_ledger_has_it(job):
    job = replace(job, desk=replace(job.desk, suppose=lambda question: None))
    job.settle([outcome("item:i1", "filler")])
    assert job.texts(0)["item:i1"] == "filler"
    assert job.desk.ledger.outcomes("r1", 0, ["item:i1"]) == {}
