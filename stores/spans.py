"""A run as OpenTelemetry's spans: machine → step → call, in the words that tracing tools know.

Attributes follow OpenTelemetry's conventions for generative AI (`gen_ai.…`, in development) and
OpenInference (`openinference.…`, `llm.…`), so that Phoenix, Langfuse, MLflow or any collector shows
the same tree; what only we know is under `hopscribe.…`. Pure: rows of the ledger in, values out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from stores.trails.calls import CallRow
from stores.trails.runs import Run

Value = str | int | float | bool | Sequence[str]
# Who made what the name of a model begins with; ours are no provider that a convention knows.
_PROVIDERS = {"openai": "openai", "llamacpp": "llama.cpp", "offline": "hopscribe"}
_SAMPLING = ("temperature", "top_p", "seed", "max_tokens")


@dataclass(frozen=True, slots=True)
class Span:
    """One span. `id` and `parent` name it for ever: sent twice, it is the same span.

    Times are unix seconds; `error` is what went wrong, "" where nothing did.
    """

    id: str
    parent: str
    name: str
    attributes: Mapping[str, Value]
    start: float
    end: float
    remote: bool = False
    error: str = ""


def trace_of(run: str) -> int:
    """The trace of a run: 16 bytes made from its name."""
    return int.from_bytes(sha256(f"trace {run}".encode()).digest()[:16], "big")


def number_of(id: str) -> int:
    """The id of a span as 8 bytes."""
    return int.from_bytes(sha256(f"span {id}".encode()).digest()[:8], "big")


def machine(run: Run, start: float, end: float) -> Span:
    """The whole run."""
    settings = json.dumps(dict(run.settings), ensure_ascii=False, default=str)
    outcome = {"calls": run.calls, "nodes": dict(run.nodes), "ended": run.how or "unknown"}
    return Span(
        id=run.id,
        parent="",
        name="invoke_agent refine",
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "refine",
            "gen_ai.conversation.id": run.id,
            "gen_ai.provider.name": _provider(str(run.settings.get("model", ""))),
            "openinference.span.kind": "AGENT",
            "session.id": run.id,
            "input.value": settings,
            "input.mime_type": "application/json",
            "output.value": json.dumps(outcome),
            "output.mime_type": "application/json",
        },
        start=start,
        end=end,
        error="the run failed" if run.how == "failed" else "",
    )


def step(run: str, stage: str, hop: int, start: float, end: float) -> Span:
    """A stage of the run: item profiles, user profiles, hop 1 …, embedding."""
    return Span(
        id=step_id(run, stage),
        parent=run,
        name=stage,
        attributes={
            "openinference.span.kind": "CHAIN",
            "session.id": run,
            "gen_ai.conversation.id": run,
            "hopscribe.stage": stage,
            "hopscribe.hop": hop,
        },
        start=start,
        end=end,
    )


def step_id(run: str, stage: str) -> str:
    """What a stage's span is called by its calls."""
    return f"{run} {stage}"


def call(
    row: CallRow, parameters: str, messages: Sequence[tuple[str, str]], reply: str | None
) -> Span:
    """One call to a model or an embedder."""
    provider, _, model = row.model.partition(":")
    embeds = not row.node
    # An embedder's address is part of its name.
    model, _, place = (model or provider).partition("@")
    address = urlsplit(row.endpoint or place)
    known: dict[str, Value | None] = {
        "gen_ai.operation.name": "embeddings" if embeds else "chat",
        "gen_ai.provider.name": _provider(row.model),
        "gen_ai.request.model": model,
        "gen_ai.conversation.id": row.run,
        "gen_ai.usage.input_tokens": row.input_tokens,
        "gen_ai.usage.output_tokens": row.output_tokens,
        "gen_ai.response.finish_reasons": [row.finish] if row.finish else None,
        "server.address": address.hostname,
        "server.port": address.port,
        "error.type": "_OTHER" if row.status == "failed" else None,
        "openinference.span.kind": "EMBEDDING" if embeds else "LLM",
        "session.id": row.run,
        "hopscribe.call": row.id,
        "hopscribe.check": row.status,
        "hopscribe.complaint": row.reason or None,
        **_usage(row),
    }
    if embeds:
        known["embedding.model_name"] = model
    else:
        known |= _asked(row, model, json.loads(parameters), messages, reply)
    return Span(
        id=f"{row.run} call {row.id}",
        parent=step_id(row.run, row.stage),
        name=f"{known['gen_ai.operation.name']} {model}",
        attributes={name: value for name, value in known.items() if value is not None},
        start=row.started,
        end=row.started + row.latency_ms / 1e3,
        remote=bool(address.hostname),
        error=row.reason or "no answer" if row.status == "failed" else "",
    )


def _usage(row: CallRow) -> dict[str, Value | None]:
    told = [count for count in (row.input_tokens, row.output_tokens) if count is not None]
    return {
        "llm.token_count.prompt": row.input_tokens,
        "llm.token_count.completion": row.output_tokens,
        "llm.token_count.total": sum(told) if told else None,
        "llm.cost.total": None if row.cost_nanousd is None else row.cost_nanousd / 1e9,
    }


def _asked(
    row: CallRow,
    model: str,
    parameters: Mapping[str, Any],
    messages: Sequence[tuple[str, str]],
    reply: str | None,
) -> dict[str, Value | None]:
    """What a question to a model says besides: messages, reply, prompt, node."""
    sampling = {name: parameters[name] for name in _SAMPLING if parameters.get(name) is not None}
    metadata = {"node": row.node, "hop": row.hop, "turn": row.turn, "attempt": row.attempt}
    name, _, version = row.prompt.partition("@")
    known: dict[str, Value | None] = {
        **{f"gen_ai.request.{name}": value for name, value in sampling.items()},
        "gen_ai.output.type": "json",
        "gen_ai.system_instructions": _parts([t for role, t in messages if role == "system"]),
        "gen_ai.input.messages": _messages([m for m in messages if m[0] != "system"]),
        "llm.model_name": model,
        "llm.provider": _provider(row.model),
        "llm.system": _provider(row.model),
        "llm.invocation_parameters": json.dumps(sampling),
        "llm.prompt_template.version": version,
        "input.value": json.dumps([{"role": r, "content": t} for r, t in messages]),
        "input.mime_type": "application/json",
        "metadata": json.dumps({**metadata, "prompt": row.prompt}),
        "hopscribe.node": row.node,
        "hopscribe.hop": row.hop,
        "hopscribe.turn": row.turn,
        "hopscribe.attempt": row.attempt,
        "hopscribe.prompt": row.prompt,
        "hopscribe.prompt.name": name,
    }
    for place, (role, text) in enumerate(messages):
        known[f"llm.input_messages.{place}.message.role"] = role
        known[f"llm.input_messages.{place}.message.content"] = text
    if reply is not None:
        known["gen_ai.output.messages"] = _messages([("assistant", reply)], row.finish)
        known["llm.output_messages.0.message.role"] = "assistant"
        known["llm.output_messages.0.message.content"] = reply
        known["output.value"] = reply
    return known


def _provider(model: str) -> str:
    name = model.partition(":")[0]
    return _PROVIDERS.get(name, name or "hopscribe")


def _parts(texts: Sequence[str]) -> str:
    return json.dumps([{"type": "text", "content": text} for text in texts], ensure_ascii=False)


def _messages(messages: Sequence[tuple[str, str]], finish: str = "") -> str:
    told = []
    for role, text in messages:
        one: dict[str, Any] = {"role": role, "parts": [{"type": "text", "content": text}]}
        told.append({**one, "finish_reason": finish} if finish else one)
    return json.dumps(told, ensure_ascii=False)
