"""One question, one validated reply: ledger, slot, retry, check, row.

The order is fixed: an answer is judged, then its row is on disk, and only then is it used. What
the ledger holds is judged again when it is read, so a rejected reply leads to the same repair as
it did before, without being asked again. Answers belong to a node by name, never by position.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import Any, Literal

from agents.checks import Verdict, judge
from agents.engines.base import Engine, Form
from agents.engines.local import LOCAL
from agents.limits import Gate, Turn
from agents.manner import Topic, messages
from agents.models.base import Answer, Busy, Declined, Model, Request
from agents.replies import Reply, reply_class
from agents.retry import heed, retrying
from graph_ops.budget import tokens
from prompts.library import Message, Prompt
from stores.ledger import Ledger
from stores.rows import Call, Status
from stores.rows import Reply as Stored


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a node. `turn` 0 is the question itself, n its n-th repair."""

    node: str
    hop: int
    stage: str
    prompt: Prompt
    request: Request
    parameters: str
    key: str
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question: a reply, or the text and the complaint it was rejected with.

    `end` says why asking again would not help: the model declines this question, or every attempt
    failed.
    """

    question: Question
    reply: Reply | None
    text: str = ""
    complaint: str = ""
    end: Literal["", "declined", "failed"] = ""
    finish: str = "stop"


@dataclass
class Tally:
    """What a run has done so far. `on_change` hears of every change."""

    calls: int = 0
    cached: int = 0
    repaired: int = 0
    fallback: int = 0
    failed: int = 0
    retried: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0
    unpriced: int = 0
    embedding_tokens: int = 0
    # What a server said of its work so far: answers on their way, and words for a person.
    ahead: int = 0
    note: str = ""
    on_change: Callable[[], None] = field(default=lambda: None, repr=False)


@dataclass(frozen=True)
class Desk:
    """What every question of a run shares. `language` None: the model cannot choose its own.

    `engine` is who does the work. With `batch` questions go out in batches, a whole stage at once.
    With `suppose` nothing is asked and nothing written: it makes up a reply, for an estimate.
    """

    run: str
    model: Model
    ledger: Ledger
    gate: Gate
    tally: Tally
    language: str | None
    repeat: int = 0
    thinking_tokens: int = 0
    batch: bool = False
    engine: Engine = LOCAL
    suppose: "Callable[[Question], Asked] | None" = None
    # Questions on their way, by key: who asks the same meanwhile waits for that answer.
    asking: dict[str, "asyncio.Future[Stored | None]"] = field(default_factory=dict, repr=False)

    @property
    def whole_stages(self) -> bool:
        """Whether all questions of a stage are asked at once."""
        return self.batch and self.suppose is None


def question(desk: Desk, topic: Topic, said: tuple[Message, ...]) -> Question:
    """The question about a topic that was put into words."""
    request = _request(topic.prompt, topic.inputs, said, desk.thinking_tokens)
    facts = {
        **desk.model.parameters,
        "max_tokens": request.max_tokens,
        "schema": request.schema,
        "repeat": desk.repeat,
    }
    parameters = json.dumps(facts, sort_keys=True)
    key = _key(desk.model, parameters, request.messages)
    return Question(topic.node, topic.hop, topic.stage, topic.prompt, request, parameters, key)


def rendered(prompt: Prompt, inputs: Mapping[str, Any], thinking_tokens: int = 0) -> Request:
    """What is sent for these inputs, of which a prompt may need but some."""
    return _request(prompt, inputs, messages(prompt, inputs), thinking_tokens)


def _request(
    prompt: Prompt, inputs: Mapping[str, Any], said: tuple[Message, ...], thinking_tokens: int
) -> Request:
    """`max_words` is also what the reply is held to; `evidence` is for the extractive writer."""
    return Request(
        messages=said,
        schema=_schema(reply_class(prompt.header.reply)),
        max_tokens=prompt.header.max_tokens + thinking_tokens,
        max_words=inputs["max_words"],
        evidence=inputs["evidence"],
    )


def repair(desk: Desk, asked: Asked) -> Question:
    """The question that goes on from a rejected reply. Only the last reply is shown."""
    before = asked.question
    said = asked.text[:4000] or "(empty)"
    messages = (
        *before.request.messages[:2],
        *before.prompt.render_repair(said, asked.complaint),
    )
    return replace(
        before,
        request=replace(before.request, messages=messages),
        key=_key(desk.model, before.parameters, messages),
        turn=before.turn + 1,
    )


def _key(model: Model, parameters: str, messages: tuple[Message, ...]) -> str:
    """The cache key: a hash of everything that can change the answer, and of nothing else."""
    facts = json.dumps((model.name, model.endpoint, parameters, messages))
    return sha256(facts.encode()).hexdigest()


@cache
def _schema(form: Form) -> dict[str, Any]:
    return form.model_json_schema()


async def ask(desk: Desk, asked: Question, stored: Stored | None) -> Asked:
    """Answer a question from the ledger, or else from the model.

    Nodes with equal evidence ask the same question: it is asked once, and they share the answer,
    now as in every later run.
    """
    while stored is None and asked.key in desk.asking:
        stored = await desk.asking[asked.key]
    if stored is None:
        # Somebody may have been answered since the wave looked.
        stored = desk.ledger.find([asked.key]).get(asked.key)
    if stored is not None:
        desk.tally.cached += 1
        desk.tally.on_change()
        return judged(desk, asked, Answer(stored.text, stored.finish))
    if desk.suppose is not None:
        return desk.suppose(asked)
    desk.asking[asked.key] = asyncio.get_running_loop().create_future()
    result: Asked | None = None
    try:
        result = await _ask_model(desk, asked)
        return result
    finally:
        desk.asking.pop(asked.key).set_result(_as_stored(result))


def _as_stored(result: Asked | None) -> Stored | None:
    """What the ledger now says about a question; nothing where there was no answer."""
    if result is None or result.end:
        return None
    return Stored(result.text, result.finish)


async def _ask_model(desk: Desk, asked: Question) -> Asked:
    try:
        async for attempt in retrying(desk.gate):
            with attempt:
                return await _call(desk, asked, attempt.retry_state.attempt_number)
    except (Busy, Declined) as error:
        end: Literal["failed", "declined"] = "failed" if isinstance(error, Busy) else "declined"
        return Asked(asked, None, complaint=error.message, end=end)
    raise AssertionError("tenacity ends with a result or an error")


async def _call(desk: Desk, asked: Question, attempt: int) -> Asked:
    turn = desk.gate.turn(*most(desk, asked.request))
    used: int | None = None
    cost: int | None = None
    try:
        answer, verdict = await desk.engine.answer(
            desk.model, asked.request, _form(asked), desk.language, turn
        )
        used = (answer.input_tokens or 0) + (answer.output_tokens or 0) or None
        cost = desk.model.price(answer.input_tokens, answer.output_tokens)
    except (Busy, Declined) as error:
        if isinstance(error, Busy):
            desk.tally.retried += 1
            heed(desk.gate, turn, error)
        if not isinstance(error, Busy) or error.kind != "lost":
            used = cost = 0
        await _record(desk, asked, attempt, "failed", error.message, None, turn, 0)
        raise
    finally:
        # Nobody knows what a lost or dropped call cost: its reservation is kept.
        await turn.settle(used, cost)
    desk.gate.answered()
    result = _settled(desk, asked, answer, verdict)
    status: Status = "accepted" if result.reply is not None else "rejected"
    await _record(desk, asked, attempt, status, result.complaint, answer, turn, cost)
    return result


def most(desk: Desk, request: Request) -> tuple[int, int]:
    """The tokens a call is let out with, and the nano-dollars to reserve for it."""
    likely = sum(tokens(text) for _, text in request.messages) + request.max_tokens
    return likely, 0 if desk.gate.purse.cap is None else dearest(desk.model, request)


def dearest(model: Model, request: Request) -> int:
    """What a call can cost at the most, 0 where no price is known.

    No tokenizer makes more tokens than there are bytes; a few come with each message.
    """
    texts = [text for _, text in request.messages]
    most_input = sum(len(text.encode("utf-8", "replace")) + 16 for text in texts)
    return model.price(most_input, request.max_tokens) or 0


def judged(desk: Desk, asked: Question, answer: Answer) -> Asked:
    """What an answer is worth that is known already."""
    verdict = judge(answer, _form(asked), asked.request.max_words, desk.language)
    return _settled(desk, asked, answer, verdict)


def _form(asked: Question) -> Form:
    return reply_class(asked.prompt.header.reply)


def _settled(desk: Desk, asked: Question, answer: Answer, verdict: Verdict) -> Asked:
    if verdict.reply is not None:
        desk.gate.usable()
    return Asked(asked, verdict.reply, answer.text, verdict.complaint, finish=answer.finish)


async def _record(
    desk: Desk,
    asked: Question,
    attempt: int,
    status: Status,
    reason: str,
    answer: Answer | None,
    turn: Turn,
    cost: int | None,
) -> None:
    billed = answer or Answer("", finish="")
    call = Call(
        key=asked.key,
        run=desk.run,
        stage=asked.stage,
        node=asked.node,
        hop=asked.hop,
        turn=asked.turn,
        attempt=attempt,
        prompt=asked.prompt.ref,
        model=desk.model.name,
        endpoint=desk.model.endpoint,
        parameters=asked.parameters,
        messages=asked.request.messages,
        reply=answer.text if answer else None,
        status=status,
        reason=reason,
        finish=billed.finish,
        input_tokens=billed.input_tokens,
        output_tokens=billed.output_tokens,
        cost_nanousd=cost,
        started=turn.started,
        latency_ms=turn.latency_ms,
    )
    await desk.ledger.record(call)
    count(desk.tally, call)


def count(tally: Tally, call: Call) -> None:
    """Add a recorded call to the figures of the run."""
    tally.calls += 1
    tally.input_tokens += call.input_tokens or 0
    tally.output_tokens += call.output_tokens or 0
    tally.cost_nanousd += call.cost_nanousd or 0
    tally.unpriced += call.cost_nanousd is None
    tally.on_change()
