"""Prompt tokens that llama.cpp evaluates, of those it is sent: questions by prompt, or shuffled.

    python -m benchmarks.prefix_reuse [--data examples/sample] [--hops 2] [--model FILE.gguf]

A refine asks its nodes stage by stage and kind by kind, so that a system message is read once and
not once a question. The same questions are then asked once more in a random order. Without
`--model` a tiny one of random weights is made here: it evaluates as many tokens as a real one with
its vocabulary would, in far less time.
"""

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from agents.limits import Gate
from agents.models.base import Answer, Held, Request
from agents.models.llamacpp import LlamaCpp
from agents.run import Watch, refine
from agents.setup import Options
from stores.connection import Connection
from stores.datasets import load_training
from stores.embedders import LlamaCppEmbedder
from tests.tiny_gguf import make

ROOT = Path(__file__).parent.parent


class Listening(LlamaCpp):
    """The model, and the questions it was asked, in order."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.asked: list[Request] = []

    async def complete(self, request: Request, turn: Held) -> Answer:
        self.asked.append(request)
        return await super().complete(request, turn)


async def by_prompt(data: Path, hops: int, connection: Connection) -> Listening:
    """A whole refine; gives its model, closed, with what it was asked and its counters."""
    with tempfile.TemporaryDirectory() as home:
        loaded = load_training(data, Path(home) / "split", 0)
        model = Listening(connection)
        options = Options(hops=hops, domain=loaded.domain or "generic")
        embedder = LlamaCppEmbedder(connection)
        await refine(loaded, Path(home), model, embedder, options, Watch())
        await model.close()
        return model


async def again(connection: Connection, questions: list[Request]) -> tuple[LlamaCpp, float]:
    """Ask these questions in this order; gives the model's counters and the seconds it took."""
    model, gate = LlamaCpp(connection), Gate(1)
    started = time.perf_counter()
    for request in questions:
        await model.complete(request, gate.turn())
    seconds = time.perf_counter() - started
    await model.close()
    return model, seconds


def row(name: str, model: LlamaCpp, calls: int, seconds: float) -> str:
    """A line of the table."""
    sent, read = model.prompt_tokens, model.evaluated_tokens
    return (
        f"{name:<22} {calls:>6} {sent / calls:>10.0f} {read / calls:>15.0f} "
        f"{read / sent:>7.0%} {seconds:>8.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "examples" / "sample")
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        path = given.model or make(Path(home) / "tiny.gguf")
        connection = Connection("llamacpp", str(path), temperature=0.8, threads=given.threads)
        refined = asyncio.run(by_prompt(given.data, given.hops, connection))
        asked = refined.asked
        shuffled = random.Random(0).sample(asked, len(asked))
        grouped, took = asyncio.run(again(connection, asked))
        mixed, took_mixed = asyncio.run(again(connection, shuffled))
    print(
        f"{'order':<22} {'calls':>6} {'sent/call':>10} {'evaluated/call':>15} {'share':>7}  seconds"
    )
    print(row("as a refine asks", grouped, len(asked), took))
    print(row("shuffled", mixed, len(asked), took_mixed))
    counted = (refined.prompt_tokens, refined.evaluated_tokens)
    print(f"the refine itself: {counted[0]:,} prompt tokens sent, {counted[1]:,} evaluated")


if __name__ == "__main__":
    main()
