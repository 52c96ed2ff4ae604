"""`python cli.py refine` as a user runs it: real processes, a real server, real Chroma."""

import json
import sqlite3
from pathlib import Path

import pytest

from stores.descriptions import Descriptions
from tests.far_side import server
from tests.far_side.picky import listening, picky
from tests.worlds import make

HOPS = 2


def ledger(workspace: Path) -> sqlite3.Connection:
    return sqlite3.connect(workspace / "ledger.sqlite")


def outcomes(workspace: Path, run: str) -> dict[tuple[str, int], tuple[str, str]]:
    """Status and text of every node and hop of a run."""
    rows = ledger(workspace).execute(
        "SELECT node, hop, status, body FROM outcomes JOIN texts ON hash = text WHERE run = ?",
        (run,),
    )
    return {(node, hop): (status, body) for node, hop, status, body in rows}


def model(far) -> list[str]:
    return ["--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]


def test_every_node_has_a_description_and_an_embedding_at_every_hop(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data"), tmp_path / "ws"
    done = cli("refine", "--data", data, "--workspace", workspace, "--json", *model(far_side()))
    assert done.code == 0, done.err
    assert done.summary["failed"] == done.summary["fallback"] == 0
    stored = Descriptions(workspace / "chroma")
    for hop in range(HOPS + 1):
        for kind, count in (("user", 30), ("item", 20)):
            nodes, vectors = stored.vectors(kind, hop)
            assert nodes == sorted(f"{kind}:{kind[0]}{n}" for n in range(count))
            assert vectors.shape == (count, 16)
            assert set(stored.texts(kind, hop)) == set(nodes)


def test_each_hop_appends_one_paragraph_and_leaves_the_ones_before(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data"), tmp_path / "ws"
    done = cli("refine", "--data", data, "--workspace", workspace, "--json", *model(far_side()))
    told = outcomes(workspace, done.summary["run"])
    for (node, hop), (_status, text) in told.items():
        if hop:
            below = told[node, hop - 1][1]
            assert text.startswith(below + "\n\n")
            assert len(text.split("\n\n")) == hop + 1


def test_replace_keeps_one_paragraph(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data"), tmp_path / "ws"
    done = cli(
        "refine", "--data", data, "--workspace", workspace, "--mode", "replace", "--json",
        *model(far_side()),
    )  # fmt: skip
    texts = [text for _, text in outcomes(workspace, done.summary["run"]).values()]
    assert texts and not any("\n\n" in text for text in texts)


def test_a_second_run_asks_and_embeds_nothing(cli, far_side, tmp_path):
    data, workspace, far = make(tmp_path / "data"), tmp_path / "ws", far_side()
    words = ["refine", "--data", data, "--workspace", workspace, "--json", *model(far)]
    first = cli(*words)
    asked = len(far.requests())
    second = cli(*words)
    assert len(far.requests()) == asked
    assert second.summary["calls"] == second.summary["embedded"] == 0
    assert second.summary["cached"] == first.summary["calls"]
    assert outcomes(workspace, first.summary["run"]) == outcomes(workspace, second.summary["run"])


def test_fresh_asks_everything_again_and_a_later_run_keeps_the_new_answers(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data"), tmp_path / "ws"
    words = ["refine", "--data", data, "--workspace", workspace, "--json", *model(far_side())]
    first, fresh = cli(*words), cli(*words, "--fresh")
    assert fresh.summary["calls"] == first.summary["calls"]
    assert cli(*words).summary["calls"] == 0


def test_a_model_that_never_says_the_same_twice_is_asked_once_per_question(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data", users=12, items=12), tmp_path / "ws"
    things = "".join(
        json.dumps({"item_id": f"i{n}", "title": "Strings", "description": "A set of strings."})
        + "\n"
        for n in range(12)
    )
    (data / "items.jsonl").write_text(things, "utf-8")
    far = far_side(latency=0.02, moody=True)
    words = ["refine", "--data", data, "--workspace", workspace, "--json", *model(far)]
    first = cli(*words)
    asked = [request["name"] for request in far.requests() if request["kind"] == "chat"]
    assert len(asked) == len(set(asked)) < sum(first.summary["nodes"])
    second = cli(*words)
    assert second.summary["calls"] == second.summary["embedded"] == 0
    assert outcomes(workspace, first.summary["run"]) == outcomes(workspace, second.summary["run"])


def test_a_limited_run_leaves_the_other_nodes_alone(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data", users=12, items=10), tmp_path / "ws"
    words = ["refine", "--data", data, "--workspace", workspace, *model(far_side())]
    cli(*words)
    before = Descriptions(workspace / "chroma").texts("user", 2)
    assert cli(*words, "--limit", "1", "--hops", "0", "--fresh").code == 0
    assert Descriptions(workspace / "chroma").texts("user", 2) == before
    done = cli(*words[:5], "--limit", "1", "--model", "offline")
    assert done.code == 2 and "another embedder" in done.err


def test_an_embedder_that_is_not_there_is_told_before_a_question_is_asked(cli, far_side, tmp_path):
    data, far = make(tmp_path / "data", users=6, items=6), far_side()
    done = cli(
        "profile", "--data", data, "--model", f"openai:far@{far.url}",
        "--embedder", "openai:far@http://127.0.0.1:1/v1",
    )  # fmt: skip
    assert done.code == 2 and "embedder" in done.err
    assert far.requests() == []


def test_an_inherited_langsmith_variable_sends_nothing(cli, tmp_path):
    data = make(tmp_path / "data", users=6, items=6)
    with listening() as (url, heard):
        traced = {
            "LANGSMITH_TRACING": "true",
            "LANGCHAIN_TRACING_V2": "true",
            "LANGSMITH_ENDPOINT": url,
            "LANGSMITH_API_KEY": "lsv2_x",
        }
        assert cli("profile", "--data", data, env=traced).code == 0
    assert heard == []


def test_with_faults_in_a_third_of_the_answers_no_node_is_lost_or_swapped(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data"), tmp_path / "ws"
    far = far_side(latency=0.005, jitter=0.08, bad=0.3, hangs=True)
    done = cli(
        "refine", "--data", data, "--workspace", workspace, "--json", "-j", "64", *model(far),
        env={"HOPSCRIBE_TIMEOUT": "1.5"},
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.summary["repaired"] > 0 and done.summary["retried"] > 0
    paid = ledger(workspace).execute(
        "SELECT max(n) FROM (SELECT count(*) AS n FROM calls WHERE status != 'failed' AND"
        " stage != 'embedding' GROUP BY node, hop)"
    )
    # The bound: an answer, and one for each of two repairs. What failed on the way was not paid.
    assert paid.fetchone()[0] <= 3
    told = outcomes(workspace, done.summary["run"])
    assert len(told) == 50 * (HOPS + 1)
    assert_every_text_answers_its_own_question(workspace, told)


def assert_every_text_answers_its_own_question(workspace, told):
    """A written text names the question it answers; that question must be about this node."""
    calls = ledger(workspace).execute(
        "SELECT node, hop, messages FROM calls WHERE status = 'accepted'"
    )
    texts = dict(ledger(workspace).execute("SELECT hash, body FROM texts"))
    questions = {
        (node, hop): [{"role": role, "content": texts[name]} for role, name in json.loads(messages)]
        for node, hop, messages in calls
    }
    written = 0
    for (node, hop), (status, text) in told.items():
        if status != "written":
            assert status == "fallback"
            continue
        written += 1
        messages = questions[node, hop]
        assert f"as portrait {server.digest(messages)} has it" in text.split("\n\n")[-1]
        kind, name = node.split(":")
        if kind == "item" and hop == 0:
            assert f"Title-{name}⟧" in messages[1]["content"]
        if kind == "user" and hop == 0:
            assert f"mark-{name}-" in messages[1]["content"]
        if hop:
            assert told[node, hop - 1][1].split("\n\n")[0] in messages[1]["content"]
    assert written > len(told) / 2


def test_limit_describes_the_targets_and_only_what_they_need(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data", users=60, items=50), tmp_path / "ws"
    done = cli(
        "refine", "--data", data, "--workspace", workspace, "--limit", "2", "--hops", "1",
        "--json", *model(far_side()),
    )  # fmt: skip
    summary = done.summary
    told = outcomes(workspace, summary["run"])
    assert (summary["users"], summary["items"]) == (2, 2)
    assert summary["nodes"][1] == 4 == sum(hop == 1 for _, hop in told)
    assert summary["nodes"][0] == sum(hop == 0 for _, hop in told) < 110


def test_a_workspace_of_other_data_is_refused_and_untouched(cli, tmp_path):
    workspace = tmp_path / "ws"
    first = make(tmp_path / "a", users=8, items=6)
    other = make(tmp_path / "b", users=8, items=6, seed=2)
    assert cli("profile", "--data", first, "--workspace", workspace).code == 0
    before = (workspace / "ledger.sqlite").read_bytes()
    done = cli("profile", "--data", other, "--workspace", workspace)
    assert done.code == 2
    assert "--workspace" in done.err and "Traceback" not in done.err
    assert (workspace / "ledger.sqlite").read_bytes() == before


def test_hops_that_no_longer_follow_from_the_layer_below_are_removed(cli, far_side, tmp_path):
    data, workspace = make(tmp_path / "data", users=8, items=8), tmp_path / "ws"
    words = ["refine", "--data", data, "--workspace", workspace, *model(far_side())]
    cli(*words, "--hops", "2")
    cli(*words, "--hops", "1")
    assert Descriptions(workspace / "chroma").texts("user", 2)
    cli(*words, "--hops", "1", "--fresh", "--neighbours", "2")
    assert not Descriptions(workspace / "chroma").texts("user", 2)


@pytest.mark.parametrize("server_says", [401, 404])
def test_a_model_that_cannot_be_used_stops_the_run_with_a_message(cli, tmp_path, server_says):

    data = make(tmp_path / "data", users=8, items=6)
    with picky([], server_says) as (url, _):
        done = cli(
            "refine", "--data", data, "--workspace", tmp_path / "ws", "--model", f"openai:x@{url}",
            env={"HOPSCRIBE_API_KEY": "sk-very-secret"},
        )  # fmt: skip
    assert done.code == 2
    assert f"HTTP {server_says}" in done.err and "Traceback" not in done.err
    everything = done.out + done.err
    for path in (tmp_path / "ws").rglob("*"):
        if path.is_file():
            everything += path.read_bytes().decode("latin-1")
    assert "sk-very-secret" not in everything
