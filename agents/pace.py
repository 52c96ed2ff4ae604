"""How fast requests may leave for one server: what it told us, or what its refusals taught us.

Told: requests and tokens a minute, from the settings or from the server's headers. Departures are
spaced evenly, since a server may count over a second as well as over a minute.

Learnt: a refusal (HTTP 429) means that the rate was too high. We go on a little below the rate at
which answers came in of late, hold that for a while, and then try a higher one, slowly at first
and faster the longer nothing is refused; a hold that ended in a refusal at once is longer the next
time. Where going slower changes nothing the server refuses at random, and we stop going slower.
(Our own choice, in the spirit of TCP CUBIC: cut once a burst, stay where it was well, probe.)
"""

import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping

WINDOW = 6.0  # seconds over which the rate of answers is measured
BELOW = 0.92  # of what the server allowed: where we go on after a refusal
HOLD, LONGEST_HOLD = 8.0, 24.0  # seconds until a higher rate is tried
GENTLE, GENTLY = 0.012, 10.0  # growth a second while probing gently, and for how long
STEEP = 0.3  # growth a second after that: the limit must have risen
PAUSE, PAUSE_REQUESTS = 1.0, 3  # seconds, or departures, left out after a refusal without a time
FEW, RARE, SOME, MANY = (
    8,
    0.1,
    0.2,
    0.3,
)  # of the last calls; shares of refusals that teach little, or much
VAIN = 8  # cuts without success that show that the rate is not to blame
LONGEST_RESET = 60.0  # seconds
SLOWEST = 0.1  # requests a second


class Pace:
    """The departures to one server. Times are seconds of `clock`."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._requests = _per_second(requests_per_minute)
        self._tokens = _per_second(tokens_per_minute)
        self._settled_requests = requests_per_minute is not None
        self._settled_tokens = tokens_per_minute is not None
        self._free_at = self._tokens_free_at = self._not_before = -math.inf
        self._learnt = math.inf
        self._cut_at, self._hold = -math.inf, HOLD
        self._answers: deque[float] = deque()
        self._good = math.inf  # the rate when many were last refused
        self._vain = 0  # cuts since then, while refusals were few
        self._slowing_is_vain = False
        self._recent: deque[bool] = deque(maxlen=20)  # was it refused?
        self._began: float | None = None

    def rate(self) -> float:
        """Requests a second that may leave now; infinite while nothing limits them."""
        probing = max(0.0, self._clock() - self._cut_at - self._hold)
        growth = GENTLE * min(probing, GENTLY) + STEEP * max(0.0, probing - GENTLY)
        return min(self._requests, self._learnt * math.exp(min(50.0, growth)))

    def departure(self, tokens: int) -> float:
        """Take the next place in the line: when a request of so many tokens may leave."""
        now = self._clock()
        self._began = now if self._began is None else self._began
        at = max(now, self._free_at, self._tokens_free_at, self._not_before)
        self._free_at = at + 1 / self.rate()
        self._tokens_free_at = max(at, self._tokens_free_at) + tokens / self._tokens
        return at

    def pause(self) -> float:
        """How many seconds nothing may leave: a server asked for it."""
        return max(0.0, self._not_before - self._clock())

    def hold(self, seconds: float) -> None:
        """Let nothing leave for so long."""
        self._not_before = max(self._not_before, self._clock() + seconds)

    def used(self, tokens: int, reserved: int) -> None:
        """A request took `tokens`, not the `reserved` ones it was let out with."""
        self._tokens_free_at += (tokens - reserved) / self._tokens

    def answered(self) -> None:
        """An answer came in."""
        now = self._clock()
        self._recent.append(False)
        self._answers.append(now)
        while self._answers[0] < now - WINDOW:
            self._answers.popleft()

    def refused(self, sent: float, wait: float | None) -> None:
        """A request that left at `sent` was one too many. `wait` is what the server asked for."""
        now = self._clock()
        rate, probing = self.rate(), now - self._cut_at - self._hold
        self.hold(min(PAUSE, PAUSE_REQUESTS / rate) if wait is None else wait)
        self._recent.append(True)
        if sent <= self._cut_at:
            return  # of the same burst
        share = sum(self._recent) / len(self._recent)
        rare = share <= RARE
        if math.isinf(self._learnt):
            if len(self._recent) < FEW or share < (MANY if self._slowing_is_vain else SOME):
                return
            since = now - (now if self._began is None else self._began)
            learnt = self._measured(now, max(1.0, min(since, WINDOW))) * BELOW
            self._slowing_is_vain = False
        elif probing < 0:
            # What we took for a good rate is none: far off where it is refused soon.
            less = 1 - share if rare else 0.9 if probing + self._hold > 4 else 0.6
            learnt = max(self._learnt * less, self._measured(now, 2.0) * BELOW)
        else:
            measured = self._measured(now, min(max(probing, 2.0), WINDOW))
            learnt = max(self._learnt, min(rate, measured) * BELOW)
            self._hold = HOLD if probing > GENTLY else min(LONGEST_HOLD, self._hold * 1.5)
        if share >= MANY:
            self._good, self._vain = learnt, 0
        self._vain += share < MANY / 2
        if learnt < self._good / 2 and self._vain >= VAIN:
            # We went ever slower and are refused as before: this server refuses at random.
            self._slowing_is_vain, learnt = True, math.inf
        self._learnt = max(SLOWEST, learnt)
        self._cut_at = now
        self._free_at = self._not_before

    def _measured(self, now: float, seconds: float) -> float:
        """Answers a second, of late."""
        return sum(t > now - seconds for t in self._answers) / seconds

    def told(self, headers: Mapping[str, str]) -> None:
        """Read the limits that OpenAI and others send with each answer."""
        for what in ("requests", "tokens"):
            limit = _number(headers.get(f"x-ratelimit-limit-{what}"))
            left = _number(headers.get(f"x-ratelimit-remaining-{what}"))
            reset = _duration(headers.get(f"x-ratelimit-reset-{what}"))
            if limit and limit > 0 and what == "requests" and not self._settled_requests:
                self._requests = limit / 60
            if limit and limit > 0 and what == "tokens" and not self._settled_tokens:
                self._tokens = limit / 60
            if left is not None and left <= 0 and reset is not None:
                # After a longer time than that a refusal will tell how long it really is.
                self.hold(min(reset, LONGEST_RESET))


def _per_second(per_minute: float | None) -> float:
    return math.inf if per_minute is None else per_minute / 60


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _duration(text: str | None) -> float | None:
    """Seconds of `1s`, `6m0s`, `120ms` or `7.5`."""
    parts = re.findall(r"([\d.]+)(ms|s|m|h|d)", text or "")
    if not parts:
        return _number(text)
    size = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum((_number(value) or 0) * size[unit] for value, unit in parts)
