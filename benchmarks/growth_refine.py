"""How `refine` grows: time, memory and disk on made graphs of 10^4 to 10^6 interactions.

    python -m benchmarks.growth_refine [--least 10000] [--most 1000000] [--hops 2] [--per-user 20]

Each size is a data folder of its own (`benchmarks.made_data`) and a fresh `python cli.py refine
--model offline` on it. The resident memory of that process and of its writers is looked at five
times a second. Stages are told apart by the ledger: reading ends when the run begins, a stage when
its last call does, embedding when the run does.

The graph's share is measured in another fresh process that does nothing but make the networkx
graph, reviews included, from the rows of `graph.sqlite` as they come. `B/interaction` compares a
size with the one before: growth of the peak, and what of it is not the graph. A denser graph
(`--per-user 100`) has fewer nodes to write about, and an embedder of a server that answers at once
(`--embedder`) costs no time, so that memory shows sooner.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import made_data

ROOT = Path(__file__).parent.parent
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
MIB = 2**20

ONLY_THE_GRAPH = """
import os, sqlite3, sys
from pathlib import Path
from graph_ops.graph import build
from stores.datasets import Interaction, Item, User

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

db = sqlite3.connect(sys.argv[1])
names = [name for (name,) in db.execute("SELECT node FROM nodes")]
users = {name[5:]: User(name[5:]) for name in names if name[0] == "u"}
items = {name[5:]: Item(name[5:]) for name in names if name[0] == "i"}
rows = db.execute("SELECT user, item, rating, timestamp, review FROM interactions")
before = resident()
graph = build(users, items, (Interaction(*row) for row in rows))
print(resident() - before, graph.number_of_edges())
"""


@dataclass(frozen=True)
class Look:
    """What was resident at a moment, in bytes: the run and all it started."""

    when: float
    run: int
    writers: int


@dataclass(frozen=True)
class Measured:
    """One size. `stages` are names with seconds and the peak of resident bytes meanwhile."""

    interactions: int
    nodes: int
    seconds: float
    stages: list[tuple[str, float, int]]
    run: int
    writers: int
    graph: int
    edges: int
    disk: dict[str, int]


def resident(process: int) -> int:
    """Resident bytes of a process; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(found[0]) * 1024 if found else 0


def below(process: int) -> list[int]:
    """The processes that a process started, and what these started."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        found = [int(n) for task in tasks for n in (task / "children").read_text().split()]
    except OSError:
        return []
    return found + [deeper for one in found for deeper in below(one)]


def watched(command: list[str]) -> tuple[str, float, float, list[Look]]:
    """What a process says, when it began and ended, and what was resident while it ran."""
    looks: list[Look] = []
    started = time.time()
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:

        def look() -> None:
            while process.poll() is None:
                writers = sum(map(resident, below(process.pid)))
                looks.append(Look(time.time(), resident(process.pid), writers))
                time.sleep(0.2)

        watching = threading.Thread(target=look)
        watching.start()
        said = process.communicate()[0]
        watching.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return said, started, time.time(), looks


def ends(workspace: Path, started: float) -> list[tuple[str, float]]:
    """The stages of the only run of a ledger, in order, each with the moment of its end."""
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as db:
        began, ended = db.execute("SELECT started, ended FROM runs").fetchone()
        stages = db.execute(
            "SELECT stage, max(started + latency_ms / 1e3) FROM calls WHERE stage != 'embedding'"
            " GROUP BY stage ORDER BY 2"
        ).fetchall()
    return [("reading", began), *stages, ("embedding", ended)]


def sizes_on_disk(workspace: Path) -> dict[str, int]:
    """Bytes of each file or folder at the top of a workspace."""
    return {
        one.name: sum(f.stat().st_size for f in (one, *one.rglob("*")) if f.is_file())
        for one in sorted(workspace.iterdir())
    }


def measured(count: int, given: argparse.Namespace, home: Path) -> Measured:
    data, workspace = home / "data", home / "workspace"
    made_data.write(data, count, given.per_user)
    command = [sys.executable, "cli.py", "refine", "--data", str(data), "--json"]
    command += ["--workspace", str(workspace), "--hops", str(given.hops), "--model", "offline"]
    command += ["--embedder", given.embedder]
    said, started, ended, looks = watched(command)
    summary = json.loads(said.splitlines()[-1])
    alone = subprocess.run(
        [sys.executable, "-c", ONLY_THE_GRAPH, str(workspace / "graph.sqlite")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    graph, edges = map(int, alone.stdout.split())
    stages, since = [], started
    for name, until in ends(workspace, started):
        during = [x.run + x.writers for x in looks if since <= x.when <= until]
        stages.append((name, until - since, max(during, default=0)))
        since = until
    return Measured(
        interactions=count,
        nodes=summary["users"] + summary["items"],
        seconds=ended - started,
        stages=stages,
        run=max(look.run for look in looks),
        writers=max(look.writers for look in looks),
        graph=graph,
        edges=edges,
        disk=sizes_on_disk(workspace),
    )


def told(found: Measured, before: Measured | None) -> str:
    """The lines about one size."""
    lines = [
        f"{found.interactions:,} interactions, {found.nodes:,} nodes: {found.seconds:.1f} s,"
        f" peak {found.run / MIB:.0f} MiB + writers {found.writers / MIB:.0f} MiB,"
        f" graph {found.graph / MIB:.0f} MiB ({found.graph / found.edges:.0f} B/edge)"
    ]
    lines += [
        f"  {name:<14} {seconds:8.1f} s   peak {peak / MIB:7.0f} MiB"
        for name, seconds, peak in found.stages
    ]
    kept = ", ".join(f"{name} {size / MIB:.1f}" for name, size in found.disk.items() if size > 1e5)
    lines.append(f"  on disk, MiB: {kept}")
    if before is not None:
        more = found.interactions - before.interactions
        grown = (found.run + found.writers - before.run - before.writers) / more
        graph = (found.graph - before.graph) / more
        lines.append(
            f"  B/interaction above {before.interactions:,}: {grown:.0f}, graph {graph:.0f},"
            f" beyond it {grown - graph:.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--least", type=int, default=SIZES[0], help="interactions")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="interactions")
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--per-user", type=int, default=20, help="interactions; twice an item")
    given = parser.parse_args()
    before = None
    for count in (size for size in SIZES if given.least <= size <= given.most):
        with tempfile.TemporaryDirectory() as home:
            found = measured(count, given, Path(home))
        print(told(found, before), flush=True)
        before = found


if __name__ == "__main__":
    main()
