"""A run may die at any moment: nothing finished is asked twice, and the texts come out the same."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stores.descriptions import Descriptions
from tests.conftest import ROOT
from tests.far_side import server
from tests.worlds import make

KILLS = 20


def start(words: list[str], home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    with (home / "said.txt").open("ab") as said:
        return subprocess.Popen(command, cwd=home, stdout=said, stderr=said)


def finished(workspace: Path) -> set[str]:
    """The questions whose answer is in the ledger, as the server names them."""
    db = sqlite3.connect(workspace / "ledger.sqlite")
    texts = dict(db.execute("SELECT hash, body FROM texts"))
    rows = db.execute(
        "SELECT messages FROM calls WHERE status != 'failed' AND stage != 'embedding'"
    )
    return {
        server.digest([{"role": r, "content": texts[name]} for r, name in json.loads(messages)])
        for (messages,) in rows
    }


def due(requests: list[dict[str, Any]], moment: int | None) -> bool:
    """Whether so many requests came in; None waits for the first embedding."""
    if moment is None:
        return any(r["kind"] == "embeddings" for r in requests)
    return len(requests) >= moment


def all_texts(workspace: Path) -> dict[tuple[str, int], dict[str, str]]:
    stored = Descriptions(workspace / "chroma")
    return {(k, hop): stored.texts(k, hop) for k in ("user", "item") for hop in range(3)}


def asked(far) -> list[str]:
    return [request["name"] for request in far.requests() if request["kind"] == "chat"]


@pytest.mark.timeout(600)
def test_twenty_kills_change_no_text_and_pay_for_nothing_twice(far_side, tmp_path):
    data = make(tmp_path / "data", users=60, items=40)
    far = far_side(latency=0.05, jitter=0.1, bad=0.1)
    words = ["refine", "--data", str(data), "-j", "8"]
    words += ["--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]

    whole = tmp_path / "whole"
    assert start([*words, "--workspace", str(whole)], tmp_path).wait() == 0
    calls = len(asked(far))

    workspace = tmp_path / "killed"
    words += ["--workspace", str(workspace)]
    draw = random.Random(7)
    # The last one dies while it embeds and writes to Chroma, the others while they ask.
    moments = [draw.randint(1, calls // KILLS) for _ in range(KILLS - 1)] + [None]
    for moment in moments:
        done_before = finished(workspace) if workspace.exists() else set()
        seen = len(far.requests())
        process = start(words, tmp_path)
        while not due(far.requests()[seen:], moment):
            assert process.poll() is None, (tmp_path / "said.txt").read_text()
            time.sleep(0.005)
        time.sleep(draw.random() * 0.1)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        again = {r["name"] for r in far.requests()[seen:] if r["kind"] == "chat"}
        assert not again & done_before
    done_before, seen = finished(workspace), len(far.requests())
    assert start(words, tmp_path).wait() == 0
    assert not {r["name"] for r in far.requests()[seen:]} & done_before
    assert all_texts(workspace) == all_texts(whole)


@pytest.mark.timeout(240)
def test_a_server_that_is_gone_for_half_a_minute_loses_nothing(far_side, tmp_path):
    data = make(tmp_path / "data", users=60, items=40)
    far = far_side(latency=0.1)
    workspace = tmp_path / "ws"
    words = ["refine", "--data", str(data), "--workspace", str(workspace), "-j", "8"]
    words += ["--model", f"openai:far@{far.url}"]
    process = start(words, tmp_path)
    while len(asked(far)) < 60:
        time.sleep(0.01)
    far.stop()
    time.sleep(30)
    port = int(far.url.split(":")[2].removesuffix("/v1"))
    back = far_side(latency=0.1, port=port)
    assert process.wait() == 0, (tmp_path / "said.txt").read_text()
    # What was in flight when it went is asked again, and nothing else.
    assert len(set(asked(far)) & set(asked(back))) <= 8
    texts = all_texts(workspace)
    assert sum(map(len, texts.values())) == 300


def test_ctrl_c_drains_says_how_to_go_on_and_the_next_run_asks_only_the_rest(far_side, tmp_path):
    data = make(tmp_path / "data", users=60, items=40)
    far = far_side(latency=0.3)
    workspace = tmp_path / "ws"
    words = ["refine", "--data", str(data), "--workspace", str(workspace), "-j", "8"]
    words += ["--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]
    process = start(words, tmp_path)
    while len(asked(far)) < 30:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    said = (tmp_path / "said.txt").read_text()
    assert "Run the same command again" in said and "Traceback" not in said
    before = asked(far)
    assert finished(workspace) == set(before), "an answer that came in while draining was lost"

    assert start(words, tmp_path).wait() == 0
    after = asked(far)[len(before) :]
    assert not set(after) & set(before)


def test_a_second_process_on_the_workspace_is_refused_while_the_first_goes_on(far_side, tmp_path):
    data = make(tmp_path / "data", users=20, items=12)
    far = far_side(latency=0.2)
    words = ["refine", "--data", str(data), "--workspace", str(tmp_path / "ws"), "-j", "4"]
    words += ["--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]
    first = start(words, tmp_path)
    while not asked(far):
        time.sleep(0.01)
    assert start(words, tmp_path).wait() == 2
    assert "Another Hopscribe process" in (tmp_path / "said.txt").read_text()
    assert first.wait() == 0
