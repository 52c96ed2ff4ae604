"""Whether another call may begin, and when: slots, pace, money, and the one switch that stops all.

What is waited for here is nobody's time-out and is not in a call's latency.
"""

import asyncio
import time
from collections.abc import Mapping

from agents.pace import Pace
from agents.purse import Purse
from agents.slots import Slots
from errors import Interrupted, RunStopped

FAREWELL = "Run the same command again to go on."


class Turn:
    """One call's turn on the far side: `async with` it for as long as that is busy with it.

    `tokens` is what the call may take of a limit on tokens, `most` what it can cost at the most in
    nano-dollars. Whoever made the turn settles it once.
    """

    def __init__(self, gate: "Gate", tokens: int = 0, most: int = 0) -> None:
        self._gate, self._tokens, self._most = gate, tokens, most
        self._reserved = False
        self.sent = 0.0
        self.started = time.time()
        self.latency_ms = 0.0

    async def __aenter__(self) -> None:
        gate = self._gate
        await gate.slots.acquire()
        ready = False
        try:
            gate.check()
            if not self._reserved:
                await gate.purse.reserve(self._most)
                self._reserved = True
            await gate.depart(self._tokens)
            ready = True
        finally:
            if not ready:
                gate.slots.release()
        self.started, self.sent = time.time(), time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        self.latency_ms = (time.monotonic() - self.sent) * 1e3
        self._gate.slots.release()

    def heard(self, headers: Mapping[str, str]) -> None:
        """What the server said of its limits."""
        self._gate.pace.told(headers)

    async def settle(self, tokens: int | None, cost: int | None) -> None:
        """The call is over and took so many tokens and nano-dollars; None: as much as reserved."""
        if not self._reserved:
            return
        if tokens is not None:
            self._gate.pace.used(tokens, self._tokens)
        await self._gate.purse.settle(self._most, self._most if cost is None else cost)


class Gate:
    """The limits that all calls of a run share.

    After a stop, calls in flight end as they will and no other begins. `patience` nodes in a row
    without one usable reply stop the run: the server is gone, or the model cannot do this, and
    every further node would only cost time and money.
    """

    def __init__(
        self,
        concurrency: int,
        patience: int = 50,
        pace: Pace | None = None,
        purse: Purse | None = None,
    ) -> None:
        self.concurrency = concurrency
        self.slots = Slots(concurrency)
        self.pace = pace or Pace()
        self.purse = purse or Purse()
        # What whoever interrupts a run has to know.
        self.farewell = FAREWELL
        self._line = asyncio.Lock()
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

    def turn(self, tokens: int = 0, most: int = 0) -> Turn:
        """One call's turn on the far side."""
        return Turn(self, tokens, most)

    async def depart(self, tokens: int, pace: Pace | None = None) -> None:
        """Wait until the next call may leave; they leave in the order they came.

        `pace` is another server's, where the call does not go to the model.
        """
        pace = pace or self.pace
        async with self._line:
            while (wait := pace.departure(tokens) - time.monotonic()) > 0:
                await self.sleep(wait)
                if not pace.pause():
                    break
            self.check()

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until a stop."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        self.check()

    def answered(self) -> None:
        """The far side answered a call."""
        self.slots.answered()
        self.pace.answered()

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
