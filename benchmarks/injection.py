"""Hostile titles and reviews against a model that repeats them: what the checks catch, by kind.

    python -m benchmarks.injection [--hops 1]

A whole `refine` on the suite's small world (tests.hostile), with tests.far_side.obedient as model
and embedder. `stored` counts what survived in the ledger's texts and in Chroma.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.hostile import world
from tests.injection import caught, table

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hops", type=int, default=1)
    given = parser.parse_args()
    server = [sys.executable, "-m", "tests.far_side.obedient", "--parrots", "yes"]
    with (
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen(server, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            far = f"openai:far@http://127.0.0.1:{process.stdout.readline().strip()}/v1"
            data, workspace = world(Path(home) / "data", hostile=True), Path(home) / "ws"
            command = [sys.executable, "cli.py", "refine", "--hops", str(given.hops)]
            command += ["--data", str(data), "--workspace", str(workspace)]
            command += ["--model", far, "--embedder", far]
            subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
            print(table(caught(workspace)))
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
