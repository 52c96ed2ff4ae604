"""Is a model fit for a run? Asked before money is spent: one small list of findings, with hints.

The one question it asks is the longest that the data will make, so that a reply of the right form
also proves that the context is long enough. After that a few tiny questions at once show how many
the server works on in parallel.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from agents.checks import judge, prepare
from agents.estimate import Supposing
from agents.experience import learn
from agents.limits import Gate
from agents.models.base import Busy, Declined, Model, Request
from agents.pipeline import Run
from agents.replies import Profile, Refinement, reply_class
from agents.setup import Options, carry_out, make_desk, make_job
from errors import ModelError
from graph_ops.budget import tokens
from stores.connection import Connection
from stores.datasets import Dataset
from stores.ledger import Ledger

MOST_AT_ONCE = 32
TINY_TOKENS = 16
# What servers call the length of their context in GET /models: OpenRouter, vLLM, Groq, llama.cpp.
CONTEXT_NAMES = ("context_length", "max_model_len", "context_window", "max_context_length", "n_ctx")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `good` None: it could not be found out."""

    what: str
    good: bool | None
    words: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Longest:
    """The longest question a data set makes, and the form of its reply."""

    request: Request
    form: type[Profile] | type[Refinement]
    tokens: int


async def longest_question(
    data: Dataset, ledger: Ledger, model: Model, options: Options
) -> Longest:
    """Render every question of a run with replies as long as they may be; the longest of them."""
    supposing = Supposing(learn([]), full=True)
    desk = replace(make_desk("checkup", model, ledger, options), suppose=supposing.suppose)
    await carry_out(Run(make_job(data, options, desk), lambda: 0, lambda name, nodes: None))
    asked = supposing.longest
    if asked is None:
        raise ModelError("The data holds nothing to ask about.")
    size = sum(tokens(text) for _, text in asked.request.messages)
    return Longest(asked.request, reply_class(asked.prompt.header.reply), size)


async def check_server(connection: Connection, needed: int) -> list[Finding]:
    """Is it there, does it take the key, does it have the model, is its context long enough?

    `needed` is in tokens: the longest prompt and its reply.
    """
    import openai

    client = openai.AsyncOpenAI(
        base_url=connection.url, api_key=connection.key, max_retries=0, timeout=connection.timeout
    )
    try:
        listed = [one.model_dump() async for one in client.models.list()]
        about = list(_in_the_list(connection.model, listed, needed))
    except openai.AuthenticationError:
        return [
            Finding(
                "key",
                False,
                f"{connection.url} refuses the key.",
                "Set OPENAI_API_KEY, or HOPSCRIBE_API_KEY (or key_variable) for your own server.",
            )
        ]
    except openai.APIStatusError as error:
        return [
            Finding("reachable", True, f"{connection.url} answers."),
            Finding("model", None, f"it does not list its models (HTTP {error.status_code})."),
        ]
    except openai.APIConnectionError:
        return [
            Finding(
                "reachable",
                False,
                f"no connection to {connection.url}.",
                "Is the server running, and does the address end in /v1?",
            )
        ]
    except (openai.OpenAIError, ValueError, TypeError, AttributeError):
        return [Finding("reachable", None, f"{connection.url} answers, but not as OpenAI's does.")]
    finally:
        await client.close()
    return [
        Finding("reachable", True, f"{connection.url} answers."),
        *about,
    ]


def _in_the_list(model: str, listed: list[dict[str, Any]], needed: int) -> Iterator[Finding]:
    found = next((one for one in listed if one.get("id") == model), None)
    if found is None:
        names = ", ".join(str(one.get("id")) for one in listed[:8])
        # Servers with one model, such as llama.cpp's, mostly answer to any name.
        yield Finding(
            "model",
            None if len(listed) <= 1 else False,
            f"{model} is not in its list of {len(listed)} models.",
            f"It has, among others: {names}." if names else "",
        )
        found = listed[0] if len(listed) == 1 else {}
    else:
        yield Finding("model", True, f"it has {model}.")
    places = (found, found.get("meta") or {})
    lengths = [place[name] for place in places for name in CONTEXT_NAMES if place.get(name)]
    if lengths:
        good = int(lengths[0]) >= needed
        yield Finding(
            "context",
            good,
            f"{lengths[0]} tokens; the longest question and its reply take about {needed}.",
            "" if good else "Give the server a longer context, or lower evidence_tokens.",
        )


async def check_reply(model: Model, longest: Longest, language: str | None) -> Finding:
    """One real question, the longest there will be."""
    prepare(language)
    turn = Gate(1).turn()
    try:
        answer = await model.complete(longest.request, turn)
    except (Busy, Declined) as error:
        hint = "Is its context long enough for about "
        hint += f"{longest.tokens + longest.request.max_tokens} tokens?"
        return Finding("reply", False, error.message, hint)
    verdict = judge(answer, longest.form, longest.request.max_words, language)
    spent = model.price(answer.input_tokens, answer.output_tokens)
    price = "unpriced" if spent is None else f"${spent / 1e9:.5f}"
    took = f"{turn.latency_ms / 1e3:.1f} s, {answer.input_tokens or '?'} tokens in, "
    took += f"{answer.output_tokens or '?'} out, {price}"
    if verdict.reply is None:
        return Finding(
            "reply",
            False,
            f"cannot be used: {verdict.complaint} ({took})",
            "A run would repair such replies, at the price of another call each. Try a larger "
            "model, or thinking_tokens for one that thinks first.",
        )
    asked_as = f" asked for as {model.learnt}" if model.learnt else ""
    return Finding("reply", True, f"of the right form{asked_as} ({took}).")


async def check_concurrency(model: Model, longest: Longest, concurrency: int) -> Finding:
    """How many of `concurrency` calls at once the far side really works on at once."""
    at_once = min(concurrency, MOST_AT_ONCE)
    tiny = replace(
        longest.request,
        messages=(("system", "Answer with one word."), ("user", "Ready?")),
        max_tokens=TINY_TOKENS,
    )

    async def ask() -> str:
        try:
            await model.complete(tiny, Gate(1).turn())
        except (Busy, Declined) as error:
            return error.message
        return ""

    clock = time.perf_counter()
    first = await ask()
    alone = time.perf_counter() - clock
    if first:
        return Finding("concurrency", None, f"a tiny question was not answered: {first}")
    clock = time.perf_counter()
    failed = [said for said in await asyncio.gather(*(ask() for _ in range(at_once))) if said]
    together = time.perf_counter() - clock
    if failed:
        return Finding(
            "concurrency",
            False,
            f"{len(failed)} of {at_once} calls at once were refused: {failed[0]}",
            "A run adapts by itself; a lower --concurrency or a requests_per_minute spares the "
            "refusals.",
        )
    parallel = min(at_once, max(1, round(at_once * alone / together)))
    words = f"{at_once} calls at once took {together:.2f} s, one {alone:.2f} s: "
    words += f"it works on about {parallel} at once."
    hint = f"--concurrency {max(1, 2 * parallel)} is enough." if 4 * parallel < concurrency else ""
    return Finding("concurrency", True, words, hint)
