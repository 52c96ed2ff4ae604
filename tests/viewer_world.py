"""A workspace worth looking at, made once a session by real runs: what the page's tests look at.

Two hops by a far side that says four in ten answers badly, so there are repairs and nodes that
fell back; prices, so there is a cost; a second run whose prompt was edited; a trained recommender.
The data is hostile in places, and in Chinese and Arabic in others.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Never

from starlette.testclient import TestClient

from errors import UsageError
from stores.datasets import Dataset
from tests.worlds import make
from verbs.viewing import sources
from viewer.app import build
from viewer.meaning import Meaning
from viewer.sources import Sources

ROOT = Path(__file__).parent.parent
SCRIPT = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
HOSTILE = f"{SCRIPT} \u202egnol os\u202c \x1b[31m"
CHINESE, ARABIC = "安静的山间小路指南", "دليل الدروب الجبلية الهادئة"
SETTINGS = """
model: far
embedder: minilm
models:
  far: {{provider: openai, model: far, endpoint: "{url}", input_price: 0.5, output_price: 1.5}}
"""


@dataclass(frozen=True)
class World:
    """Where everything lies. `runs` are the ids of both runs, the older first."""

    home: Path
    data: Path
    workspace: Path
    runs: tuple[str, str]


@cache
def described(home: Path) -> World:
    """The workspace, made in `home` when it is first asked for."""
    home.mkdir()
    data, workspace = _data(home / "world"), home / "workspace"
    with _far_side() as url:
        (home / "settings.yaml").write_text(SETTINGS.format(url=url), "utf-8")
        place = ["--data", str(data), "--workspace", str(workspace)]
        first = _cli(home, "refine", "--hops", "2", *place)
        own = workspace / "prompts" / "refine_user.md"
        own.parent.mkdir()
        shipped = (ROOT / "prompts" / "refine_user.md").read_text("utf-8")
        edited = shipped.replace("version: 1", "version: 2").replace("Keep what", "Name first what")
        own.write_text(edited, "utf-8")
        second = _cli(home, "refine", "--hops", "2", *place)
    quick = ("--epochs", "6", "--batch", "64")
    _cli(home, "train", "--align", "contrastive", *quick, *place)
    return World(home, data, workspace, (first["run"], second["run"]))


def client(world: World) -> TestClient:
    """The page over the workspace, in this process."""
    found = sources(world.data, world.workspace, None)
    return TestClient(build(found), base_url="http://127.0.0.1")


def bare(workspace: Path, load: Callable[[], Dataset | None] = lambda: None) -> Sources:
    """What a page is made from where nothing was described yet."""

    def nothing(*_: object) -> Never:
        raise UsageError("There is none.")

    return Sources(workspace, load, Meaning(workspace, nothing), nothing)


def _data(folder: Path) -> Path:
    """Thirty users, twenty items; some titles and reviews are written to do harm."""
    make(folder)
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text("utf-8").splitlines()]
    for place, title in enumerate((HOSTILE, CHINESE, ARABIC)):
        items[place]["title"] = title
    _write(folder / "items.jsonl", items)
    rows = (folder / "interactions.jsonl").read_text("utf-8").splitlines()
    interactions = [json.loads(line) for line in rows]
    for row in interactions:
        if row["item_id"] == "i0":
            row["review"] += f" {HOSTILE}"
    _write(folder / "interactions.jsonl", interactions)
    return folder


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@contextmanager
def _far_side() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.far_side.clumsy", "--share", "0.4"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _cli(home: Path, *words: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words, "--json"],
        cwd=home,
        env={**os.environ, "HOPSCRIBE_API_KEY": "a-key-that-nobody-may-see"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode in (0, 3), done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found
