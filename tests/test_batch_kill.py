"""A batch outlives the process that handed it in: it is adopted, never handed in again."""

import os
import signal
import sqlite3
import time

import pytest

from tests.batch_runs import ask, handed_in, intended, interrupted, kinds, polling, settle, wait_for
from tests.test_kill import all_texts, start
from tests.worlds import make

MOMENTS = {
    "intended, not uploaded": {"slow_upload": 0.7},
    "made, its name not written down": {"slow_create": 0.7},
    "polling": {"delay": 1.5},
    "harvesting": {"drip": 0.02},
}


def reached(moment, far, workspace):
    """Whether the run in this workspace has come to a moment."""
    if moment == "intended, not uploaded":
        return intended(workspace)
    if moment == "made, its name not written down":
        return kinds(far)["batch"] > 0
    if moment == "polling":
        return polling(workspace)
    return intended(workspace) and bool(ask(workspace, "SELECT 1 FROM calls WHERE hop = 0"))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_hands_nothing_in_twice_and_writes_the_same_texts(moment, far_side, tmp_path):
    data = make(tmp_path / "data", users=10, items=60)
    far = far_side("batches", **MOMENTS[moment])
    words = ["profile", "--batch", "--data", str(data), *settle(tmp_path, far)]
    workspace = tmp_path / "killed"
    killed = [*words, "--workspace", str(workspace)]
    process = start(killed, tmp_path)
    wait_for(lambda: reached(moment, far, workspace), process, tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    recorded = ask(workspace, "SELECT count(*) FROM calls WHERE hop = 0")[0][0]
    assert 0 < recorded < 60 if moment == "harvesting" else recorded == 0
    assert start(killed, tmp_path).wait() == 0, (tmp_path / "said.txt").read_text()
    assert set(handed_in(far).values()) == {1}
    rows = ask(workspace, "SELECT count(*), count(DISTINCT key) FROM calls WHERE hop = 0")
    assert rows == [(70, 70)], "an answer was lost or recorded twice"

    online = [word for word in words if word != "--batch"]
    assert start([*online, "--workspace", str(tmp_path / "whole")], tmp_path).wait() == 0
    assert all_texts(workspace) == all_texts(tmp_path / "whole")


def test_ctrl_c_leaves_the_batch_and_the_same_command_adopts_it(far_side, tmp_path):
    data, far = make(tmp_path / "data", users=8, items=8), far_side("batches", delay=2.5)
    workspace = tmp_path / "ws"
    words = ["profile", "--batch", "--data", str(data), "--workspace", str(workspace)]
    words += settle(tmp_path, far)
    said = interrupted(words, tmp_path, workspace)
    flat = " ".join(said.split())
    assert "batch_0" in flat and "Run the same command again to adopt it" in flat
    assert "python cli.py batch cancel batch_0" in flat and "Traceback" not in flat
    assert start(words, tmp_path).wait() == 0
    assert set(handed_in(far).values()) == {1} and kinds(far)["cancel"] == 0


def test_status_shows_a_batch_while_a_run_waits_for_it(cli, far_side, tmp_path):
    data, far = make(tmp_path / "data", users=8, items=8), far_side("batches", delay=6)
    workspace = tmp_path / "ws"
    words = ["profile", "--batch", "--data", str(data), "--workspace", str(workspace)]
    words += settle(tmp_path, far)
    settle(tmp_path / "home", far)
    process = start(words, tmp_path)
    wait_for(lambda: polling(workspace), process, tmp_path)
    shown = cli("batch", "status", "--workspace", workspace, "--json")
    process.kill()
    process.wait()
    assert shown.code == 0, shown.err
    (row,) = shown.summary["batches"]
    assert (row["batch"], row["status"], row["requests"]) == ("batch_0", "in_progress", 8)
    assert row["stage"] == "item profiles" and not row["harvested"]
    assert "batch_0" in shown.err


def test_fetch_records_an_ended_batch_and_asks_nothing(cli, far_side, tmp_path):
    data, far = make(tmp_path / "data", users=8, items=8), far_side("batches", delay=2)
    workspace = tmp_path / "ws"
    words = ["profile", "--batch", "--data", str(data), "--workspace", str(workspace)]
    words += settle(tmp_path, far)
    settle(tmp_path / "home", far)
    interrupted(words, tmp_path, workspace)
    time.sleep(2.2)
    fetched = cli("batch", "fetch", "--workspace", workspace, "--json")
    assert fetched.code == 0, fetched.err
    assert fetched.summary["recorded"] == 8 and fetched.summary["cost_usd"] > 0
    assert fetched.summary["batches"][0]["status"] == "completed"
    assert ask(workspace, "SELECT DISTINCT status FROM calls") == [("accepted",)]
    assert cli("batch", "fetch", "--workspace", workspace, "--json").summary["recorded"] == 0
    assert kinds(far)["batch"] == 1
    assert start(words, tmp_path).wait() == 0
    assert set(handed_in(far).values()) == {1}


def test_cancel_keeps_what_was_finished_and_the_next_run_asks_the_rest(cli, far_side, tmp_path):
    data, far = make(tmp_path / "data", users=8, items=8), far_side("batches", delay=30)
    workspace = tmp_path / "ws"
    words = ["profile", "--batch", "--data", str(data), "--workspace", str(workspace)]
    words += settle(tmp_path, far)
    settle(tmp_path / "home", far)
    interrupted(words, tmp_path, workspace)
    unknown = cli("batch", "cancel", "batch_7", "--workspace", workspace)
    assert unknown.code == 2 and "batch_0" in unknown.err
    done = cli("batch", "cancel", "batch_0", "--workspace", workspace, "--json")
    assert done.code == 0, done.err
    assert done.summary["recorded"] == 4
    assert done.summary["batches"][0]["status"] == "cancelled"
    finished = {key for (key,) in ask(workspace, "SELECT key FROM calls WHERE hop = 0")}
    process = start(words, tmp_path)
    wait_for(lambda: kinds(far)["batch"] == 2, process, tmp_path)
    process.kill()
    process.wait()
    assert {key for key, times in handed_in(far).items() if times == 1} == finished
    assert cli("batch", "cancel", "--all", "--workspace", workspace).code == 0


def test_a_batch_that_another_key_cannot_see_is_never_asked_again_unless_given_up(
    cli, far_side, tmp_path
):
    data, far = make(tmp_path / "data", users=6, items=6), far_side("batches", delay=2)
    workspace, home = tmp_path / "ws", tmp_path / "home"
    words = ["profile", "--batch", "--data", str(data), "--workspace", str(workspace)]
    words += settle(home, far)
    interrupted(words, home, workspace)

    with sqlite3.connect(workspace / "ledger.sqlite") as db:
        db.execute("UPDATE batches SET batch = 'batch_of_another'")
    db.close()
    done = cli(*words)
    assert done.code == 3 and "batch cancel batch_of_another" in " ".join(done.err.split())
    assert kinds(far)["batch"] == 1
    assert cli("batch", "cancel", "batch_of_another", "--workspace", workspace).code == 0
    assert cli(*words).code == 0


def test_batch_verbs_on_a_workspace_without_batches_say_so(cli, tmp_path):
    shown = cli("batch", "status", "--workspace", tmp_path / "ws", "--json")
    assert shown.code == 0 and shown.summary["batches"] == []
    assert cli("batch", "cancel", "--workspace", tmp_path / "ws").code == 2
