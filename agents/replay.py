"""A question of the ledger asked once more, elsewhere or in other words: an experiment.

It is a call like every other, with its price, but it belongs to no run and no cache key leads to
it: no node's text ever comes from it.
"""

import json
import time
from dataclasses import dataclass
from uuid import uuid4

from agents.checks import judge, prepare
from agents.limits import Gate
from agents.models.base import Answer, Busy, Declined, Model, Request
from agents.replies import reply_class
from prompts.library import Prompt
from stores.ledger import Ledger
from stores.rows import Call, Status
from stores.trails.calls import CallRow
from stores.trails.runs import REPLAY


@dataclass(frozen=True, slots=True)
class Experiment:
    """What to ask, about which call. `language` is what the reply is held to."""

    origin: CallRow
    prompt: Prompt
    request: Request
    language: str | None


async def replay(ledger: Ledger, model: Model, what: Experiment) -> str:
    """Ask once, judge, write down; the key of the new call, which `failed` where none answered.

    Raises ModelError when the model cannot be used at all.
    """
    language = what.language if model.writes_any_language else None
    prepare(language)
    turn = Gate(1).turn()
    answer: Answer | None = None
    status: Status = "failed"
    cost: int | None = 0
    try:
        answer = await model.complete(what.request, turn)
        form = reply_class(what.prompt.header.reply)
        verdict = judge(answer, form, what.request.max_words, language)
        status = "accepted" if verdict.reply is not None else "rejected"
        reason = verdict.complaint
        cost = model.price(answer.input_tokens, answer.output_tokens)
    except (Busy, Declined) as error:
        reason = error.message
        if isinstance(error, Busy) and error.kind == "lost":
            cost = None
    told = answer or Answer("", finish="")
    facts = {
        **model.parameters,
        "max_tokens": what.request.max_tokens,
        "schema": what.request.schema,
        "replay_of": what.origin.id,
    }
    key = f"{REPLAY}:{uuid4().hex}"
    await ledger.record(
        Call(
            key=key,
            run=REPLAY,
            stage=REPLAY,
            node=what.origin.node,
            hop=what.origin.hop,
            turn=0,
            attempt=1,
            prompt=what.prompt.ref,
            model=model.name,
            endpoint=model.endpoint,
            parameters=json.dumps(facts, sort_keys=True),
            messages=what.request.messages,
            reply=None if answer is None else answer.text,
            status=status,
            reason=reason,
            finish=told.finish,
            input_tokens=told.input_tokens,
            output_tokens=told.output_tokens,
            cost_nanousd=cost,
            started=turn.started or time.time(),
            latency_ms=turn.latency_ms,
        )
    )
    return key
