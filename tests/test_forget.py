"""`data forget`: nothing of a user is left in any file, and the next refine asks what was removed."""

import json
import sqlite3
from contextlib import closing

import pyarrow.parquet as pq
import pytest

from stores.graph_file import said_by
from tests.worlds import make

CANARY = "zqcanaryzq"
EARLIER = "zqearlierzq"
LEAVER = "u3"


def rewritten(folder, change):
    path = folder / "interactions.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows), "utf-8")


@pytest.fixture
def world(tmp_path, cli, far_side):
    """Data in which one user's words all carry a canary, refined; and the words of a refine."""
    data = make(tmp_path / "data", users=14, items=10)

    def marked(row):
        row.pop("split")
        own = {"review": f"Das Ding is “{CANARY}” fine, {row['item_id']}.", "summary": f"{CANARY}!"}
        return row | own if row["user_id"] == LEAVER else row

    rewritten(data, marked)
    people = [
        {"user_id": f"u{n}", "taste": CANARY if f"u{n}" == LEAVER else "x"} for n in range(14)
    ]
    (data / "users.jsonl").write_text("".join(json.dumps(row) + "\n" for row in people), "utf-8")
    # Without descriptions every item profile shows reviews.
    things = [{"item_id": f"i{n}", "title": f"Title-i{n}"} for n in range(10)]
    (data / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in things), "utf-8")
    far = far_side()
    at = ["--data", data, "--workspace", tmp_path / "ws", "--json"]
    model = ["--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]
    words = ["refine", *at, *model, "--neighbours", "3"]
    done = cli(*words)
    assert done.code == 0, done.err
    return data, tmp_path / "ws", far, words, ["data", "forget", f"user:{LEAVER}", *at]


def files_with(folder, *marks):
    """Files in which a mark stands, in whatever spelling; of parquet, what its columns say."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        raw = path.read_bytes()
        if path.suffix == ".parquet":
            raw = json.dumps(pq.read_table(path).to_pydict()).encode()
        spellings = [
            s for m in marks for s in (m.encode(), m.encode("utf-16-le"), m.encode("utf-16-be"))
        ]
        if any(one in raw for one in spellings):
            found.append(str(path.relative_to(folder)))
    return found


def asked(far):
    return [
        json.dumps(r["body"], ensure_ascii=False) for r in far.requests() if r["kind"] == "chat"
    ]


def node_hops(workspace, run="SELECT DISTINCT node, hop FROM calls WHERE node != ''"):
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        return set(db.execute(run))


def test_nothing_of_a_forgotten_user_is_in_any_file(world, cli, tmp_path):
    data, workspace, _far, _words, forget = world
    assert {"ledger.sqlite", "graph.sqlite"} <= set(files_with(workspace, CANARY))
    said = portraits(workspace)
    done = cli(*forget)
    assert (done.code, done.summary["still_in"]) == (0, []), done.err
    assert files_with(workspace, CANARY) == files_with(data, CANARY) == []
    assert said and files_with(workspace, *said) == [], "nor what was written from their words"
    for path in (workspace / "split" / "split.parquet", workspace / "workspace.json"):
        assert LEAVER not in str(
            pq.read_table(path) if path.suffix == ".parquet" else path.read_text()
        )


def portraits(workspace):
    """The names that the server gave its replies to questions that showed the canary."""
    sql = (
        "SELECT substr(reply.body, instr(reply.body, 'portrait ') + 9, 16) FROM calls"
        " JOIN json_each(messages) JOIN texts ON hash = json_extract(value, '$[1]')"
        " JOIN texts AS reply ON reply.hash = calls.reply WHERE texts.body LIKE ?"
    )
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        return {name for (name,) in db.execute(sql, (f"%{CANARY}%",))}


def test_the_next_refine_asks_what_was_removed_and_nothing_else(world, cli):
    _data, workspace, far, words, forget = world
    before, known = node_hops(workspace), set(asked(far))
    removed = before - (kept := (cli(*forget), node_hops(workspace))[1])
    assert removed and kept
    count = len(asked(far))
    done = cli(*words)
    assert done.code == 0, done.err
    again = asked(far)[count:]
    assert node_hops(workspace) == {one for one in before if one[0] != f"user:{LEAVER}"}
    assert len(again) == len({one for one in removed if one[0] != f"user:{LEAVER}"})
    assert not any(CANARY in one for one in again)
    assert not known & set(again), "what was answered and could stay is not asked again"


def test_the_counts_of_the_ledger_are_those_of_its_rows(world, cli):
    _data, workspace, _far, _words, forget = world
    told = cli(*forget).summary
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        (calls,), (summed,) = (
            db.execute(sql).fetchone()
            for sql in ("SELECT count(*) FROM calls", "SELECT sum(calls) FROM call_groups")
        )
        (nodes,), (outcomes,) = (
            db.execute(sql).fetchone()
            for sql in ("SELECT sum(nodes) FROM outcome_groups", "SELECT count(*) FROM outcomes")
        )
    assert calls == summed > 0 and nodes == outcomes > 0
    assert told["calls"] > 0 and told["descriptions"] > 0 and told["interactions"] == 6


def test_a_user_who_was_removed_or_edited_before_is_forgotten_too(world, cli, tmp_path):
    data, workspace, _far, words, forget = world
    edit = tmp_path / "edit.jsonl"
    rows = [json.loads(line) for line in (data / "interactions.jsonl").read_text().splitlines()]
    theirs = [row | {"review": f"{EARLIER} it was."} for row in rows if row["user_id"] == LEAVER]
    edit.write_text("".join(json.dumps(row) + "\n" for row in theirs), "utf-8")
    assert cli("data", "import", edit, "--append", "--out", data).code == 0
    assert cli(*words).code == 0
    assert cli("data", "remove", f"user:{LEAVER}", "--data", data).code == 0
    assert cli(*words).code == 0
    assert files_with(workspace, CANARY) and files_with(workspace, EARLIER)
    assert {said for _, said in said_by(workspace, {LEAVER})} == {None}
    assert cli(*forget).code == 0
    assert files_with(workspace, CANARY, EARLIER) == []
    assert said_by(workspace, {LEAVER}) == []


def test_to_forget_twice_changes_nothing_and_an_item_is_refused(world, cli):
    _data, workspace, _far, _words, forget = world
    cli(*forget)
    left = node_hops(workspace)
    again = cli(*forget)
    assert again.code == 0 and again.summary["calls"] == 0 and again.summary["unknown"] == 1
    assert node_hops(workspace) == left
    refused = cli(*forget[:2], "item:i1", *forget[3:])
    assert refused.code == 2 and "no user" in refused.err
