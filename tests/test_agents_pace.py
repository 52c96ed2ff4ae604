"""How fast requests leave: what is told is kept to, what is not told is learnt. No real time."""

import heapq
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.pace import Pace


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def departures(pace: Pace, clock: Clock, count: int, tokens: int = 0) -> list[float]:
    """When so many requests leave that all wait in line now."""
    found = []
    for _ in range(count):
        clock.now = max(clock.now, pace.departure(tokens))
        found.append(clock.now)
    return found


def test_without_a_limit_everything_leaves_at_once(clock):
    assert departures(Pace(clock=clock), clock, 100, 5000) == [0.0] * 100


def test_requests_per_minute_are_spaced_evenly(clock):
    assert departures(Pace(120, clock=clock), clock, 4) == pytest.approx([0, 0.5, 1.0, 1.5])


def test_tokens_per_minute_count_what_each_request_may_take(clock):
    assert departures(Pace(None, 6000, clock), clock, 3, tokens=200) == pytest.approx([0, 2, 4])


def test_tokens_that_were_not_used_are_given_back(clock):
    pace = Pace(None, 6000, clock)
    pace.departure(200)
    pace.used(50, 200)
    assert pace.departure(200) == pytest.approx(0.5)


def test_limits_in_the_headers_are_kept_to(clock):
    pace = Pace(clock=clock)
    pace.told({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"})
    assert departures(pace, clock, 3) == pytest.approx([0, 1, 2])


def test_limits_of_the_settings_go_before_the_headers(clock):
    pace = Pace(120, clock=clock)
    pace.told({"x-ratelimit-limit-requests": "60"})
    assert departures(pace, clock, 2) == pytest.approx([0, 0.5])


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("1s", 1.0), ("0m30s", 30.0), ("23h59m", 60.0), ("120ms", 0.12), ("7.5", 7.5)],
)
def test_when_nothing_is_left_the_reset_is_waited_for(clock, reset, seconds):
    pace = Pace(clock=clock)
    pace.told({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": reset})
    assert pace.pause() == pytest.approx(seconds)


def test_a_limit_of_nothing_or_less_is_no_limit(clock):
    pace = Pace(clock=clock)
    pace.told({"x-ratelimit-limit-requests": "-1", "x-ratelimit-limit-tokens": "0"})
    assert departures(pace, clock, 3, tokens=100) == [0.0] * 3


@given(st.dictionaries(st.sampled_from(["limit", "remaining", "reset"]), st.text(max_size=8)))
def test_odd_headers_never_break_a_run(values):
    pace = Pace(clock=Clock())
    pace.told({f"x-ratelimit-{what}-requests": text for what, text in values.items()})
    assert pace.departure(10) >= 0.0 and pace.rate() > 0.0


def test_a_refusal_with_a_time_holds_everything_that_long(clock):
    pace = Pace(clock=clock)
    pace.departure(0)
    pace.refused(0.0, 7.0)
    assert pace.departure(0) == pytest.approx(7.0)


def test_a_burst_of_refusals_is_one_lesson(clock):
    pace = Pace(clock=clock)
    pace.departure(0)
    clock.now = 0.5
    for _ in range(7):
        pace.answered()
    clock.now = 1.0
    pace.refused(0.9, None)
    pace.refused(0.9, None)
    learnt = pace.rate()
    for _ in range(15):
        pace.refused(0.95, None)
    assert pace.rate() == learnt == pytest.approx(7 * 0.92)


def hidden_limit(
    rates: tuple[float, ...],
    phase: float,
    slots: int,
    latency: float,
    wait: bool,
    at_random: float = 0.0,
) -> tuple[float, float]:
    """Share of the ideal throughput, and share of calls refused, under a limit that is not told.

    The server is a bucket of one second's requests; `rates` are requests a second, `phase` seconds
    each; it also refuses `at_random`. `slots` calls go in a circle: line, server, answer after
    `latency`.
    """
    draw = random.Random(1)
    clock, line, sent, refused, done = Clock(), slots, 0, 0, 0
    pace = Pace(clock=clock)
    left, last, wanted = rates[0], 0.0, int(sum(rates) * phase)
    events: list[tuple[float, int, str, float, bool]] = []
    waiting = False
    number = 0
    while done < wanted:
        if line and not waiting:
            waiting = True
            number += 1
            heapq.heappush(events, (pace.departure(0), number, "leave", 0.0, False))
        at, _, what, left_at, good = heapq.heappop(events)
        clock.now = max(clock.now, at)
        number += 1
        if what == "leave" and pace.pause():
            heapq.heappush(events, (pace.departure(0), number, "leave", 0.0, False))
        elif what == "leave":
            waiting, line, sent = False, line - 1, sent + 1
            rate = rates[min(int(clock.now / phase), len(rates) - 1)]
            left, last = min(max(1.0, rate), left + (clock.now - last) * rate), clock.now
            good = left >= 1
            left -= good
            good = good and draw.random() >= at_random
            heapq.heappush(events, (clock.now + latency, number, "answer", clock.now, good))
        else:
            line += 1
            if good:
                done += 1
                pace.answered()
            else:
                refused += 1
                rate = rates[min(int(clock.now / phase), len(rates) - 1)]
                pace.refused(left_at, 1 / rate if wait else None)
    return len(rates) * phase / clock.now, refused / sent


@pytest.mark.parametrize("wait", [False, True], ids=["no retry-after", "retry-after"])
@pytest.mark.parametrize(("latency", "most"), [(0.05, 0.02), (0.2, 0.02), (0.5, 0.035)])
def test_a_hidden_limit_that_changes_is_followed(wait, latency, most):
    share, refused = hidden_limit((10, 2, 10), 90, slots=16, latency=latency, wait=wait)
    # A server that takes long to refuse has been sent more by then.
    assert share >= 0.85 and refused < most


def test_a_steady_hidden_limit_is_used_almost_wholly():
    share, refused = hidden_limit((5,), 600, slots=16, latency=0.2, wait=False)
    assert share >= 0.92 and refused < 0.02


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_a_server_that_refuses_at_random_is_not_asked_ever_more_slowly(share):
    slots, latency, calls = 16, 0.05, 3000
    rate = 10_000.0
    used, _ = hidden_limit((rate,), calls / rate, slots, latency, False, at_random=share)
    seconds = calls / rate / used
    assert seconds < 300, "without any refusal it would take ten; at a request a second, 3000"


def test_a_limit_of_one_a_minute_and_endless_refusals_never_stop_the_line(clock):
    pace = Pace(clock=clock)
    for _ in range(200):
        at = pace.departure(0)
        assert at - clock.now <= 61
        clock.now = at
        pace.refused(clock.now, None)
