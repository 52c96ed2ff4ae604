"""One thread for torch, no stray keys or settings, and a real server on the far side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
# A failed assertion in llama.cpp would leave a debugger behind that holds our output open.
os.environ["GGML_NO_BACKTRACE"] = "1"
# pytest-xdist tells its workers a width, which is not the terminal of what they start.
os.environ.pop("COLUMNS", None)

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def no_stray_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("HOPSCRIBE_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)


@pytest.fixture
def double() -> Iterator[None]:
    """torch in float64: for formulas that must agree in more digits than a float32 has."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@dataclass(frozen=True)
class FarSide:
    """A running server and the file where it writes what it was asked."""

    url: str
    log: Path
    process: "subprocess.Popen[str]"

    def stop(self) -> None:
        """Hang up in the middle of everything."""
        self.process.kill()
        self.process.wait()

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far, oldest first. A line that is still being written is not one yet."""
        written = self.log.read_text("utf-8") if self.log.exists() else ""
        return [json.loads(line) for line in written.split("\n")[:-1]]


@pytest.fixture
def far_side(tmp_path: Path) -> Iterator[Callable[..., FarSide]]:
    """Starts servers: far_side(latency=0.01, jitter=0.05, bad=0.3), or of another module."""
    running: list[subprocess.Popen[str]] = []

    def start(module: str = "server", **options: float | str) -> FarSide:
        log = tmp_path / f"far-{len(running)}.jsonl"
        command = [sys.executable, "-m", f"tests.far_side.{module}", "--log", str(log)]
        command += [word for k, v in options.items() for word in (f"--{k}", str(v))]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return FarSide(f"http://127.0.0.1:{process.stdout.readline().strip()}/v1", log, process)

    yield start
    for process in running:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Chroma server that the whole session shares."""
    from tests.chroma_server import running

    with running(tmp_path_factory.mktemp("chroma")) as server:
        yield server.url


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GGUF model of random weights whose replies under a grammar are mostly usable."""
    from tests.tiny_gguf import make

    return make(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data folder and a workspace with hops 0 and 1 of it, some texts by the fallback."""
    import asyncio

    from tests.worlds import make, refined

    home = tmp_path_factory.mktemp("described")
    data, workspace = make(home / "data"), home / "ws"
    workspace.mkdir()
    command = [sys.executable, "-m", "tests.far_side.server", "--bad", "0.3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
            asyncio.run(refined(data, workspace, url))
        finally:
            server.terminate()
    return data, workspace


@pytest.fixture
def place(described: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the described data and its workspace, for a test of its own."""
    data, workspace = described
    shutil.copytree(data, tmp_path / "data")
    shutil.copytree(workspace, tmp_path / "ws")
    return tmp_path / "data", tmp_path / "ws"


@dataclass(frozen=True)
class Ended:
    """How a `cli.py` process ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The JSON object on the last stdout line."""
        parsed: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return parsed


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Ended]:
    """Runs `python cli.py …` in an empty folder, as a user would."""
    home = tmp_path / "home"
    home.mkdir()

    def run(*words: object, env: dict[str, str] | None = None) -> Ended:
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), *map(str, words)],
            cwd=home,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=240,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run
