"""A crew of Ray workers that does a run's work, wherever they are.

The run keeps ledger, limits and money, so there is one of each whatever the number of workers, and
a call leaves a worker only when the run has let it out. A worker that dies, alone or with its node,
is replaced. What it had in its hands goes to another one; a call is told as lost, because nobody
knows whether it was billed, and is asked again by the rules for every lost call. What was answered
before is in the ledger and is not asked again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from ray import kill
from ray.exceptions import RayActorError, RuntimeEnvSetupError

from agents.checks import Verdict
from agents.engines.base import Form, Worded
from agents.engines.worker import Asking, Done, Extracting, Job, Rendering, Told, gather_s
from agents.limits import Turn
from agents.manner import Topic
from agents.models.base import Answer, Busy, Model, Request
from errors import ModelError, RunStopped

PATIENCE = 600.0  # seconds without any worker until the run stops
TRIES = 3  # workers that one job may cost, or that may die before they are ready


class Lost(Exception):
    """A worker died with this job in its hands."""


class Seat:
    """A place for one worker. `load` is how many jobs that has in hand; None: there is none."""

    def __init__(self) -> None:
        self.load: int | None = None
        self._jobs: dict[int, asyncio.Future[Any]] = {}
        self._posted: list[tuple[int, Job]] = []
        self._any = asyncio.Event()
        self._count = 0

    async def do(self, job: Job) -> Any:
        """What the worker makes of a job. Raises Lost when it dies meanwhile."""
        assert self.load is not None
        self._count += 1
        number = self._count
        future = self._jobs[number] = asyncio.get_running_loop().create_future()
        self.load += 1
        self._posted.append((number, job))
        self._any.set()
        return await future

    async def work(self, actor: Any) -> None:
        """Pass jobs to a worker and results back. Raises RayActorError when the worker dies."""
        self.load = 0
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._give(actor))
                both.create_task(self._take(actor))
        finally:
            self.load = None
            lost, self._jobs, self._posted = self._jobs, {}, []
            for future in lost.values():
                if not future.done():
                    future.set_exception(Lost())

    async def _give(self, actor: Any) -> None:
        while True:
            await self._any.wait()
            await asyncio.sleep(gather_s(len(self._jobs)))
            self._any.clear()
            posted, self._posted = self._posted, []
            await actor.give.remote(posted)

    async def _take(self, actor: Any) -> None:
        while True:
            finished: list[Done] = await actor.take.remote()
            for done in finished:
                future = self._jobs.pop(done.number)
                self.load = len(self._jobs)
                if future.done():
                    continue  # who waited for it was cancelled
                if done.error is not None:
                    future.set_exception(done.error)
                else:
                    future.set_result(done.value)


class Crew:
    """The engine of Ray workers. `hire` starts a worker, `ready` returns when it can work."""

    def __init__(
        self, size: int, hire: Callable[[], Any], ready: Callable[[Any], Awaitable[None]]
    ) -> None:
        # Two a worker: one is on its way while the other is worked on.
        self.renderers = 2 * size
        self._hire, self._get_ready = hire, ready
        self._seats = [Seat() for _ in range(size)]
        self._changed = asyncio.Event()
        self._broken: BaseException | None = None
        self._staffing = [asyncio.create_task(self._staff(seat)) for seat in self._seats]
        for task in self._staffing:
            task.add_done_callback(self._ended)

    @property
    def present(self) -> int:
        """How many workers there are now."""
        return sum(seat.load is not None for seat in self._seats)

    async def render(self, topics: Iterable[Topic]) -> Worded:
        listed = list(topics)
        job = Rendering(tuple((t.prompt.name, t.prompt.source, t.inputs) for t in listed))
        return list(zip(listed, await self._again(job), strict=True))

    async def answer(
        self, model: Model, request: Request, form: Form, language: str | None, turn: Turn
    ) -> tuple[Answer, Verdict]:
        async with turn:
            seat = await self.seat()
            try:
                told: Told = await seat.do(Asking(request, form, language))
            except Lost as error:
                raise Busy("A Ray worker died during the call.", kind="lost") from error
        turn.latency_ms = told.latency_ms
        turn.heard(told.headers)
        model.learnt = told.learnt or model.learnt
        if told.error is not None:
            raise told.error
        assert told.answer is not None and told.verdict is not None
        return told.answer, told.verdict

    async def extract(self, request: Request) -> str:
        written: str = await self._again(Extracting(request))
        return written

    async def seat(self) -> Seat:
        """The worker with the least to do, as soon as there is one.

        Raises RunStopped when none comes, and whatever makes it impossible to have one.
        """
        while True:
            if self._broken is not None:
                raise self._broken
            if staffed := [seat for seat in self._seats if seat.load is not None]:
                return min(staffed, key=lambda seat: seat.load or 0)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), PATIENCE)
            except TimeoutError as error:
                raise RunStopped(
                    f"There has been no Ray worker for {PATIENCE:.0f} seconds.",
                    hint="Look at `ray status`. Everything so far is kept: run the same command "
                    "again when the cluster is back.",
                ) from error

    async def close(self) -> None:
        """Let the workers go, whatever they are at."""
        for task in self._staffing:
            task.cancel()
        await asyncio.gather(*self._staffing, return_exceptions=True)

    async def _again(self, job: Job) -> Any:
        """A job that costs nothing: another worker may do it over."""
        for _ in range(TRIES):
            with suppress(Lost):
                return await (await self.seat()).do(job)
        raise RunStopped(
            f"{TRIES} Ray workers died one after the other with the same job in their hands.",
            hint="Their logs say why (memory?). Everything so far is kept.",
        )

    async def _staff(self, seat: Seat) -> None:
        """Keep a worker on a seat: who dies is replaced, unless nobody gets ready any more."""
        unready = 0
        while unready < TRIES:
            actor = self._hire()
            unready += 1
            try:
                await self._get_ready(actor)
                unready = 0
                self._changed.set()
                await seat.work(actor)
            except* (RayActorError, RuntimeEnvSetupError) as died:
                why = died.exceptions[0]
            finally:
                kill(actor)
        raise ModelError(
            f"Ray workers die before they are ready. The last one: {why}",
            hint="Every node needs what this machine has: pip install -c constraints.txt "
            "-e '.[ray]', the model's file where it is one, memory for it, and the cluster's token "
            "(RAY_AUTH_MODE, RAY_AUTH_TOKEN).",
        )

    def _ended(self, staffing: "asyncio.Task[None]") -> None:
        if not staffing.cancelled():
            self._broken = staffing.exception()
            self._changed.set()
