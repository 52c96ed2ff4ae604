"""The bodies of `models list` and `models check`: what can be used, and is it fit for a run?"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from agents.checkup import (
    Finding,
    check_concurrency,
    check_reply,
    check_server,
    longest_question,
)
from agents.models import open_model
from errors import HopscribeError
from settings import REMOTE, Named, Settings, connection
from stores.connection import Connection
from stores.datasets import load_training
from stores.embedders import open_embedder
from stores.ledger import Ledger
from stores.prices import cost
from verbs.places import must_be_folder
from verbs.session import options_of


def listed(settings: Settings) -> list[dict[str, Any]]:
    """A row for the model and the embedder in use, and for each name under `models:`."""
    names = dict.fromkeys([settings.model, settings.embedder, *settings.models])
    return [_row(name, settings) for name in names]


def check(settings: Settings, name: str, data: Path, embedder: bool) -> list[Finding]:
    """Look at a model, or an embedder, for a run over this data. Nothing is kept.

    Raises UsageError for a name that leads nowhere.
    """
    reach = settings.reach(name)
    must_be_folder(data)
    try:
        to = connection(reach)
        if embedder:
            return [_check_embedder(to)]
        return asyncio.run(_check_model(settings, reach, to, data))
    except HopscribeError as error:
        return [Finding("usable", False, error.message, error.hint)]


async def _check_model(
    settings: Settings, reach: Named, to: Connection, data: Path
) -> list[Finding]:
    model = open_model(to)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_training(data, Path(folder), settings.seed)
        options = options_of(settings, loaded, {"hops": 2, "limit": None, "fresh": False})
        try:
            with Ledger(Path(folder) / "ledger.sqlite") as ledger:
                longest = await longest_question(loaded, ledger, model, options)
            found: list[Finding] = []
            if reach.provider in REMOTE:
                found += await check_server(to, longest.tokens + longest.request.max_tokens)
            if any(one.good is False for one in found):
                return found
            language = options.language if model.writes_any_language else None
            found.append(await check_reply(model, longest, language))
            if reach.provider in REMOTE and found[-1].good:
                found.append(await check_concurrency(model, longest, reach.concurrency))
            return found
        finally:
            await model.close()


def _check_embedder(to: Connection) -> Finding:
    embedder = open_embedder(to)
    (vector,) = embedder.embed(["A quiet book about the sea."])
    price = embedder.price(1_000_000)
    told = "unpriced" if price is None else f"${price / 1e9:g} for a million tokens"
    words = f"{embedder.name}: {len(vector)} dimensions, {embedder.window} tokens at once, {told}."
    return Finding("embedder", True, words)


def _row(name: str, settings: Settings) -> dict[str, Any]:
    reach = settings.reach(name)
    row: dict[str, Any] = {"name": name, "provider": reach.provider, "model": reach.model}
    if reach.provider in REMOTE:
        to = connection(reach, must_have_key=False)
        # Tables of prices are by token; a million at once could reach a dearer tier.
        prices = (cost(to, 1000, 0), cost(to, 0, 1000))
        asked, said = (None if nano is None else nano / 1e6 for nano in prices)
        row |= {
            "endpoint": to.url,
            "key": "set" if to.key != "none" else "not set",
            "dollars_per_million_input": asked,
            "dollars_per_million_output": None if asked is None else said,
        }
    elif reach.provider == "llamacpp":
        row["file"] = "found" if Path(reach.model).is_file() else "missing"
    row |= {
        limit: getattr(reach, limit)
        for limit in ("concurrency", "requests_per_minute", "tokens_per_minute")
        if reach.provider in REMOTE
    }
    return row
