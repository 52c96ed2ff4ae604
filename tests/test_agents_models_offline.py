"""The extractive writer in processes of its own: the same texts, and nobody is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from agents.extractive import write
from agents.limits import Gate
from agents.models.base import Request
from agents.models.offline import ALONE, Offline
from agents.replies import Profile
from graph_ops.evidence import ItemEvidence

ROOT = Path(__file__).parents[1]
MANY = ALONE + 30


def request(number: int) -> Request:
    told = f"Kettle number {number} whistles when it boils. Its {number} handles stay cool."
    evidence = ItemEvidence(f"Kettle {number}", told, {}, ())
    return Request((), Profile.model_json_schema(), 100, 50, evidence)


async def written(requests: list[Request]) -> list[str]:
    model, gate = Offline(), Gate(16)
    try:
        answers = await asyncio.gather(*(model.complete(r, gate.turn()) for r in requests))
    finally:
        await model.close()
    return [Profile.model_validate_json(answer.text).text for answer in answers]


def children(pid: int) -> list[int]:
    lines = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout
    pairs = [tuple(map(int, line.split())) for line in lines.splitlines()[1:]]
    return [child for child, parent in pairs if parent == pid]


def alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in {"", "Z"}


def test_many_texts_are_written_as_in_one_process_and_in_their_places():
    requests = [request(number) for number in range(MANY)]
    assert asyncio.run(written(requests)) == [write(r.evidence, 50) for r in requests]


def test_closing_ends_the_writers():
    before = set(children(os.getpid()))
    asyncio.run(written([request(number) for number in range(MANY)]))
    assert not [pid for pid in children(os.getpid()) if pid not in before and alive(pid)]


def test_a_run_that_is_killed_leaves_no_writer_behind():
    code = """
import asyncio, itertools
from tests.test_agents_models_offline import MANY, request
from agents.models.offline import Offline
from agents.limits import Gate

async def forever():
    model, gate = Offline(), Gate(16)
    for start in itertools.count(0, MANY):
        requests = [request(start + n) for n in range(MANY)]
        await asyncio.gather(*(model.complete(r, gate.turn()) for r in requests))
        print(start, flush=True)

if __name__ == "__main__":
    asyncio.run(forever())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        writers = children(process.pid)
        assert writers
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while any(map(alive, writers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in writers if alive(pid)]
