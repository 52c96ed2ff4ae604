"""How many calls may be in flight, and whether another one may begin."""

import asyncio
import time

from errors import Interrupted, RunStopped


class Turn:
    """A call's time on the far side; waiting for it is nobody's time-out, nor in `latency_ms`."""

    def __init__(self, gate: "Gate") -> None:
        self._gate = gate
        self.started = time.time()
        self.latency_ms = 0.0

    async def __aenter__(self) -> None:
        await self._gate.slots.acquire()
        if self._gate.stopped:
            self._gate.slots.release()
            self._gate.check()
        self.started, self._clock = time.time(), time.perf_counter()

    async def __aexit__(self, *_: object) -> None:
        self.latency_ms = (time.perf_counter() - self._clock) * 1e3
        self._gate.slots.release()


class Gate:
    """A shared limit on calls in flight, and the one switch that stops them all.

    After a stop, calls in flight end as they will and no other begins. `patience` nodes in a row
    without one usable reply stop the run: the server is gone, or the model cannot do this, and
    every further node would only cost time and money.
    """

    def __init__(self, concurrency: int, patience: int = 50) -> None:
        self.concurrency = concurrency
        self.slots = asyncio.Semaphore(concurrency)
        self._stopping = asyncio.Event()
        self._reason: BaseException | None = None
        self._patience = max(patience, 2 * concurrency)
        self._failures = 0

    @property
    def stopped(self) -> bool:
        return self._reason is not None

    def stop(self, reason: BaseException | None = None) -> None:
        """Let nothing more begin. The first reason is the one that is told."""
        if self._reason is None:
            self._reason = reason or Interrupted("Stopped on request.")
            self._stopping.set()

    def check(self) -> None:
        """Raise the reason of a stop, if there was one."""
        if self._reason is not None:
            raise self._reason

    def turn(self) -> "Turn":
        """One call's turn on the far side: `async with` it for as long as that is busy with it."""
        return Turn(self)

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until a stop."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        self.check()

    def usable(self) -> None:
        """A node got a reply that can be used."""
        self._failures = 0

    def gave_up(self, why: str) -> None:
        """A node got none, retries and repairs included. Raises the stop that this may cause."""
        self._failures += 1
        if self._failures >= self._patience:
            self.stop(
                RunStopped(
                    f"{self._failures} nodes in a row got no usable reply. The last one: {why}",
                    hint="Mend the server or the settings and run the same command again: every "
                    "answer so far is kept.",
                )
            )
            self.check()
