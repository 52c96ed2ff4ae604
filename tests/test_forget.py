"""`data forget`: nothing of a user is in any file, and the next refine asks what was removed."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pyarrow.parquet as pq
import pytest

from stores.changing import append, doomed, remove
from stores.chroma import Server
from stores.descriptions import Descriptions
from stores.formats.importing import Reading
from stores.graph_file import said_by
from stores.runs import Embeddings, write_embeddings
from tests.conftest import ROOT
from tests.finished import Finished
from tests.worlds import make

CANARY = "zqcanaryzq"
EARLIER = "zqearlierzq"
LEAVER = "u3"


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def rows_of(data):
    text = (data / "interactions.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def rewritten(data, change):
    lines(data / "interactions.jsonl", [change(row) for row in rows_of(data)])


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    """Data in which one user's words all carry a canary, refined; the server goes on to answer."""
    home = tmp_path_factory.mktemp("canary")
    data = make(home / "data", users=14, items=10)

    def marked(row):
        row.pop("split")
        own = {"review": f"Das Ding is “{CANARY}” fine, {row['item_id']}.", "summary": f"{CANARY}!"}
        return row | own if row["user_id"] == LEAVER else row

    rewritten(data, marked)
    tastes = [(f"u{n}", CANARY if f"u{n}" == LEAVER else "x") for n in range(14)]
    lines(data / "users.jsonl", [{"user_id": user, "taste": taste} for user, taste in tastes])
    # Without descriptions every item profile shows reviews.
    lines(data / "items.jsonl", [{"item_id": f"i{n}", "title": f"Title-i{n}"} for n in range(10)])
    command = [sys.executable, "-m", "tests.far_side.server", "--log", str(home / "far.jsonl")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
            at = Finished(home, url, home / "far.jsonl")
            assert refine(at).code == 0
            yield at
        finally:
            server.terminate()


@pytest.fixture
def at(refined, tmp_path):
    return refined.copied(tmp_path)


def refine(at):
    return at.run("refine", "--neighbours", "3", *at.model, "--json")


def forget(at, who=f"user:{LEAVER}"):
    return at.run("data", "forget", who, "--json")


def files_with(folder, *marks):
    """Files in which a mark stands, in whatever spelling; of parquet, what its columns say."""
    spelt = [mark.encode(code) for mark in marks for code in ("utf-8", "utf-16-le", "utf-16-be")]
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        raw = path.read_bytes()
        if path.suffix == ".parquet":
            raw = json.dumps(pq.read_table(path).to_pydict()).encode()
        if any(one in raw for one in spelt):
            found.append(str(path.relative_to(folder)))
    return found


def found(at, sql, *values):
    with closing(sqlite3.connect(at.ws / "ledger.sqlite")) as db:
        return db.execute(sql, values).fetchall()


def node_hops(at):
    return set(found(at, "SELECT DISTINCT node, hop FROM calls WHERE node != ''"))


def portraits(at):
    """The names that the server gave to what it wrote from the canary, or from what it so wrote."""
    sql = (
        "SELECT asked.body, substr(said.body, instr(said.body, 'portrait ') + 9, 16) FROM calls"
        " JOIN json_each(messages) JOIN texts AS asked ON asked.hash = json_extract(value, '$[1]')"
        " JOIN texts AS said ON said.hash = calls.reply"
    )
    calls, names = found(at, sql), {CANARY}
    while more := {n for asked, n in calls if any(one in asked for one in names)} - names:
        names |= more
    return names - {CANARY}


def test_nothing_of_a_forgotten_user_is_in_any_file(at):
    assert {"ledger.sqlite", "graph.sqlite"} <= set(files_with(at.ws, CANARY))
    written = portraits(at)
    assert len(written) > 10 and "chroma/chroma.sqlite3" in files_with(at.ws, *written)
    # What a repair puts aside, and what a change leaves behind that was killed.
    shutil.copy(at.ws / "ledger.sqlite", at.ws / "ledger.sqlite.damaged-1")
    shutil.copytree(at.data, at.home / ".data.17.old")
    done = forget(at)
    assert (done.code, done.summary["still_in"]) == (0, []), done.err
    assert files_with(at.home, CANARY, *written) == []
    assert LEAVER not in str(pq.read_table(at.ws / "split" / "split.parquet").to_pydict())


def test_the_next_refine_asks_what_was_removed_and_nothing_else(at):
    before, asked = node_hops(at), len(at.asked())
    known = {str(one) for one in at.asked()}
    assert forget(at).code == 0
    kept = node_hops(at)
    removed = {one for one in before - kept if one[0] != f"user:{LEAVER}"}
    assert removed and kept and kept < before
    done = refine(at)
    assert done.code == 0, done.err
    again = {str(one) for one in at.asked()[asked:]}
    assert node_hops(at) == kept | removed
    assert len(again) == done.summary["calls"] == len(removed)
    assert not known & again and CANARY not in str(again)


def test_runs_that_learnt_from_the_user_go_and_others_stay(at):
    for name, users in (("with", [LEAVER, "u1"]), ("without", ["u1"])):
        (at.ws / "runs" / name).mkdir(parents=True)
        some = Embeddings(users, ["i1"], np.ones((len(users) + 1, 2), dtype=np.float32))
        write_embeddings(at.ws / "runs" / name, some)
    (at.ws / "runs" / "unfinished").mkdir()
    assert forget(at).summary["runs"] == ["unfinished", "with"]
    assert [path.name for path in (at.ws / "runs").iterdir()] == ["without"]


def test_the_counts_of_the_ledger_are_those_of_its_rows(at):
    told = forget(at).summary
    assert told["calls"] > 0 and told["descriptions"] > 0 and told["interactions"] == 6
    calls = found(at, "SELECT count(*) FROM calls")
    assert calls == found(at, "SELECT sum(calls) FROM call_groups") != [(0,)]
    nodes = found(at, "SELECT count(*) FROM outcomes")
    assert nodes == found(at, "SELECT sum(nodes) FROM outcome_groups") != [(0,)]


def test_a_user_who_was_edited_and_removed_before_is_forgotten_too(at):
    theirs = [row for row in rows_of(at.data) if row["user_id"] == LEAVER]
    edits = [row | {"review": f"{EARLIER} it was."} for row in theirs]
    append(lines(at.home / "edits.jsonl", edits), at.data, Reading())
    assert refine(at).code == 0
    remove(at.data, doomed([f"user:{LEAVER}"]))
    assert refine(at).code == 0
    assert files_with(at.ws, CANARY) and files_with(at.ws, EARLIER)
    assert {said for _, said in said_by(at.ws, {LEAVER})} == {None}
    assert forget(at).code == 0
    assert files_with(at.ws, CANARY, EARLIER) == [] == said_by(at.ws, {LEAVER})


def test_to_forget_twice_changes_nothing(at):
    forget(at)
    left = node_hops(at)
    again = forget(at)
    assert (again.code, again.summary["calls"], again.summary["unknown"]) == (0, 0, 1)
    assert "Nothing is known of 1 of these users" in again.err
    assert node_hops(at) == left


def test_words_that_stand_within_the_text_of_another_are_not_told_as_left(at):
    theirs = next(row["review"] for row in rows_of(at.data) if row["user_id"] == LEAVER)
    quoted = f"As somebody said: {theirs} And so it is."

    def quoting(row):
        return row | {"review": quoted} if row["user_id"] == "u1" else row

    append(lines(at.home / "edits.jsonl", map(quoting, rows_of(at.data))), at.data, Reading())
    assert refine(at).code == 0
    done = forget(at)
    assert (done.code, done.summary["still_in"]) == (0, []), done.err


def test_an_item_is_refused(at):
    done = forget(at, "item:i1")
    assert done.code == 2 and "no user" in done.err


def test_a_workspace_of_other_data_is_left_alone(at):
    before = node_hops(at)
    other = make(at.home / "other", users=5, items=8)
    done = at.run("data", "forget", f"user:{LEAVER}", "--data", other)
    assert done.code == 2 and "belongs to other data" in done.err
    assert node_hops(at) == before


def test_on_a_chroma_server_the_texts_go_as_well(at, chroma_url):
    where = ("--chroma", chroma_url)
    done = at.run("refine", "--neighbours", "3", *at.model, *where)
    assert done.code == 0, done.err
    written = portraits(at)
    assert any(name in text for name in written for text in on_server(at, chroma_url))
    refused = forget(at)
    assert refused.code == 2 and "--chroma" in refused.err
    assert at.run("data", "forget", f"user:{LEAVER}", *where).code == 0
    left = on_server(at, chroma_url)
    assert left and not any(name in text for name in (CANARY, *written) for text in left)


def on_server(at, url):
    stored = Descriptions(at.ws / "chroma", Server(url))
    try:
        layers = [stored.texts(kind, hop) for kind, hop in stored.layers()]
        return [text for layer in layers for text in layer.values()]
    finally:
        stored.close()
