"""Many questions as batches: files that a server answers within a day, at half the price.

What the ledger knows is not asked. What an earlier process handed in and did not bring home is
waited for, not handed in again. The rest goes out in as few files as the server takes; what a
batch leaves open because it expired or was cancelled goes out once more.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from agents.ask import Asked, Desk, Question, dearest, judged
from agents.harvest import Failure, batch_model, going_on, harvested, patiently
from agents.models.base import Answer, BatchModel, Declined, Remote
from errors import ModelError, RunStopped
from stores.batches import DROPPED, INTENDED, Batch, Batches, Line
from stores.prices import in_a_batch

if TYPE_CHECKING:
    from agents.models.batches import BatchServer

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000  # OpenAI's limits for a file
ROUNDS = 3  # times a question is handed in before its node has failed


async def ask_in_batches(desk: Desk, questions: Sequence[Question]) -> dict[str, Asked]:
    """Answer questions from the ledger, or else by batches. Equal questions are asked once."""
    stored = desk.ledger.find([q.key for q in questions])
    waiting = {q.key: q for q in reversed(questions) if q.key not in stored}
    new, failures = set(waiting), dict[str, Failure]()
    server = batch_model(desk.model).batches()
    try:
        for attempt in range(1, ROUNDS + 1):
            if not waiting:
                break
            failures.update(await _round(desk, server, waiting, attempt))
            stored.update(desk.ledger.find(waiting))
            _raise_if_unusable(desk, failures, stored)
            waiting = {
                key: asked
                for key, asked in waiting.items()
                if key not in stored and not (key in failures and failures[key].end == "declined")
            }
    finally:
        await server.close()
    answers = {}
    for asked in questions:
        reply = stored.get(asked.key)
        if reply is None:
            why = failures.get(asked.key, Failure("It came back from no batch.", "failed"))
            end: Literal["declined", "failed"] = "declined" if why.end == "declined" else "failed"
            answers[asked.node] = Asked(asked, None, complaint=why.message, end=end)
            continue
        desk.tally.cached += asked.key not in new
        new.discard(asked.key)
        answers[asked.node] = judged(desk, asked, Answer(reply.text, reply.finish))
    desk.tally.on_change()
    return answers


async def _round(
    desk: Desk, server: "BatchServer", waiting: Mapping[str, Question], attempt: int
) -> dict[str, Failure]:
    """Hand in what no batch holds yet and bring everything home. Raises RunStopped.

    Where a cap does not leave room for all, what fits goes first, and the rest follows if the cap
    holds all of it then: a run must not dwindle away in ever smaller batches of a day each.
    """
    batches = Batches(desk.ledger)
    flights = await _adopted(desk, server, waiting)
    held = {key for batch in flights for key in batches.keys(batch.name)}
    rest = [asked for key, asked in waiting.items() if key not in held]
    desk.gate.farewell = going_on(flights)
    failures: dict[str, Failure] = {}
    partly = False
    while rest or flights:
        fitting = _affordable(desk, rest)
        if partly and fitting < len(rest):
            fitting = 0
        if rest and not fitting and not flights:
            raise desk.gate.purse.empty()
        async for part, lines in _files(batch_model(desk.model), server.url, rest[:fitting]):
            desk.gate.check()
            flights.append(await _hand_in(desk, server, part, lines, attempt))
            desk.gate.farewell = going_on(flights)
        partly = partly or fitting > 0
        rest = rest[fitting:]
        failures.update(await harvested(desk, server, flights))
        flights = []
    return failures


async def _adopted(desk: Desk, server: "BatchServer", waiting: Iterable[str]) -> list[Batch]:
    """Batches of earlier processes that were handed in and hold some of these questions."""
    batches, found = Batches(desk.ledger), []
    for batch in batches.about(waiting):
        known = await located(desk, server, batch)
        if known is not None:
            desk.gate.purse.hold(known.most)
            found.append(known)
    return found


async def located(desk: Desk, server: "BatchServer", batch: Batch) -> Batch | None:
    """A batch with the server's name for it; None where it was intended and never made.

    A process may die after the server made a batch and before its name was written down: the mark
    in its metadata tells then.
    """
    if batch.batch is not None:
        return batch
    batches = Batches(desk.ledger)
    remote = await patiently(desk.gate, lambda: server.find(batch.name, batch.created))
    if remote is None:
        await batches.close(batch.name, DROPPED)
        return None
    await batches.created(batch.name, remote.id, remote.status)
    return replace(batch, batch=remote.id, status=remote.status)


async def _hand_in(
    desk: Desk, server: "BatchServer", part: Sequence[Question], lines: bytes, attempt: int
) -> Batch:
    """Write down what is intended, then do it. Raises RunStopped."""
    batches, first = Batches(desk.ledger), part[0]
    # The same questions may go out twice; a mark is used once.
    place = f"{desk.run} {len(batches.all())}\n"
    batch = Batch(
        name=sha256(place.encode() + lines).hexdigest(),
        run=desk.run,
        model=desk.model.name,
        endpoint=desk.model.endpoint,
        stage=first.stage,
        hop=first.hop,
        turn=first.turn,
        attempt=attempt,
        language=desk.language,
        most=sum(_most(desk, asked) for asked in part),
        file=None,
        batch=None,
        status=INTENDED,
        created=time.time(),
        harvested=None,
    )
    await batches.intend(batch, [_line(asked) for asked in part])
    desk.gate.purse.hold(batch.most)
    try:
        name = f"hopscribe-{batch.name[:16]}.jsonl"
        file = await patiently(desk.gate, lambda: server.upload(name, lines))
        await batches.uploaded(batch.name, file)
        remote = await _created(desk, server, file, batch)
    except Declined as error:
        raise RunStopped(
            f"{error.message} (It was asked to take a batch of {len(part)} questions.)",
            hint="Nothing of it was asked. Mend what it complains about, or run without --batch.",
        ) from error
    await batches.created(batch.name, remote.id, remote.status)
    return replace(batch, file=file, batch=remote.id, status=remote.status)


async def _created(desk: Desk, server: "BatchServer", file: str, batch: Batch) -> Remote:
    """Let the batch begin, once: where the answer to that was lost, it may have begun."""
    tried = False

    async def create() -> Remote:
        nonlocal tried
        if tried and (begun := await server.find(batch.name, batch.created)) is not None:
            return begun
        tried = True
        return await server.create(file, batch.name)

    return await patiently(desk.gate, create)


def _affordable(desk: Desk, rest: Sequence[Question]) -> int:
    """How many of the next questions the purse has room for at their most expensive."""
    left = desk.gate.purse.left
    if left is None:
        return len(rest)
    for place, asked in enumerate(rest):
        left -= _most(desk, asked)
        if left < 0:
            return place
    return len(rest)


def _most(desk: Desk, asked: Question) -> int:
    return in_a_batch(dearest(desk.model, asked.request)) or 0


async def _files(
    model: BatchModel, url: str, questions: Sequence[Question]
) -> AsyncIterator[tuple[list[Question], bytes]]:
    """The questions as files that the server takes, each with the questions it holds."""
    part: list[Question] = []
    lines: list[bytes] = []
    size = 0
    for asked in questions:
        line = _request(model, url, asked)
        if part and (len(part) == MOST_REQUESTS or size + len(line) > MOST_BYTES):
            yield part, b"".join(lines)
            part, lines, size = [], [], 0
        part.append(asked)
        lines.append(line)
        size += len(line)
        # Ctrl-C is heard between two lines.
        await asyncio.sleep(0)
    if part:
        yield part, b"".join(lines)


def _request(model: BatchModel, url: str, asked: Question) -> bytes:
    request = {
        "custom_id": asked.key,
        "method": "POST",
        "url": url,
        "body": model.render(asked.request),
    }
    return json.dumps(request).encode() + b"\n"


def _line(asked: Question) -> Line:
    return Line(
        key=asked.key,
        node=asked.node,
        prompt=asked.prompt.ref,
        form=asked.prompt.header.reply,
        max_words=asked.request.max_words,
        parameters=asked.parameters,
        messages=asked.request.messages,
    )


def _raise_if_unusable(
    desk: Desk, failures: Mapping[str, Failure], stored: Mapping[str, object]
) -> None:
    for key, failure in failures.items():
        if failure.end == "model" and key not in stored:
            raise ModelError(
                failure.message, hint=f"Check that {desk.model.name} and its key can be used there."
            )
