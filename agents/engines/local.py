"""The engine that is this process: its event loop, and a thread for the extractive writer."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from agents.checks import Verdict, judge
from agents.engines.base import Form, Worded
from agents.extractive import write
from agents.limits import Turn
from agents.manner import Topic, messages
from agents.models.base import Answer, Model, Request

# Rendering so many questions holds up the event loop for a few milliseconds.
_BREATH = 8


@dataclass(frozen=True)
class Local:
    """Nothing is kept between two questions."""

    renderers: int = 1
    # One thread: two would fight over the interpreter, and the event loop with both.
    writer: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "writer"))

    async def render(self, topics: Iterable[Topic]) -> Worded:
        worded = []
        for count, topic in enumerate(topics, 1):
            worded.append((topic, messages(topic.prompt, topic.inputs)))
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        return worded

    async def answer(
        self, model: Model, request: Request, form: Form, language: str | None, turn: Turn
    ) -> tuple[Answer, Verdict]:
        answer = await model.complete(request, turn)
        return answer, judge(answer, form, request.max_words, language)

    async def extract(self, request: Request) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.writer, write, request.evidence, request.max_words)


LOCAL = Local()
