"""`python cli.py refine` with a real llama.cpp: in process, and behind its own HTTP server."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from agents.checks import words
from agents.replies import Profile, Refinement
from tests.worlds import make

HOPS = 1
# Greedy random weights say one word for ever; more threads than free cores would wait in a circle.
ENV = {"HOPSCRIBE_TEMPERATURE": "0.8", "HOPSCRIBE_THREADS": "1", "GGML_NO_BACKTRACE": "1"}
MOST_WORDS = {"item profiles": 200, "user profiles": 100, "hop 1": 90}


def replies(workspace):
    """Stage, text and status of every reply in the ledger."""
    with sqlite3.connect(workspace / "ledger.sqlite") as db:
        return db.execute(
            "SELECT stage, body, status FROM calls JOIN texts ON hash = reply"
        ).fetchall()


def check(workspace, summary, share):
    rows = replies(workspace)
    usable = [(stage, body) for stage, body, status in rows if status == "accepted"]
    assert len(usable) > share * len(rows) > 0
    for stage, body in usable:
        form = Refinement if stage == "hop 1" else Profile
        reply = form.model_validate(json.loads(body))
        assert reply.text == "None" or 3 <= words(reply.text) <= 1.1 * MOST_WORDS[stage]
    assert summary["failed"] == 0
    assert summary["cost_usd"] in (0, None)


def test_a_refine_with_model_and_embedder_in_this_process(cli, tiny, tmp_path):
    data, workspace = make(tmp_path / "data", users=8, items=6, per_user=4), tmp_path / "ws"
    command = [
        *("refine", "--data", data, "--workspace", workspace, "--hops", HOPS, "--json"),
        *("--model", f"llamacpp:{tiny}", "--embedder", f"llamacpp:{tiny}"),
    ]
    done = cli(*command, env=ENV)
    assert done.code == 0, done.err
    check(workspace, done.summary, 0.9)
    assert done.summary["cost_usd"] == 0
    assert "llama_" not in done.err and "ggml" not in done.err
    again = cli(*command, env=ENV)
    assert again.summary["calls"] == again.summary["embedded"] == 0


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture
def server(tiny, tmp_path):
    """llama-cpp-python's own server with the tiny model; gives its address."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "llama_cpp.server", "--model", tiny, "--model_alias", "tiny"),
        *("--host", "127.0.0.1", "--port", port, "--interrupt_requests", "False"),
        *("--n_ctx", 8192, "--n_threads", 1, "--n_threads_batch", 1, "--verbose", "False"),
    ]
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(
        [str(word) for word in command], env={**os.environ, **ENV}, stdout=log, stderr=log
    )
    url = f"http://127.0.0.1:{port}/v1"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/models").close()
            break
        except urllib.error.URLError:
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait()
    log.close()


def test_a_refine_through_the_server_of_llama_cpp(cli, server, tiny, tmp_path):
    data, workspace = make(tmp_path / "data", users=6, items=5, per_user=4), tmp_path / "ws"
    done = cli(
        *("refine", "--data", data, "--workspace", workspace, "--hops", HOPS, "--json"),
        *("--model", f"openai:tiny@{server}", "--embedder", f"llamacpp:{tiny}"),
        env=ENV,
    )
    assert done.code == 0, done.err
    assert done.summary["retried"] == 0, "its HTTP 500 for a json_schema is no reason to wait"
    # That server's grammar knows no least number of words, but the form of the reply.
    check(workspace, done.summary, 0.5)
    with sqlite3.connect(workspace / "ledger.sqlite") as db:
        reasons = [row[0] for row in db.execute("SELECT reason FROM calls")]
    assert not any("JSON" in reason for reason in reasons)
