"""A real `chroma run`, on a port that was free, in a process that is ended afterwards."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

COMMAND = "from chromadb.cli.cli import app; app()"


@dataclass(frozen=True)
class ChromaServer:
    """Where it listens, and the process that does."""

    url: str
    process: "subprocess.Popen[bytes]"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(folder: Path, port: int | None = None) -> Iterator[ChromaServer]:
    """A server that keeps its data in `folder`, once it answers."""
    port = port or free_port()
    words = ["run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process)
        yield ChromaServer(url, process)
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert process.poll() is None, "chroma run ended"
        try:
            if httpx.get(f"{url}/api/v2/heartbeat").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("chroma run does not answer")
