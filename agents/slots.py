"""How many calls may be in flight: at most so many, fewer where the far side is overloaded.

An overloaded server (HTTP 503, 529) gets a quarter less, once a burst; each round of good answers
gives one back. (AIMD, our own choice of factors.)
"""

import asyncio
import time
from collections import deque

LESS = 0.75


class Slots:
    """A semaphore whose number follows what the far side can take."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(most)
        self._used = 0
        self._cut_at = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        return int(self._limit)

    async def acquire(self) -> None:
        """Wait for a slot; who comes first gets the first."""
        if self._used < self.limit and not self._waiting:
            self._used += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back."""
        self._used -= 1
        self._hand_out()

    def answered(self) -> None:
        """A good answer: there may be room for more."""
        self._limit = min(float(self.most), self._limit + 1 / self._limit)
        self._hand_out()

    def overloaded(self, sent: float) -> None:
        """A call that was sent at `sent` (time.monotonic) found the far side overloaded."""
        if sent > self._cut_at:
            self._limit, self._cut_at = max(1.0, self._limit * LESS), time.monotonic()

    def _hand_out(self) -> None:
        while self._waiting and self._used < self.limit:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._used += 1
                turn.set_result(None)
