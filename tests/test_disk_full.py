"""A disk that fills up under a run: a message, nothing lost, and the same command goes on."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest

from tests.conftest import ROOT
from tests.test_kill import asked, finished
from tests.worlds import make

pytestmark = pytest.mark.timeout(900)
PATIENCE = 240


def start(words, home):
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    with (home / "said.txt").open("wb") as said:
        return subprocess.Popen(command, cwd=home, stdout=said, stderr=said)


def refining(data, workspace, far):
    words = ["refine", "--data", str(data), "--workspace", str(workspace), "-j", "4"]
    return [*words, "--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]


@contextmanager
def held_in_the_middle(running, far):
    """Some questions were asked, and until this is left none is answered: the run cannot end."""
    while len(asked(far)) < 40:
        assert running.poll() is None
        time.sleep(0.01)
    far.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        far.process.send_signal(signal.SIGCONT)


def assert_stopped_and_goes_on(words, workspace, far, home, make_room):
    said = (home / "said.txt").read_text()
    assert "ledger" in said and "cannot be written" in said and "Make room" in said
    assert "Traceback" not in said
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM calls").fetchone()[0] > 20
    make_room()
    known, before = finished(workspace), len(asked(far))
    assert start(words, home).wait(PATIENCE) == 0, (home / "said.txt").read_text()
    again = asked(far)[before:]
    assert again and not set(again) & known


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own; only the superuser may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_run_and_loses_nothing(far_side, tmp_path, small_disk):
    far, workspace = far_side(latency=0.05), small_disk / "ws"
    words = refining(make(tmp_path / "data", users=60, items=40), workspace, far)
    running = start(words, tmp_path)
    ballast = small_disk / "ballast"
    with held_in_the_middle(running, far), ballast.open("wb", buffering=0) as file:
        for size in (2**16, 2**12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    assert running.wait(PATIENCE) == 2, (tmp_path / "said.txt").read_text()
    assert_stopped_and_goes_on(words, workspace, far, tmp_path, ballast.unlink)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_file_that_may_not_grow_stops_the_run_and_loses_nothing(far_side, tmp_path):
    far, workspace = far_side(latency=0.05), tmp_path / "ws"
    words = refining(make(tmp_path / "data", users=60, items=40), workspace, far)
    running = start(words, tmp_path)
    with held_in_the_middle(running, far):
        now = max(path.stat().st_size for path in workspace.glob("ledger.sqlite*"))
        most = (now + 10_000, resource.RLIM_INFINITY)
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, most)
    assert running.wait(PATIENCE) == 2, (tmp_path / "said.txt").read_text()
    assert_stopped_and_goes_on(words, workspace, far, tmp_path, lambda: None)
