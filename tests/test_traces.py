"""`python cli.py traces …` on what a real run left behind: list, show, node, stats, export."""

import json
import shutil
import sqlite3
from contextlib import closing

import pyarrow.parquet as pq
import pytest

from stores import graph_file
from stores.datasets import load_training
from tests.finished import finished


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with finished(tmp_path_factory.mktemp("traces")) as at:
        yield at


def rows(made, sql, *values):
    with closing(sqlite3.connect(made.ws / "ledger.sqlite")) as db:
        return db.execute(sql, values).fetchall()


def told(made, *words):
    done = made.look("traces", *words, "--json")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1
    return done.summary


@pytest.mark.parametrize(
    ("words", "which"),
    [
        ([], "1"),
        (["--run", "last"], "1"),
        (["--node", "user:u3"], "node = 'user:u3'"),
        (["--node", "u3", "--hop", "1"], "node = 'user:u3' AND hop = 1"),
        (["--stage", "user profiles"], "stage = 'user profiles'"),
        (["--status", "rejected"], "status = 'rejected'"),
        (["--status", "failed", "--hop", "2"], "status = 'failed' AND hop = 2"),
        (["--prompt", "refine_item"], "prompt LIKE 'refine_item@%'"),
        (["--prompt", "refine_item@1", "--model", "far"], "prompt LIKE 'refine_item@1:%'"),
        (["--model", "another"], "0"),
    ],
)
def test_a_list_has_the_calls_that_were_asked_for_the_newest_first(made, words, which):
    found = told(made, "list", *words, "--limit", "500")
    wanted = rows(made, f"SELECT id FROM calls WHERE {which} ORDER BY id DESC")
    assert [call["id"] for call in found["calls"]] == [id for (id,) in wanted]
    assert found["following"] is None


def test_a_list_goes_on_where_the_page_before_ended(made):
    first = told(made, "list", "--limit", "7")
    second = told(made, "list", "--limit", "7", "--after", first["following"])
    newest = [id for (id,) in rows(made, "SELECT id FROM calls ORDER BY id DESC LIMIT 14")]
    assert [call["id"] for call in first["calls"] + second["calls"]] == newest


def test_slow_calls_come_the_slowest_first(made):
    found = told(made, "list", "--slow", "0.001", "--limit", "20")["calls"]
    took = [call["latency_ms"] for call in found]
    assert took == sorted(took, reverse=True) and took[-1] >= 1


def test_slow_and_cost_cannot_both_order_a_list(made):
    done = made.look("traces", "list", "--slow", "1", "--cost", "1")
    assert done.code == 2 and "--slow and --cost" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--status", "fine"], "accepted, rejected, failed"),
        (["list", "--run", "2001"], None),
        (["list", "--node", "nobody"], "nobody"),
        (["show", "99999"], "No call 99999"),
        (["node", "u77"], "user:u7"),
        (["stats", "--by", "colour"], "stage, hop, prompt"),
        (["export"], "--out FILE"),
        (["export", "--out", "x.csv"], ".jsonl"),
        (["export", "--otlp", "http://127.0.0.1:1", "--hop", "1"], "whole run"),
    ],
)
def test_what_is_not_there_is_told_in_a_message(made, words, said):
    done = made.look("traces", *words)
    assert "Traceback" not in done.err
    if said is None:
        assert done.code == 0 and "No call is like that" in done.out
    else:
        assert done.code == 2 and said in done.err


def test_a_call_is_shown_with_the_very_messages_that_the_server_was_sent(made):
    sent = [[(m["role"], m["content"]) for m in messages] for messages in made.asked()]
    for (id,) in rows(made, "SELECT id FROM calls WHERE node != '' ORDER BY id LIMIT 12"):
        call = told(made, "show", id)
        assert [(m["role"], m["content"]) for m in call["messages"]] in sent
        shown = made.look("traces", "show", id)
        assert call["messages"][0]["content"] in shown.out and call["status"] in shown.out


def test_a_rejected_call_is_shown_with_its_complaint_and_the_repair(made):
    ((id, reason),) = rows(
        made, "SELECT id, reason FROM calls WHERE status = 'rejected' AND turn = 0 LIMIT 1"
    )
    call = told(made, "show", id)
    assert call["check"] == reason
    repair = next(one for one in call["question"] if one["turn"] == 1)
    again = told(made, "show", repair["id"])
    assert reason in again["messages"][-1]["content"]
    assert again["messages"][-2]["content"] == (call["reply"] or "(empty)")[:4000]


def test_a_nodes_life_says_what_it_saw_what_was_said_and_what_changed(made):
    found = told(made, "node", "user:u3")
    assert [hop["hop"] for hop in found["hops"]] == [0, 1, 2]
    for below, hop in zip(found["hops"], found["hops"][1:], strict=False):
        if hop["status"] != "written":
            continue
        own, *neighbours = hop["saw"]
        assert own["text"] in below["text"] or own["text"].endswith("[…]")
        assert all(text["node"].startswith("item:") for text in neighbours)
        question = told(made, "show", hop["calls"][0]["id"])["messages"][1]["content"]
        for text in hop["saw"]:
            assert text["text"].removesuffix(" […]")[:200].split("\n")[0] in question
        added = "".join(p["text"] for p in hop["changed"] if p["kind"] == "added")
        assert added.strip() == hop["text"].removeprefix(below["text"]).strip()
    shown = made.look("traces", "node", "u3").out
    assert "saw description of item:" in shown and "{+" in shown


def test_a_nodes_life_never_shows_what_was_held_out(made):
    assert any("heldout" in line for line in (made.data / "interactions.jsonl").open())
    for node in [f"user:u{n}" for n in range(8)] + [f"item:i{n}" for n in range(6)]:
        found = json.dumps(told(made, "node", node))
        assert "heldout" not in found
        assert "mark-" in found or node.startswith("item")


def test_a_workspace_that_never_had_its_graph_gets_it_from_the_data(made, tmp_path):
    shutil.copytree(made.ws, tmp_path / "ws")
    (tmp_path / "ws" / "graph.sqlite").unlink()
    other = [
        "traces", "node", "user:u3", "--data", str(tmp_path / "gone"), "--workspace",
        str(tmp_path / "ws"), "--json",
    ]  # fmt: skip
    without = made.look(*other)
    assert without.code == 0 and "not shown" in without.summary["evidence"]
    assert without.summary["hops"][1]["text"] and not without.summary["hops"][1]["saw"]
    found = made.look("traces", "node", "user:u3", "--workspace", tmp_path / "ws", "--json")
    assert found.code == 0, found.err
    assert found.summary["hops"] == told(made, "node", "user:u3")["hops"]


def test_the_graph_in_the_workspace_is_the_training_graph(made):
    data = load_training(made.data, made.ws / "split", 0)
    with graph_file.reading(made.ws) as db:
        for user in data.users:
            part = graph_file.around(db, f"user:{user}")
            mine = tuple(row for row in data.training if row.user == user)
            assert part.interactions == mine
            assert graph_file.degree(db, f"user:{user}") == len(mine)


def test_stats_count_calls_repairs_and_fallbacks(made):
    found = told(made, "stats")
    for by in ("stage", "hop", "prompt", "model"):
        assert (
            sum(row["calls"] for row in found[by]) == rows(made, "SELECT count(*) FROM calls")[0][0]
        )
    stage = next(row for row in found["stage"] if row["name"] == "hop 1")
    ((asked, repairs),) = rows(
        made,
        "SELECT sum(turn = 0), sum(turn > 0) FROM calls WHERE hop = 1 AND status != 'failed'",
    )
    assert stage["repair_rate"] == repairs / asked > 0
    assert stage["cost_usd"] is None and stage["unpriced"] == asked + repairs
    assert "unpriced" in made.look("traces", "stats").out


def test_stats_are_drawn_into_a_picture(made, tmp_path):
    found = told(made, "stats", "--by", "stage", "--plot", tmp_path / "deep" / "stats.png")
    assert found["plot"] == str(tmp_path / "deep" / "stats.png")
    assert (tmp_path / "deep" / "stats.png").read_bytes().startswith(b"\x89PNG")
    assert made.look("traces", "stats", "--plot", tmp_path / "stats.txt").code == 2


def test_an_export_is_read_back_as_it_was_written(made, tmp_path):
    lines, table = tmp_path / "calls.jsonl", tmp_path / "calls.parquet"
    count = told(made, "export", "--out", lines)["calls"]
    assert told(made, "export", "--out", table)["calls"] == count
    first = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert [row["id"] for row in first] == [
        id for (id,) in rows(made, "SELECT id FROM calls ORDER BY id")
    ]
    assert pq.read_table(table).to_pylist() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.jsonl", "calls.parquet"]


def test_an_export_takes_the_same_filters(made, tmp_path):
    out = tmp_path / "some.jsonl"
    told(made, "export", "--out", out, "--node", "user:u3", "--hop", "1")
    found = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert found and {(row["node"], row["hop"]) for row in found} == {("user:u3", 1)}


def test_text_from_strangers_cannot_reach_the_terminal(made, tmp_path):
    hostile = "\x1b]0;pwned\x07\x1b[2J[red]red[/red] \u202egnp.exe \x9b31m"
    shutil.copytree(made.ws, tmp_path / "ws")
    with closing(sqlite3.connect(tmp_path / "ws" / "ledger.sqlite")) as db:
        db.execute("UPDATE texts SET body = body || ?", (hostile,))
        db.execute("UPDATE calls SET reason = ?", (hostile,))
        db.commit()
    for words in (["list"], ["show", "20"], ["node", "user:u3"]):
        said = made.look("traces", *words, "--workspace", tmp_path / "ws").out
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said)
        assert "[red]red[/red]" in said and "<U+001B>" in said


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_what_is_printed_is_no_wider_than_the_terminal(made, columns):
    for words in (["list"], ["show", "20"], ["node", "user:u3"], ["stats"]):
        out = made.look("traces", *words, env={"COLUMNS": str(columns)}).out
        assert max(map(len, out.splitlines())) <= columns


def test_a_workspace_in_which_nothing_was_asked_is_told(made, tmp_path):
    done = made.look("traces", "list", "--workspace", tmp_path)
    assert done.code == 2 and "no ledger" in done.err and list(tmp_path.iterdir()) == []
