"""What the tests of batches share: a server with prices, runs, and what the server was handed."""

import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.test_kill import start


def settle(home: Path, far: Any) -> list[str]:
    """Name the server in `home`'s settings, with prices; the words that choose it."""
    home.mkdir(exist_ok=True)
    common = {"provider": "openai", "model": "far", "endpoint": far.url}
    models = {
        "far": {**common, "input_price": 2.0, "output_price": 8.0},
        "vec": {**common, "input_price": 0.0},
    }
    (home / "settings.yaml").write_text(yaml.safe_dump({"models": models}), "utf-8")
    return ["--model", "far", "--embedder", "vec"]


def handed_in(far: Any) -> Counter[str]:
    """How often each question is in a batch."""
    return Counter(k for r in far.requests() if r["kind"] == "batch" for k in r["body"])


def kinds(far: Any) -> Counter[str]:
    return Counter(request["kind"] for request in far.requests())


def ask(workspace: Path, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(workspace / "ledger.sqlite")
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def wait_for(what: Any, process: subprocess.Popen[bytes], home: Path) -> None:
    """Until `what()` is true; the process must be alive until then."""
    while not what():
        assert process.poll() is None, (home / "said.txt").read_text()
        time.sleep(0.01)


def intended(workspace: Path) -> bool:
    """Whether a batch is written down in the workspace."""
    if not (workspace / "ledger.sqlite").exists():
        return False
    try:
        return bool(ask(workspace, "SELECT 1 FROM batches"))
    except sqlite3.OperationalError:
        return False


def polling(workspace: Path) -> bool:
    return intended(workspace) and bool(
        ask(workspace, "SELECT 1 FROM batches WHERE status = 'in_progress'")
    )


def interrupted(words: list[str], home: Path, workspace: Path) -> str:
    """Start a run, press Ctrl-C while it waits for its first batch; what it said."""
    process = start(words, home)
    wait_for(lambda: polling(workspace), process, home)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 130
    return (home / "said.txt").read_text()
