"""Batches in the ledger: an older file is taken over, and what came back is recorded once."""

import asyncio
from dataclasses import replace
from pathlib import Path

from stores.batches import INTENDED, Batch, Batches, Line
from stores.ledger import Ledger
from tests.test_stores_ledger import CALL

BATCH = Batch(
    name="n1",
    run="r",
    model="m",
    endpoint="e",
    stage="item profiles",
    hop=0,
    turn=0,
    attempt=1,
    language="English",
    most=0,
    file=None,
    batch=None,
    status=INTENDED,
    created=1.0,
    harvested=None,
)
LINE = Line("k1", "item:1", "p@1:abc", "Profile", 50, "{}", CALL.messages)


def test_a_batch_is_found_by_its_questions_until_it_is_harvested(tmp_path: Path) -> None:
    async def live(batches: Batches) -> None:
        await batches.intend(BATCH, [LINE, replace(LINE, key="k2")])
        assert batches.about(["k2", "other"]) == [BATCH] and batches.about(["other"]) == []
        await batches.uploaded("n1", "file-1")
        await batches.created("n1", "batch_1", "validating")
        assert batches.about(["k1"])[0].batch == "batch_1"
        await batches.close("n1", "completed")
        assert batches.about(["k1"]) == [] and batches.all()[0].status == "completed"

    with Ledger(tmp_path / "l.sqlite") as ledger:
        asyncio.run(live(Batches(ledger)))


def test_a_line_is_given_whole_and_only_until_its_call_is_recorded(tmp_path: Path) -> None:
    async def live(batches: Batches) -> None:
        await batches.intend(BATCH, [LINE, replace(LINE, key="k2")])
        assert batches.lines("n1", ["k1", "unknown"]) == {"k1": LINE}
        await batches.record("n1", [CALL])
        assert set(batches.lines("n1", ["k1", "k2"])) == {"k2"}
        assert batches.counts() == {"n1": (2, 1)}

    with Ledger(tmp_path / "l.sqlite") as ledger:
        asyncio.run(live(Batches(ledger)))
        assert ledger.find(["k1"])["k1"].text == "A kettle."
