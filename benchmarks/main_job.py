"""The main job on a data folder, twice: wall time, peak memory, calls; the second run asks nothing.

    python -m benchmarks.main_job --data DIR [--hops 2] [--model offline]

Both runs are whole processes of `python cli.py refine`, started in an empty workspace.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def refine(data: Path, workspace: str, hops: int, model: str) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a whole process, and its summary."""
    command = [sys.executable, "cli.py", "refine", "--data", str(data), "--workspace", workspace]
    command += ["--hops", str(hops), "--model", model, "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return time.perf_counter() - started, json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--model", default="offline")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as workspace:
        for name in ("first run", "second run"):
            seconds, summary = refine(given.data, workspace, given.hops, given.model)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
            print(
                f"{name}: {seconds:.1f} s, {summary['calls']} calls, {summary['cached']} from the"
                f" ledger, {summary['embedded']} embedded, {summary['fallback']} fallback,"
                f" {summary['failed']} failed; peak of both so far {peak:.2f} GiB"
            )


if __name__ == "__main__":
    main()
