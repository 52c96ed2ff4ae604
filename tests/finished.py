"""A refine that is over, whose far side answered badly now and then: something to look at."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import cli
from tests.conftest import ROOT, Ended
from tests.worlds import make


@dataclass(frozen=True)
class Finished:
    """A folder with `data` and its workspace `ws`, the server that answered, what it was asked."""

    home: Path
    url: str
    log: Path

    def copied(self, home: Path) -> "Finished":
        """The same in another folder, to be changed; the server is the same."""
        for name in ("data", "ws"):
            shutil.copytree(self.home / name, home / name)
        return replace(self, home=home)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def ws(self) -> Path:
        return self.home / "ws"

    @property
    def model(self) -> list[str]:
        return ["--model", f"openai:far@{self.url}", "--embedder", f"openai:far@{self.url}"]

    def asked(self) -> list[list[dict[str, str]]]:
        """The messages of every question that the server was asked, oldest first."""
        lines = self.log.read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [row["body"] for row in rows if row["kind"] == "chat"]

    def look(self, *words: object, env: dict[str, str] | None = None) -> Ended:
        """The same as `run` in this process: a hundred commands take seconds then."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            mock.patch.dict(os.environ, env or {}),
            mock.patch.object(sys, "argv", ["cli.py", *self._given(words)]),
            contextlib.chdir(self.home),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                cli.main()
            except SystemExit as end:
                code = int(end.code or 0)
        return Ended(code, out.getvalue(), err.getvalue())

    def _given(self, words: Iterable[object]) -> list[str]:
        # Of a flag that is given twice the last one counts, so these are defaults.
        first, *rest = map(str, words)
        name = [first] if first in ("refine", "profile") else [first, rest.pop(0)]
        return [*name, "--data", str(self.data), "--workspace", str(self.ws), *rest]

    def run(self, *words: object, env: dict[str, str] | None = None) -> Ended:
        """`python cli.py …` on this data and workspace, as a user runs it."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), *self._given(words)],
            cwd=self.home,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=240,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def finished(home: Path, users: int = 8, items: int = 6, bad: float = 0.3) -> Iterator[Finished]:
    """Refine two hops; the server goes on to answer for as long as this is open."""
    log = home / "far.jsonl"
    command = [sys.executable, "-m", "tests.far_side.server", "--log", str(log)]
    with subprocess.Popen(
        [*command, "--bad", str(bad)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as far:
        try:
            assert far.stdout is not None
            url = f"http://127.0.0.1:{far.stdout.readline().strip()}/v1"
            make(home / "data", users=users, items=items, per_user=min(5, items))
            at = Finished(home, url, log)
            done = at.run("refine", "--json", *at.model)
            assert done.code == 0, done.err
            yield at
        finally:
            far.terminate()
