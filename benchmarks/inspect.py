"""Every `traces` and `prompts` command on a ledger of a million calls: median milliseconds.

    python -m benchmarks.inspect [--rows 1000000] [--nodes 50000] [--times 15] [--ledger FOLDER]

The ledger is made first, in a folder that goes away, or in --ledger, where it is kept and taken
again. Each command is a whole command, flags parsed and output written, in one process that has
imported everything; nodes, calls and pages differ each time. The bar is 300 ms.
"""

import argparse
import contextlib
import io
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.big_ledger import fill
from cli import app
from stores.trails.reading import LEDGER, reading

BAR_MS = 300.0
Words = Callable[[random.Random], list[str]]


def commands(rows: int, nodes: int, run: str, folder: Path) -> dict[str, Words]:
    """The commands by what they show; each is made anew for a draw."""

    def node(draw: random.Random) -> str:
        return f"{draw.choice(['user:u', 'item:i'])}{draw.randrange(nodes // 2):06}"

    def call(draw: random.Random) -> str:
        return str(draw.randrange(1, rows))

    def paged(*words: str) -> Words:
        return lambda draw: ["list", *words, "--after", call(draw)]

    return {
        "list": lambda draw: ["list"],
        "list, any page": paged(),
        "list --status failed, any page": paged("--status", "failed"),
        "list --run --stage --status": paged(
            *("--run", run, "--stage", "hop 1", "--status", "rejected")
        ),
        "list --prompt --model": paged("--prompt", "refine_user@2", "--model", "qwen3"),
        "list, no call is like that": lambda draw: [
            *("list", "--prompt", "refine_user", "--stage", "item profiles"),
        ],
        "list --node": lambda draw: ["list", "--node", node(draw)],
        "list --slow 3": lambda draw: ["list", "--slow", "3"],
        "list --slow 1 --hop 2 --status": lambda draw: [
            *("list", "--slow", "1", "--hop", "2", "--status", "rejected"),
        ],
        "list --cost": lambda draw: ["list", "--cost", "0.0001", "--run", run],
        "show": lambda draw: ["show", call(draw)],
        "node": lambda draw: ["node", node(draw)],
        "node --run": lambda draw: ["node", node(draw), "--run", run],
        "stats": lambda draw: ["stats"],
        "stats --run": lambda draw: ["stats", "--run", run],
        "stats --by run": lambda draw: ["stats", "--by", "run", "--by", "status"],
        "replay (offline)": lambda draw: ["replay", call(draw), "--model", "offline"],
        "export of a node": lambda draw: [
            *("export", "--node", node(draw), "--run", run, "--out", str(folder / "x.jsonl")),
        ],
    }


def once(words: list[str], workspace: Path) -> float:
    """Milliseconds of a command, as typed."""
    written = io.StringIO()
    began = time.perf_counter()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        app([*words, "--workspace", str(workspace)], standalone_mode=False)
    took = (time.perf_counter() - began) * 1e3
    assert written.getvalue(), words
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--ledger", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workspace = given.ledger or Path(scratch) / "ws"
        if not (workspace / LEDGER).exists():
            fill(workspace, given.rows, given.nodes)
        with reading(workspace) as db:
            (last,) = db.execute("SELECT max(id) FROM calls").fetchone()
            (run,) = db.execute("SELECT id FROM runs ORDER BY id LIMIT 1 OFFSET 1").fetchone()
            (nodes,) = db.execute("SELECT max(nodes) FROM outcome_groups").fetchone()
        size = (workspace / LEDGER).stat().st_size / 2**30
        print(f"{last:,} calls, about {nodes:,} nodes of a kind, {size:.2f} GiB")
        draw = random.Random(7)
        slowest = 0.0
        wanted = commands(last, given.nodes, run, Path(scratch))
        for name, words in wanted.items():
            once(["traces", *words(draw)], workspace)
            took = [once(["traces", *words(draw)], workspace) for _ in range(given.times)]
            middle = statistics.median(took)
            slowest = max(slowest, middle)
            print(f"traces {name:<34} {middle:7.1f} ms  (longest {max(took):.1f})")
        took = [once(["prompts", "list"], workspace) for _ in range(given.times)]
        print(f"{'prompts list':<41} {statistics.median(took):7.1f} ms")
        slowest = max(slowest, statistics.median(took))
    print(f"slowest median {slowest:.1f} ms, bar {BAR_MS:.0f} ms")


if __name__ == "__main__":
    main()
