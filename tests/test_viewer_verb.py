"""`python cli.py view` as a user starts it: the address, the end, and what it refuses."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from tests.conftest import ROOT
from tests.worlds import make


@pytest.fixture
def started(tmp_path):
    """Starts `cli.py view --json WORDS` and gives the process and its address."""
    running = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "cli.py"), "view", "--json", *map(str, words)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process, json.loads(process.stdout.readline())["url"]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_it_says_its_address_answers_there_and_ends_by_ctrl_c(started, tmp_path):
    process, url = started("--data", make(tmp_path / "data"))
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(url) as answer:
        assert b"Nothing was asked here yet" in answer.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert "Traceback" not in process.stderr.read()


def test_it_listens_on_this_machine_only(started, tmp_path):
    _, url = started("--data", make(tmp_path / "data"))
    port = int(url.rstrip("/").rpartition(":")[2])
    # On Linux all of 127.* is this machine, so what listens everywhere would answer here too.
    for address, answers in (("127.0.0.1", True), ("127.0.0.2", False)):
        with closing(socket.socket()) as knock:
            knock.settimeout(2)
            assert (knock.connect_ex((address, port)) == 0) is answers


def test_it_refuses_another_name_for_this_machine(started, tmp_path):
    _, url = started("--data", make(tmp_path / "data"))
    asked = urllib.request.Request(url, headers={"Host": "rebound.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    assert refused.value.code == 421


def test_it_makes_no_workspace(started, tmp_path):
    _, url = started("--data", make(tmp_path / "data"), "--workspace", tmp_path / "ws")
    urllib.request.urlopen(url).close()
    assert not (tmp_path / "ws").exists()


def test_a_port_that_is_taken_is_a_user_error(cli, tmp_path):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = cli("view", "--data", make(tmp_path / "data"), "--port", port)
    assert ended.code == 2 and f"--port {port}" in ended.err


def test_a_workspace_of_other_data_is_refused(cli, tmp_path):
    ours, theirs = make(tmp_path / "ours"), make(tmp_path / "theirs", seed=2)
    done = cli("train", "--epochs", "3", "--data", ours, "--workspace", tmp_path / "ws")
    assert done.code == 0, done.err
    ended = cli("view", "--data", theirs, "--workspace", tmp_path / "ws")
    assert ended.code == 2 and "belongs to other data" in ended.err
