"""A hard cap on what a run may spend: money is reserved before a call and settled after it."""

import asyncio

from errors import RunStopped


class Purse:
    """Nano-dollars. Without a cap nothing is ever refused.

    A call reserves the most it can cost. What does not fit waits for calls in flight, which mostly
    cost less than they reserved; what does not fit even then stops the run.
    """

    def __init__(self, cap: int | None = None) -> None:
        self.cap = cap
        self.spent = 0
        self._reserved = 0
        self._changed = asyncio.Condition()

    @property
    def left(self) -> int | None:
        """What may still be reserved; None without a cap."""
        return None if self.cap is None else self.cap - self.spent - self._reserved

    def hold(self, most: int) -> None:
        """Reserve for what is already under way, whether it fits or not."""
        if self.cap is not None:
            self._reserved += most

    async def reserve(self, most: int) -> None:
        """Raises RunStopped when the cap leaves no room for a call that may cost `most`."""
        if self.cap is None:
            return
        async with self._changed:
            while self.spent + self._reserved + most > self.cap:
                if not self._reserved:
                    raise self.empty()
                await self._changed.wait()
            self._reserved += most

    async def settle(self, reserved: int, cost: int) -> None:
        """Put back what was reserved for a call, less what it cost."""
        self.spent += cost
        if self.cap is None:
            return
        async with self._changed:
            self._reserved -= reserved
            self._changed.notify_all()

    def empty(self) -> RunStopped:
        """What ends the run."""
        assert self.cap is not None
        return RunStopped(
            f"--max-cost: the next call may cost more than what is left of ${self.cap / 1e9:g} "
            f"(${self.spent / 1e9:.6f} is spent).",
            hint="Everything so far is kept. Run the same command again to go on with as much "
            "again, or raise --max-cost.",
        )
