"""Waiting for batches, and bringing in what they answered.

Every line of a batch finds its question by its key, whatever the order. It is judged, its row and
the mark that it is recorded are on disk at once, and only then is it used: a process that dies in
the middle leaves the rest for the next one, and nothing is recorded twice. A line that cannot be
read spoils only itself.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from agents.ask import Desk, count
from agents.checks import judge, prepare
from agents.limits import FAREWELL, Gate
from agents.models.base import Answer, BatchModel, Busy, Model, NotThere, Remote
from agents.replies import reply_class
from agents.retry import retrying, too_long
from errors import RunStopped, UsageError
from stores.batches import Batch, Batches, Line
from stores.prices import in_a_batch
from stores.rows import Call, Status

if TYPE_CHECKING:
    from agents.models.batches import BatchServer

ENDED = ("completed", "failed", "expired", "cancelled")
FIRST_WAIT, LONGEST_WAIT, GROWTH = 1.0, 60.0, 1.5  # seconds between two looks at a batch
MOST_MISSED = 30  # looks in a row that the server may fail to answer
CHUNK = 32  # lines that share a commit
# Client errors that mean "not now", as for a single call.
_AGAIN = (408, 409, 425, 429)
_UNDONE = ("batch_expired", "batch_cancelled")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a question of a batch has no answer; `end` as in `Asked`, `model`: no question will."""

    message: str
    end: Literal["failed", "declined", "model"]


@dataclass(frozen=True, slots=True)
class _Came:
    """A line of a result file."""

    key: str
    status: int
    body: Any
    code: str
    message: str


def batch_model(model: Model) -> BatchModel:
    """The model. Raises UsageError where it has no Batch API."""
    if not isinstance(model, BatchModel):
        raise UsageError(
            f"--batch: {model.name} has no Batch API.",
            hint="It is for openai: models on a server with /files and /batches.",
        )
    return model


async def patiently(gate: Gate, call: Callable[[], Awaitable[_T]]) -> _T:
    """What a call to the server brings, in as many attempts as a question gets."""
    try:
        async for attempt in retrying(gate):
            with attempt:
                try:
                    return await call()
                except Busy as error:
                    if (stop := too_long(error)) is not None:
                        raise stop from error
                    raise
    except Busy as error:
        raise RunStopped(
            f"{error.message} It did not get better in {attempt.retry_state.attempt_number} tries.",
            hint="Everything so far is kept. Run the same command again: batches that are under "
            "way are adopted.",
        ) from error
    raise AssertionError("tenacity ends with a result or an error")


async def harvested(
    desk: Desk, server: "BatchServer", flights: Iterable[Batch]
) -> dict[str, Failure]:
    """Wait until batches have ended, and record what each brought; the failures by key.

    Raises RunStopped for a batch that the server would not even begin, once the others have ended.
    """
    left, told = list(flights), dict[str, Remote]()
    failures: dict[str, Failure] = {}
    refused: list[str] = []
    wait, missed = FIRST_WAIT, 0
    desk.gate.farewell = going_on(left)
    while left:
        for batch in tuple(left):
            remote = await _look(server, batch)
            missed = missed + 1 if remote is None else 0
            if remote is None:
                continue
            await _note(desk, told.get(batch.name), remote, batch)
            told[batch.name] = remote
            if remote.status in ENDED:
                failures.update(await harvest(desk, server, batch, remote))
                left.remove(batch)
                desk.gate.farewell = going_on(left)
                if remote.status == "failed":
                    refused.append(f"{remote.id}: {remote.complaint or 'no reason given'}")
        if missed > MOST_MISSED:
            raise RunStopped(
                f"{desk.model.endpoint} does not answer any more.", hint=desk.gate.farewell
            )
        _show(desk, told, left)
        if left:
            await desk.gate.sleep(wait)
            wait = min(LONGEST_WAIT, wait * GROWTH)
    if refused:
        raise RunStopped(
            f"{desk.model.endpoint} did not accept a batch ({'; '.join(refused)}).",
            hint="Nothing of it was asked or billed. Where a limit on queued tokens is full, wait "
            "until other batches have ended and run the same command again; where this batch "
            "alone is too large, run without --batch, or with --limit.",
        )
    return failures


async def harvest(
    desk: Desk, server: "BatchServer", batch: Batch, remote: Remote
) -> dict[str, Failure]:
    """Record what an ended batch brought, whatever it ended with; its failures by key."""
    prepare(batch.language)
    failures: dict[str, Failure] = {}
    spent = 0

    async def read(file: str) -> None:
        nonlocal spent
        some: dict[str, _Came] = {}
        async for raw in server.lines(file):
            came = _parsed(raw)
            if came is not None and came.code not in _UNDONE:
                some.setdefault(came.key, came)
            if len(some) >= CHUNK:
                spent += await _record(desk, batch, some, failures)
                some = {}
        spent += await _record(desk, batch, some, failures)

    for file in filter(None, (remote.output, remote.errors)):
        # Result files are not kept for ever. What is gone with one is asked again.
        with suppress(NotThere):
            await patiently(desk.gate, partial(read, file))
    await Batches(desk.ledger).close(batch.name, remote.status)
    await desk.gate.purse.settle(batch.most, spent)
    return failures


def going_on(batches: Iterable[Batch]) -> str:
    """What to do about batches that the server goes on with when we do not."""
    names = [str(batch.batch) for batch in batches if batch.batch]
    if not names:
        return FAREWELL
    one = len(names) == 1
    return (
        f"{'The batch goes' if one else 'The batches go'} on at the server: {', '.join(names)}. "
        f"Run the same command again to adopt {'it' if one else 'them'}, or "
        f"`python cli.py batch cancel {names[0] if one else '--all'}`."
    )


async def _look(server: "BatchServer", batch: Batch) -> Remote | None:
    """A batch as it is now, None where the server does not say."""
    try:
        return await server.retrieve(str(batch.batch))
    except Busy:
        return None
    except NotThere as error:
        raise RunStopped(
            error.message,
            hint="If it was made with another key, use that key. If it is lost, give it up: "
            f"python cli.py batch cancel {batch.batch}. Its questions are asked again then.",
        ) from error


async def _note(desk: Desk, before: Remote | None, now: Remote, batch: Batch) -> None:
    known = before.status if before else batch.status
    # How it ended is written when everything it brought is.
    if now.status != known and now.status not in ENDED:
        await Batches(desk.ledger).became(batch.name, now.status)


def _show(desk: Desk, told: Mapping[str, Remote], left: Iterable[Batch]) -> None:
    under_way = [told[batch.name] for batch in left if batch.name in told]
    done = sum(remote.completed + remote.failed for remote in under_way)
    total = sum(remote.total for remote in under_way)
    words = " and ".join(sorted({remote.status for remote in under_way}))
    desk.tally.ahead = done
    desk.tally.note = f"batch {words}: {done}/{total}" if under_way else ""
    desk.tally.on_change()


async def _record(
    desk: Desk, batch: Batch, some: Mapping[str, _Came], failures: dict[str, Failure]
) -> int:
    """Judge some lines and write down those that are not; what they cost."""
    store = Batches(desk.ledger)
    lines = store.lines(batch.name, some)
    calls = []
    for came in some.values():
        answer, failure = _answer(desk, came)
        if failure is not None:
            failures[came.key] = failure
        if came.key in lines:
            calls.append(_call(desk, batch, lines[came.key], came, answer, failure))
    if calls:
        await store.record(batch.name, calls)
    for call in calls:
        count(desk.tally, call)
    # What nobody knows the cost of counts with the most that it can be.
    share = batch.most // max(1, store.size(batch.name))
    return sum(share if call.cost_nanousd is None else call.cost_nanousd for call in calls)


def _answer(desk: Desk, came: _Came) -> tuple[Answer | None, Failure | None]:
    if came.status == 200:
        try:
            return batch_model(desk.model).read(came.body), None
        except Busy as error:
            return None, Failure(error.message, "failed")
    message = f"HTTP {came.status or '?'} in a batch of {desk.model.endpoint}: {came.message}"
    if came.status in (401, 403, 404):
        return None, Failure(message, "model")
    lasting = 400 <= came.status < 500 and came.status not in _AGAIN
    return None, Failure(message, "declined" if lasting else "failed")


def _call(
    desk: Desk,
    batch: Batch,
    line: Line,
    came: _Came,
    answer: Answer | None,
    failure: Failure | None,
) -> Call:
    status: Status = "failed"
    reason = failure.message if failure else ""
    # Nobody knows what an answer that cannot be read cost; a refused question costs nothing.
    cost = None if came.status == 200 else 0
    if answer is not None:
        verdict = judge(answer, reply_class(line.form), line.max_words, batch.language)
        status = "accepted" if verdict.reply is not None else "rejected"
        reason = verdict.complaint
        cost = in_a_batch(desk.model.price(answer.input_tokens, answer.output_tokens))
    return Call(
        key=line.key,
        run=desk.run,
        stage=batch.stage,
        node=line.node,
        hop=batch.hop,
        turn=batch.turn,
        attempt=batch.attempt,
        prompt=line.prompt,
        model=batch.model,
        endpoint=batch.endpoint,
        parameters=line.parameters,
        messages=line.messages,
        reply=answer.text if answer else None,
        status=status,
        reason=reason,
        finish=answer.finish if answer else "",
        input_tokens=answer.input_tokens if answer else None,
        output_tokens=answer.output_tokens if answer else None,
        cost_nanousd=cost,
        started=batch.created,
        latency_ms=0.0,
    )


def _parsed(raw: bytes) -> _Came | None:
    """A line of a result file, None where it is none."""
    try:
        told = json.loads(raw)
        response, error = told.get("response") or {}, told.get("error") or {}
        body = response.get("body")
        refused = (body.get("error") if isinstance(body, dict) else None) or {}
        return _Came(
            key=str(told["custom_id"]),
            status=int(response.get("status_code") or 0),
            body=body,
            code=str(error.get("code") or ""),
            message=str(error.get("message") or refused.get("message") or "no answer")[:300],
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
