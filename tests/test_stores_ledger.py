"""The ledger: what is written is on disk, whole, once, and never taken for something else."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from errors import StoreError
from stores.ledger import Ledger
from stores.rows import Call, Outcome

CALL = Call(
    key="k1",
    run="r",
    stage="item profiles",
    node="item:1",
    hop=0,
    turn=0,
    attempt=1,
    prompt="p@1:abc",
    model="m",
    endpoint="e",
    parameters="{}",
    messages=(("system", "Describe."), ("user", "Kettle ⟦é⟧ 书")),
    reply="A kettle.",
    status="accepted",
    reason="",
    finish="stop",
    input_tokens=3,
    output_tokens=2,
    cost_nanousd=None,
    started=1.0,
    latency_ms=2.0,
)


def record(ledger: Ledger, *calls: Call) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*map(ledger.record, calls))

    asyncio.run(all_at_once())


def test_a_recorded_call_is_on_disk_for_another_process(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        record(ledger, CALL)
        db = sqlite3.connect(tmp_path / "l.sqlite")
        found = db.execute("SELECT key, cost_nanousd FROM calls")
        assert found.fetchall() == [("k1", None)]


def test_each_distinct_text_is_kept_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        record(ledger, *(replace(CALL, key=f"k{n}") for n in range(50)))
        db = sqlite3.connect(tmp_path / "l.sqlite")
        bodies = {body for (body,) in db.execute("SELECT body FROM texts")}
        assert bodies == {"Describe.", "Kettle ⟦é⟧ 书", "A kettle."}
        assert db.execute("SELECT count(*) FROM calls").fetchone() == (50,)


def test_failed_calls_are_never_found(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        record(ledger, replace(CALL, status="failed", reply=None))
        assert ledger.find(["k1"]) == {}


def test_many_keys_are_found_at_once_and_unknown_ones_left_out(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        record(ledger, *(replace(CALL, key=f"k{n}", reply=f"reply {n}") for n in range(2000)))
        found = ledger.find([f"k{n}" for n in range(0, 4000, 2)])
        assert {key: reply.text for key, reply in found.items()} == {
            f"k{n}": f"reply {n}" for n in range(0, 2000, 2)
        }


def test_what_waits_is_written_before_the_ledger_closes(tmp_path: Path) -> None:
    async def close_at_once() -> None:
        ledger = Ledger(tmp_path / "l.sqlite")
        calls = [replace(CALL, key=str(n)) for n in range(99)]
        waiting = [asyncio.ensure_future(ledger.record(call)) for call in calls]
        await asyncio.sleep(0)
        await asyncio.to_thread(ledger.close)
        await asyncio.gather(*waiting)

    asyncio.run(close_at_once())
    db = sqlite3.connect(tmp_path / "l.sqlite")
    assert db.execute("SELECT count(*) FROM calls").fetchone() == (99,)


def test_a_full_disk_is_an_error_for_the_caller_and_nothing_is_half_written(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        record(ledger, CALL)
        pages = ledger._writer.execute("PRAGMA page_count").fetchone()[0]
        ledger._writer.execute(f"PRAGMA max_page_count = {pages + 1}")
        big = replace(CALL, key="big", reply="x" * 100_000)
        with pytest.raises(StoreError, match="cannot be written"):
            record(ledger, big)
        ledger._writer.execute("PRAGMA max_page_count = 1000000")
        assert ledger.find(["big"]) == {}
        record(ledger, big)
        assert ledger.find(["big"])["big"].text == big.reply


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"this is not a database at all" * 200)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="cannot be used as a ledger"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_reply_that_changed_on_disk_is_not_taken_for_what_was_said(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        record(ledger, CALL)
    path.write_bytes(path.read_bytes().replace(b"A kettle.", b"A cattle."))
    with Ledger(path) as ledger, pytest.raises(StoreError, match="not what was written"):
        ledger.find(["k1"])


@pytest.mark.parametrize("left", [0, 5000, 20_000])
def test_a_ledger_that_was_cut_is_refused(tmp_path: Path, left: int) -> None:
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        record(ledger, *(replace(CALL, key=f"k{n}", reply=f"reply {n}") for n in range(500)))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(StoreError, match="cannot be used as a ledger") as caught:
        Ledger(path)
    assert "stores rebuild" in caught.value.hint


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "l.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="version 99"):
        Ledger(tmp_path / "l.sqlite")


def test_outcomes_of_a_wave_are_settled_together_and_can_be_settled_again(tmp_path: Path) -> None:
    outcome = Outcome("item:1", 0, "written", 1, "", "p@1:abc", "m", "A kettle.")
    with Ledger(tmp_path / "l.sqlite") as ledger:
        asyncio.run(ledger.settle("r", [outcome, replace(outcome, node="item:2")]))
        asyncio.run(ledger.settle("r", [replace(outcome, text="A better kettle.")]))
        rows = sqlite3.connect(tmp_path / "l.sqlite").execute(
            "SELECT node, body FROM outcomes JOIN texts ON hash = text ORDER BY node"
        )
        assert rows.fetchall() == [("item:1", "A better kettle."), ("item:2", "A kettle.")]


def test_half_a_character_at_the_end_of_a_reply_loses_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        record(ledger, replace(CALL, key="cut", reply="A kettle \ud83d"), CALL)
        assert ledger.find(["cut"])["cut"].text == "A kettle ?"
        assert ledger.find(["k1"])["k1"].text == "A kettle."


def test_a_fresh_run_that_did_not_end_is_gone_on_with(tmp_path: Path) -> None:
    async def run(name: str, fresh: bool, ended: str) -> int:
        repeat = ledger.repeat(fresh)
        await ledger.begin_run(name, float(name), {"repeat": repeat, "fresh": fresh})
        await ledger.end_run(name, 1.0, {"ended": ended})
        return repeat

    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert asyncio.run(run("1", False, "done")) == 0
        assert asyncio.run(run("2", True, "stopped")) == 1
        assert asyncio.run(run("3", True, "done")) == 1
        assert asyncio.run(run("4", False, "done")) == 1
        assert asyncio.run(run("5", True, "done")) == 2
