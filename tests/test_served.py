"""`langgraph dev` serves our machine: the real pipeline, told in JSON which node to describe."""

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from errors import UsageError
from stores.trails import nodes, runs
from stores.trails.reading import reading
from tests.conftest import ROOT
from tests.worlds import make
from verbs.served import pipeline

ROOMS = ("agents", "graph_ops", "prompts", "stores", "verbs", "viewer", "training", "examples")


def described(context):
    return asyncio.run(pipeline().ainvoke({}, context=context))


def test_one_node_is_described_with_what_it_needs_and_can_be_looked_at_afterwards(tmp_path):
    data, workspace = make(tmp_path / "data", users=8, items=6, per_user=4), tmp_path / "ws"
    context = {"node": "item:i2", "hops": 1, "data": str(data), "workspace": str(workspace)}
    found = described(context)
    assert found["status"] == ["written", "written"]
    assert found["descriptions"][1].startswith(found["descriptions"][0] + "\n\n")
    assert not (workspace / "chroma").exists()
    with reading(workspace) as db:
        run = runs.run(db, found["run"])
        assert run.how == "served" and 2 < run.calls < 14
        assert [one.text for one in nodes.life(db, "item:i2")] == found["descriptions"]
    again = described(context)
    assert again["descriptions"] == found["descriptions"]
    with reading(workspace) as db:
        assert runs.run(db, again["run"]).calls == 0


def test_it_is_the_pipeline_with_a_beginning_and_an_end():
    steps = set(pipeline().get_graph().nodes)
    assert {"open", "items", "users", "hop", "embed", "tell"} <= steps


def test_a_node_that_is_not_in_the_data_is_told(tmp_path):
    data = make(tmp_path / "data", users=4, items=4, per_user=3)
    with pytest.raises(UsageError, match="user:nobody"):
        described({"node": "user:nobody", "data": str(data), "workspace": str(tmp_path / "ws")})


def test_the_file_that_langgraph_reads_names_it():
    told = json.loads((ROOT / "langgraph.json").read_text("utf-8"))
    path, _, name = told["graphs"]["pipeline"].partition(":")
    assert (ROOT / path).is_file() and name == pipeline.__name__
    assert told["env"]["LANGSMITH_TRACING"] == "false"


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ask(url: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


@pytest.fixture
def server(tmp_path):
    """`langgraph dev` over a copy of the project: it leaves files where it is started."""
    command = os.environ.get("LANGGRAPH_COMMAND") or shutil.which("langgraph")
    if command is None:
        pytest.skip("no `langgraph` (pip install 'langgraph-cli[inmem]', in a venv of its own, and "
                    "LANGGRAPH_COMMAND=…/bin/langgraph)")  # fmt: skip
    home = tmp_path / "project"
    for room in ROOMS:
        shutil.copytree(ROOT / room, home / room, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.py"), ROOT / "langgraph.json", ROOT / "pyproject.toml"):
        shutil.copy(path, home / path.name)
    port = free_port()
    words = ["dev", "--allow-blocking", "--no-browser", "--no-reload", "--port", str(port)]
    env = {**os.environ, "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "true"}
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen([command, *words], cwd=home, env=env, stdout=log, stderr=log) as dev:
        try:
            yield wait_for(f"http://127.0.0.1:{port}", dev, tmp_path / "log")
        finally:
            dev.terminate()
            dev.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> str:
    for _ in range(240):
        assert process.poll() is None, log.read_text("utf-8", "replace")
        try:
            assert ask(f"{url}/ok")["ok"]
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
            continue
        return url
    raise AssertionError(log.read_text("utf-8", "replace"))


def test_langgraph_dev_starts_and_runs_one_node(server, tmp_path):
    data, workspace = make(tmp_path / "data", users=8, items=6, per_user=4), tmp_path / "ws"
    context = {"node": "item:i2", "hops": 1, "data": str(data), "workspace": str(workspace)}
    run = {"assistant_id": "pipeline", "input": {}, "context": context}
    found = ask(f"{server}/runs/wait", run)
    assert found["status"] == ["written", "written"], found
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        told = db.execute("SELECT hop FROM outcomes WHERE node = 'item:i2' ORDER BY hop").fetchall()
    assert told == [(0,), (1,)]
