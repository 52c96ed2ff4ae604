"""The model that is no model: the extractive writer behind the same border as every other."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any

from agents.extractive import settle, write
from agents.models.base import Answer, Held, Request

# A process takes a second to start: shorter jobs are done before it is there.
ALONE = 100
MOST = 8


class Offline:
    """Writes from the evidence alone: deterministic, free, and marked as `offline` everywhere.

    At most so many `processes` write, by default one a core.
    """

    name = "offline"
    endpoint = "in process"
    # Part of the cache key: a new way of writing must not replay the old one's texts.
    parameters: Mapping[str, Any] = {"writer": 2}
    writes_any_language = False
    learnt = ""

    def __init__(self, processes: int | None = None) -> None:
        self._asked = 0
        self._most = processes or min(MOST, os.cpu_count() or 1)
        self._writers: Executor | None = None

    async def complete(self, request: Request, turn: Held) -> Answer:
        async with turn:
            text = await asyncio.get_running_loop().run_in_executor(
                self._executor(), write, request.evidence, request.max_words
            )
        first, second = request.schema["required"]
        return Answer(json.dumps({first: text, second: "extracted"}, ensure_ascii=False))

    def price(self, input_tokens: int | None, output_tokens: int | None) -> int | None:
        return 0

    async def close(self) -> None:
        if self._writers is not None:
            self._writers.shutdown(cancel_futures=True)
            self._writers = None

    def _executor(self) -> Executor | None:
        """A thread of this process at first, then a process for each core, where it may."""
        self._asked += 1
        if self._writers is None and self._asked > ALONE and self._most > 1:
            self._writers = ProcessPoolExecutor(
                self._most, mp_context=get_context("spawn"), initializer=_begin
            )
        return self._writers


def _begin() -> None:
    """Ctrl-C is the run's business; and who was left alone by a killed run ends as well."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    settle()


def _end_with_the_run() -> None:
    run = parent_process()
    if run is not None:
        run.join()
        os._exit(1)
