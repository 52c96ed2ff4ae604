"""A worker: it puts topics into words, talks to the model, judges, and decides nothing.

It knows nothing of Ray; `agents.engines.crew` makes an actor of it. Jobs come in and results go out
in handfuls, because a message costs as much as a tenth of a call. A call that it makes was let out
by the run: slot, pace and money are the run's, and held until the result is there.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from agents.checks import Verdict, judge, prepare
from agents.engines.base import Form
from agents.engines.local import LOCAL
from agents.extractive import settle
from agents.manner import Topic
from agents.models import open_model
from agents.models.base import Answer, Busy, Declined, Model, Request
from prompts.library import parse
from stores.connection import Connection

# Seconds that a message waits for company, for each job in hand, and at most. A busy worker's calls
# are out for long and finish often: who waits for a twentieth of a call travels with ten others.
_GATHER_S, _GATHER_MOST_S = 0.0001, 0.02


def gather_s(load: int) -> float:
    """How long a message waits for others to go along, where so many jobs are in hand."""
    return min(_GATHER_MOST_S, _GATHER_S * load)


@dataclass(frozen=True, slots=True)
class Rendering:
    """Inputs to be put into words, each with the name and the source of its prompt."""

    topics: tuple[tuple[str, str, Mapping[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class Asking:
    """A question for the model, and what its answer is held to."""

    request: Request
    form: Form
    language: str | None


@dataclass(frozen=True, slots=True)
class Extracting:
    """A question for the extractive writer."""

    request: Request


Job = Rendering | Asking | Extracting


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a call: an answer and its verdict, or how it failed.

    `headers` are what the server said of its limits, `learnt` what the model found out about it
    since it was opened.
    """

    answer: Answer | None
    verdict: Verdict | None
    error: Busy | Declined | None
    latency_ms: float
    headers: Mapping[str, str]
    learnt: str


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job by its number: what it returned, or what it raised."""

    number: int
    value: Any
    error: BaseException | None = None


@dataclass
class _Turn:
    """The turn that the run holds, as seen from here: it notes what the run wants to know."""

    latency_ms: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    _sent: float = 0.0

    async def __aenter__(self) -> None:
        self._sent = time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        self.latency_ms = (time.monotonic() - self._sent) * 1e3

    def heard(self, headers: Mapping[str, str]) -> None:
        self.headers = {k: v for k, v in headers.items() if k.startswith("x-ratelimit-")}


class Worker:
    """One model and the jobs it is given. `take` waits until something is finished."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._known = ""
        self._going: set[asyncio.Task[Any]] = set()
        self._finished: list[Done] = []
        self._any = asyncio.Event()

    async def open(self, connection: Connection, learnt: str, language: str | None) -> None:
        """Open the model. Raises ModelError where that does not work on this machine."""
        # A worker is one of several on its machine: it must not take every core of it.
        self._model = open_model(replace(connection, threads=connection.threads or 1))
        self._model.learnt = self._known = learnt or self._model.learnt
        prepare(language)
        settle()

    async def give(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Begin with some jobs, each under its number."""
        for number, job in jobs:
            task = asyncio.create_task(self._do(job))
            self._going.add(task)
            task.add_done_callback(partial(self._finish, number))

    async def take(self) -> list[Done]:
        """What was finished since the last time."""
        await self._any.wait()
        await asyncio.sleep(gather_s(len(self._going)))
        self._any.clear()
        finished, self._finished = self._finished, []
        return finished

    def _finish(self, number: int, task: "asyncio.Task[Any]") -> None:
        self._going.discard(task)
        error = task.exception()
        self._finished.append(Done(number, None if error else task.result(), error))
        self._any.set()

    async def _do(self, job: Job) -> Any:
        match job:
            case Rendering(topics):
                about = (
                    Topic("", 0, "", parse(name, source), told) for name, source, told in topics
                )
                return [said for _, said in await LOCAL.render(about)]
            case Asking():
                return await self._ask(job)
            case Extracting(request):
                return await LOCAL.extract(request)

    async def _ask(self, job: Asking) -> Told:
        model, turn = self._model, _Turn()
        assert model is not None, "A worker is opened before it is given anything."
        answer, verdict, failed = None, None, None
        try:
            answer = await model.complete(job.request, turn)
            verdict = judge(answer, job.form, job.request.max_words, job.language)
        except (Busy, Declined) as error:
            failed = error
        learnt = model.learnt if model.learnt != self._known else ""
        return Told(answer, verdict, failed, turn.latency_ms, turn.headers, learnt)
