"""When a call is tried again, and what its failure teaches: the one layer of retries there is."""

from collections.abc import Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity import wait_exponential_jitter as backoff

from agents.limits import Gate, Turn
from agents.models.base import Busy
from errors import RunStopped

ATTEMPTS = 7  # with waits of 1, 2, 4, … s a server may be gone for a minute
MOST_ATTEMPTS = 50  # with refusals because of a rate
LONGEST_WAIT = 600.0  # seconds a server may ask for; after that the run stops instead
_BACKOFF = backoff(initial=1, max=30, jitter=1)


def retrying(gate: Gate, tries: int = ATTEMPTS) -> AsyncRetrying:
    """The attempts of one call. Raises the last error when they are used up."""
    return AsyncRetrying(
        retry=retry_if_exception_type(Busy),
        stop=_enough(tries),
        wait=_wait,
        sleep=gate.sleep,
        reraise=True,
    )


def heed(gate: Gate, turn: Turn, error: Busy) -> None:
    """What a failed call tells about the far side."""
    if (stop := too_long(error)) is not None:
        gate.stop(stop)
    elif error.kind == "limited":
        gate.pace.refused(turn.sent, error.wait)
    elif error.kind == "overloaded":
        gate.slots.overloaded(turn.sent)
        gate.pace.hold(error.wait or 0.0)


def too_long(error: Busy) -> RunStopped | None:
    """What ends a run whose server wants to be left alone for longer than anybody waits."""
    if error.wait is None or error.wait <= LONGEST_WAIT:
        return None
    return RunStopped(
        f"{error.message} It asks to be left alone for {error.wait / 60:.0f} minutes.",
        hint="Every answer so far is kept. Run the same command again after that.",
    )


def _wait(state: RetryCallState) -> float:
    """What the server asked for, or a growing random wait, whichever is longer.

    A call that was one too many waits in its line at the gate, not here.
    """
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Busy) and error.kind == "limited":
        return 0.0
    wished = error.wait if isinstance(error, Busy) and error.wait is not None else 0.0
    return max(wished, _BACKOFF(state))


def _enough(tries: int) -> Callable[[RetryCallState], bool]:
    """When to give up. Being told to come back later is no fault, so it may happen more often."""
    faults = 0

    def enough(state: RetryCallState) -> bool:
        nonlocal faults
        error = state.outcome.exception() if state.outcome else None
        faults += not (isinstance(error, Busy) and error.kind == "limited")
        return faults >= tries or state.attempt_number >= MOST_ATTEMPTS

    return enough
