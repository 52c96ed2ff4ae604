"""What the ledger counts as it is written is what counting its rows gives; older ledgers get it."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import StoreError
from stores import rows
from stores.ledger import Ledger
from stores.ledger_file import bring_up_to_date, count_anew
from stores.rows import ANSWERED, SCHEMA, Outcome, insert_calls, insert_outcomes
from stores.salvage import salvage
from stores.sqlite_file import connect, create
from stores.summaries import TABLES, TRIGGERS
from stores.trails.reading import reading
from tests.test_stores_ledger import CALL

GROUPS = "SELECT run, stage, hop, turn, prompt, model, endpoint, status, calls, input_tokens,"
GROUPS += " output_tokens, cost_nanousd, unpriced, first, last FROM call_groups ORDER BY first"
COUNTED = {
    "groups": GROUPS,
    "marks": "SELECT m.id, g.run, g.stage, g.turn, g.status, m.cost_nanousd, m.latency_ms"
    " FROM call_marks m JOIN call_groups g ON g.id = grp ORDER BY m.id",
    "latencies": "SELECT run, stage, turn, status, ms, l.calls FROM call_latencies l"
    " JOIN call_groups g ON g.id = grp ORDER BY first, ms",
    "outcomes": "SELECT * FROM outcome_groups WHERE nodes ORDER BY 1, 2, 3, 4, 5, 6",
}
OUTCOME = Outcome("item:1", 0, "written", 1, "", "p@1:abc", "m", "A kettle.", "k1")


def version_1(path):
    """A ledger as the first version made it."""
    create(path, SCHEMA.replace(ANSWERED, ""), 1)
    return path


def counted(db):
    return {name: db.execute(sql).fetchall() for name, sql in COUNTED.items()}


calls = st.builds(
    replace,
    st.just(CALL),
    run=st.sampled_from(["r1", "r2"]),
    stage=st.sampled_from(["item profiles", "hop 1"]),
    turn=st.integers(0, 2),
    status=st.sampled_from(["accepted", "rejected", "failed"]),
    input_tokens=st.none() | st.integers(0, 5000),
    cost_nanousd=st.none() | st.integers(0, 10**9),
    latency_ms=st.just(0.0) | st.floats(0.1, 1e6),
)
outcomes = st.builds(
    replace,
    st.just(OUTCOME),
    node=st.sampled_from(["item:1", "item:2", "user:1"]),
    hop=st.integers(0, 2),
    status=st.sampled_from(["written", "fallback", "none"]),
    turns=st.integers(1, 3),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(calls, max_size=12), st.lists(outcomes, max_size=12))
def test_counting_as_it_is_written_is_counting_afterwards(made, settled):
    with closing(sqlite3.connect(":memory:")) as live, closing(sqlite3.connect(":memory:")) as late:
        live.executescript(SCHEMA + TABLES + TRIGGERS)
        late.executescript(SCHEMA)
        for db in (live, late):
            insert_calls(db, made)
            # A node that is settled again is counted once.
            for outcome in settled:
                insert_outcomes(db, "r1", [outcome])
        count_anew(late)
        assert counted(live) == counted(late)
        assert sum(row[8] for row in counted(live)["groups"]) == len(made)


def test_latencies_are_counted_to_two_significant_digits():
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA + TABLES + TRIGGERS)
        insert_calls(db, [replace(CALL, latency_ms=ms) for ms in (123.4, 119.0, 1.04, 98765.0, 0)])
        kept = [ms for (ms,) in db.execute("SELECT ms FROM call_latencies ORDER BY ms")]
        assert kept == [1.0, 120.0, 99000.0]


def test_an_older_ledger_is_opened_and_counted_and_keeps_its_rows(tmp_path):
    path = version_1(tmp_path / "ledger.sqlite")
    with closing(connect(path)) as db:
        insert_calls(db, [replace(CALL, key=f"k{n}", latency_ms=n + 1.0) for n in range(20)])
        old = rows._INSERT_OUTCOME
        db.execute(old, ("r", "item:1", 0, "written", 1, "", "p@1:a", "m", "0" * 32))
        before = db.execute("SELECT * FROM calls").fetchall()
    with Ledger(path) as ledger:
        assert len(ledger.find([f"k{n}" for n in range(20)])) == 20
        asyncio.run(ledger.record(replace(CALL, key="new")))
    with reading(tmp_path) as db:
        assert db.execute("SELECT * FROM calls WHERE id <= 20").fetchall() == before
        assert db.execute("SELECT sum(calls) FROM call_groups").fetchone() == (21,)
        assert db.execute("SELECT sum(nodes) FROM outcome_groups").fetchone() == (1,)


def test_an_older_ledger_is_brought_up_to_date_by_looking_at_it(tmp_path):
    with closing(connect(version_1(tmp_path / "ledger.sqlite"))) as db:
        insert_calls(db, [CALL])
    for _ in range(2):
        with reading(tmp_path) as db:
            assert db.execute("SELECT sum(calls) FROM call_groups").fetchone() == (1,)


def test_a_ledger_of_a_later_version_is_refused(tmp_path):
    create(tmp_path / "ledger.sqlite", SCHEMA, 99)
    for opened in (
        lambda: Ledger(tmp_path / "ledger.sqlite"),
        lambda: reading(tmp_path).__enter__(),
    ):
        with pytest.raises(StoreError, match="version 99"):
            opened()


def test_nothing_that_was_counted_is_taken_for_a_row_when_a_ledger_is_salvaged(tmp_path):
    path = tmp_path / "l.sqlite"
    create(path, SCHEMA + TABLES + TRIGGERS, 2)
    with closing(connect(path)) as db:
        insert_calls(db, [replace(CALL, key=f"k{n}", run=f"r{n % 7}") for n in range(300)])
        nodes = [replace(OUTCOME, node=f"item:{n}", hop=n % 3) for n in range(300)]
        insert_outcomes(db, "r", nodes)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        base = [name for name in tables if f"CREATE TABLE {name} " in SCHEMA]
        had = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in base}
    create(tmp_path / "new.sqlite", SCHEMA, 2)
    with closing(connect(tmp_path / "new.sqlite")) as into:
        salvage(path, into, {"texts": rows.whole})
        count_anew(into)
        kept = {name: into.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in base}
        assert kept == had
        with closing(connect(path)) as db:
            assert counted(into) == counted(db)


def test_bringing_up_to_date_is_all_or_nothing(tmp_path):
    path = version_1(tmp_path / "ledger.sqlite")
    with closing(connect(path)) as db:
        # In the way of what is to come.
        db.execute("CREATE TABLE call_marks (x)")
    with pytest.raises(sqlite3.OperationalError, match="call_marks"):
        bring_up_to_date(path)
    with closing(connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'call_groups'").fetchall()
