"""Looking at calls: every list, page and sum is what going through all rows would give."""

import asyncio
import math
import random
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from benchmarks.big_ledger import fill
from errors import StoreError, UsageError
from stores.ledger import Ledger
from stores.rows import Outcome
from stores.trails import calls, figures, nodes
from stores.trails.filters import FACETS, Facets, Filter, fits, named
from stores.trails.reading import reading
from stores.trails.stream import every
from tests.test_stores_ledger import CALL

ROWS, NODES = 3000, 120


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("big") / "ws"
    fill(folder, ROWS, NODES)
    return folder


@pytest.fixture
def db(workspace):
    with reading(workspace) as opened:
        yield opened


def all_rows(db):
    """Id, latency, cost, node and facets of every call."""
    found = db.execute(
        f"SELECT id, latency_ms, cost_nanousd, node, {FACETS} FROM calls ORDER BY id"
    )
    return [(id, ms, cost, node, Facets(*facets)) for id, ms, cost, node, *facets in found]


def some_filters(db):
    run = db.execute("SELECT id FROM runs ORDER BY id LIMIT 1 OFFSET 1").fetchone()[0]
    prompt = db.execute("SELECT prompt FROM calls WHERE hop = 1 LIMIT 1").fetchone()[0]
    return [
        Filter(),
        Filter(run=run),
        Filter(status="rejected", hop=2),
        Filter(stage="hop 1", model="gpt-4o-mini", repairs=True),
        Filter(prompt=prompt),
        Filter(prompt="refine_user", run=run, status="accepted"),
        Filter(node="user:u000003"),
        Filter(node="user:u000003", status="failed"),
        Filter(prompt="no such"),
    ]


def pages(db, wanted, order, floor, size):
    """Every id of a list, page by page."""
    found, after = [], None
    while True:
        page = calls.page(db, wanted, order, floor, after, size)
        found += [row.id for row in page.rows]
        assert page.following is None or len(page.rows) == size
        after = page.following
        if after is None:
            return found


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize(
    ("order", "floor"), [("newest", 0), ("slowest", 0), ("slowest", 900.5), ("dearest", 500_000)]
)
def test_pages_together_are_the_whole_list_in_order(db, place, order, floor):
    wanted = some_filters(db)[place]
    measure = {"newest": 0, "slowest": 1, "dearest": 2}[order]
    rows = [
        row
        for row in all_rows(db)
        if fits(wanted, row[4]) and wanted.node in (None, row[3])
        if row[measure] is not None and row[measure] >= floor
    ]
    rows.sort(key=lambda row: (row[measure], row[0]), reverse=True)
    assert pages(db, wanted, order, floor, 37) == [row[0] for row in rows]


def test_a_page_that_ends_with_the_list_has_no_successor(db):
    total = len(pages(db, Filter(hop=1), "newest", 0, 500))
    assert calls.page(db, Filter(hop=1), limit=500).following is not None or total <= 500
    last = calls.page(db, Filter(node="user:u000003"), limit=500)
    assert last.following is None


def test_equal_measures_are_told_apart_by_their_ids(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:

        async def record():
            for n in range(10):
                await ledger.record(replace(CALL, key=f"k{n}", latency_ms=5.0))

        asyncio.run(record())
    with reading(tmp_path) as db:
        assert pages(db, Filter(), "slowest", 0, 3) == list(range(10, 0, -1))


@pytest.mark.parametrize("after", ["x", "1:2:y", ":"])
def test_a_place_that_is_none_is_told(db, after):
    with pytest.raises(UsageError, match="no place"):
        calls.page(db, Filter(), after=after)


@pytest.mark.parametrize(
    ("wanted", "fitting"),
    [
        ("refine_user", True),
        ("refine_user@2", True),
        ("refine_user@2:ab12", True),
        ("refine_user:ab12", True),
        (":ab", True),
        ("refine_user@1", False),
        ("refine_user@2:ac", False),
        (":12", False),
        ("refine", False),
        ("", False),
    ],
)
def test_a_prompt_is_meant_by_its_name_version_or_digest(wanted, fitting):
    assert named("refine_user@2:ab12cd34ef56", wanted) is fitting


@pytest.mark.parametrize("place", range(9))
def test_an_export_has_every_call_once_oldest_first_with_its_texts(db, place):
    wanted = some_filters(db)[place]
    found = list(every(db, wanted))
    assert [row.id for row, *_ in found] == pages(db, wanted, "newest", 0, 100)[::-1]
    for row, _, messages, reply in found[:20]:
        whole = calls.whole(db, row.id)
        assert (row, tuple(messages), reply) == (whole.row, whole.messages, whole.reply)


def test_an_export_can_go_on_where_it_was(db):
    ids = [row.id for row, *_ in every(db, Filter(hop=1))]
    assert [row.id for row, *_ in every(db, Filter(hop=1), ids[9])] == ids[10:]


def quantile(values, share):
    ranked = sorted(values)
    return float(f"{ranked[math.ceil(len(ranked) * share) - 1]:.1e}")


@pytest.mark.parametrize("by", ["stage", "hop", "prompt", "model", "run", "status"])
@pytest.mark.parametrize("place", range(6))
def test_sums_are_those_of_the_rows(db, by, place):
    wanted = some_filters(db)[place]
    rows = [row for row in all_rows(db) if fits(wanted, row[4])]
    for found in figures.figures(db, by, wanted):
        mine = [row for row in rows if str(getattr(row[4], by)) == found.name]
        answered = [row for row in mine if row[4].status != "failed"]
        assert found.calls == len(mine)
        assert found.cost_nanousd == sum(row[2] for row in mine)
        assert found.failed == len(mine) - len(answered)
        assert found.rejected == sum(row[4].status == "rejected" for row in mine)
        assert found.questions == sum(row[4].turn == 0 for row in answered)
        assert found.repairs == sum(row[4].turn > 0 for row in answered)
        if answered:
            assert found.p50_ms == quantile([row[1] for row in answered], 0.5)
            assert found.p95_ms == quantile([row[1] for row in answered], 0.95)
    assert sum(found.calls for found in figures.figures(db, by, wanted)) == len(rows)


def test_nodes_that_fell_back_are_counted_under_the_model_that_was_asked(db):
    found = {one.name: one for one in figures.figures(db, "model")}
    assert "extractive" not in found
    fallen = db.execute("SELECT count(*) FROM outcomes WHERE status = 'fallback'").fetchone()[0]
    assert sum(one.fallback for one in found.values()) == fallen > 0
    assert sum(one.nodes for one in found.values()) == sum(
        count for (count,) in db.execute("SELECT nodes FROM outcome_groups")
    )


def test_a_call_is_shown_with_its_repairs_and_its_failed_attempts(db):
    (repair,) = db.execute("SELECT id FROM calls WHERE turn = 1 ORDER BY id LIMIT 1").fetchone()
    whole = calls.whole(db, repair)
    assert [row.turn for row in whole.question] == [0, 1]
    assert whole.question[0].status == "rejected" and whole.question[1].id == repair
    assert whole.messages[2][0] == "assistant" and "Too long" in whole.messages[3][1]
    (failed,) = db.execute("SELECT id FROM calls WHERE status = 'failed' LIMIT 1").fetchone()
    tried = calls.whole(db, failed)
    assert tried.reply is None and len(tried.question) == 2


def test_a_call_that_is_not_there_is_told(db):
    with pytest.raises(UsageError, match="No call 999999"):
        calls.whole(db, 999_999)


def test_nodes_that_share_an_answer_lead_to_the_same_calls(tmp_path):
    """Whoever came first made the question, or a repair of it; either life shows both."""
    opening = (("system", "be brief"), ("user", "what is it?"))
    said = (("assistant", "no"), ("user", "more"))
    first = replace(CALL, key="first", node="item:1", messages=opening, status="rejected")
    second = replace(
        CALL, key="shared", node="item:2", messages=(*opening, *said), turn=1, reply="Same."
    )
    with Ledger(tmp_path / "ledger.sqlite") as ledger:

        async def write():
            for one in (first, second):
                await ledger.record(one)
            both = [
                Outcome(f"item:{n}", CALL.hop, "written", 2, "", "p@1:abc", "m", "Same.", "shared")
                for n in (1, 2)
            ]
            await ledger.settle("r", both)

        asyncio.run(write())
    with reading(tmp_path) as db:
        for node in ("item:1", "item:2"):
            (one,) = nodes.life(db, node)
            assert [row.id for row in calls.behind(db, one)] == [1, 2]
        assert [row.id for row in calls.whole(db, 1).question] == [1, 2]
        assert [row.id for row in calls.whole(db, 2).question] == [1, 2]


def test_the_same_question_to_another_model_is_another_question(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:

        async def record():
            await ledger.record(replace(CALL, key="one"))
            await ledger.record(replace(CALL, key="two", model="another"))
            told = Outcome(CALL.node, CALL.hop, "written", 1, "", "p@1:abc", "m", "So.", "two")
            await ledger.settle(CALL.run, [told])

        asyncio.run(record())
    with reading(tmp_path) as db:
        assert [row.id for row in calls.whole(db, 1).question] == [1]
        assert [row.id for row in calls.behind(db, *nodes.life(db, CALL.node))] == [2]


def test_looking_goes_on_beside_a_writer_and_sees_one_moment(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        asyncio.run(ledger.record(CALL))
        with reading(tmp_path) as db:
            before = len(calls.page(db, Filter()).rows)
            asyncio.run(ledger.record(replace(CALL, key="k2")))
            assert len(calls.page(db, Filter()).rows) == before == 1
        with reading(tmp_path) as db:
            assert len(calls.page(db, Filter()).rows) == 2


def test_nothing_can_be_written_by_looking(db):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM calls")


def test_a_folder_that_cannot_be_written_to_can_be_looked_at(workspace, tmp_path):
    folder = tmp_path / "ws"
    folder.mkdir()
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as source:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (folder / "ledger.sqlite").write_bytes((workspace / "ledger.sqlite").read_bytes())
    folder.chmod(0o555)
    try:
        with reading(folder) as db:
            assert calls.page(db, Filter()).rows
    finally:
        folder.chmod(0o755)


def test_a_damaged_ledger_is_told_with_a_way_out(workspace, tmp_path):
    body = bytearray((workspace / "ledger.sqlite").read_bytes())
    body[8192:] = random.Random(1).randbytes(len(body) - 8192)
    (tmp_path / "ledger.sqlite").write_bytes(body)
    with pytest.raises(StoreError, match="cannot be read") as error, reading(tmp_path) as db:
        calls.page(db, Filter())
    assert "stores rebuild" in error.value.hint


def test_a_workspace_without_a_ledger_is_told(tmp_path):
    with pytest.raises(UsageError, match="no ledger"), reading(tmp_path):
        pass


def test_plans_of_the_lists_read_no_whole_table(db):
    """Every query finds its rows by an index; only some hundred rows are gone through."""
    few = ("json_each", "call_groups", "call_latencies", "outcome_groups", "runs")
    asked, filters = [], some_filters(db)
    db.set_trace_callback(asked.append)
    for wanted in filters:
        for order in ("newest", "slowest", "dearest"):
            page = calls.page(db, wanted, order, 1.0, limit=5)
            for row in page.rows[:1]:
                calls.whole(db, row.id)
    figures.figures(db, "stage")
    db.set_trace_callback(None)
    assert len(asked) > 50
    for sql in {sql for sql in asked if sql.startswith("SELECT")}:
        for *_, step in db.execute(f"EXPLAIN QUERY PLAN {sql}"):
            assert not step.startswith("SCAN") or any(name in step for name in few), (sql, step)
