"""What `python cli.py traces replay` does: a call of the ledger asked again, beside the first."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.models import open_model
from agents.models.base import Request
from agents.replay import Experiment, replay
from agents.replies import reply_class
from agents.retrace import Retraced, manner_of, options_of, retrace
from errors import UsageError
from prompts.library import Prompt, load, parse
from settings import Settings, connection
from stores.connection import Connection
from stores.ledger import Ledger
from stores.trails import calls
from stores.trails.calls import WholeCall
from stores.trails.reading import LEDGER, reading
from stores.trails.runs import REPLAY
from stores.trails.runs import run as run_of
from verbs.places import must_know_the_graph, settings_here
from verbs.prompting import found
from verbs.tracing import whole


def replayed(
    workspace: Path, data: Path, id: int, model: str | None, prompt: str | None
) -> dict[str, Any]:
    """Ask a call's question again; both answers. Nothing of the workspace changes but the ledger.

    Without `prompt` the very messages are sent, repairs included. With one, the question is put
    together anew from what the node saw. Raises UsageError for a call that is no question.
    """
    settings = settings_here()
    must_know_the_graph(workspace, data, settings)
    with reading(workspace) as db:
        asked = calls.whole(db, id)
        row = asked.row
        if not row.node:
            raise UsageError(f"Call {id} embedded texts: there is no question to ask again.")
        if row.run == REPLAY:
            raise UsageError(
                f"Call {id} is a replay itself.", hint=f"Replay the call it was of: {asked.origin}"
            )
        run = run_of(db, row.run)
        how = manner_of(db, run, workspace)
        template = _template(workspace, prompt) if prompt is not None else how.prompts[_name(row)]
        if template.name != _name(row):
            raise UsageError(f"Call {id} was asked by {_name(row)}, not {template.name}.")
        how = replace(how, prompts={**how.prompts, template.name: template})
        thinking = options_of(run.settings).thinking_tokens
        made = retrace(workspace, db, how, row.node, row.hop, row.run, thinking)
    request = made.request if prompt is not None else _again(asked, made)
    what = Experiment(row, made.prompt, request, how.language)
    to = _connection(settings, asked, model)
    key = asyncio.run(_ask(workspace, to, what))
    with reading(workspace) as db:
        (new,) = db.execute("SELECT id FROM calls WHERE key = ?", (key,)).fetchone()
        return {"original": whole(db, id), "replay": whole(db, new)}


async def _ask(workspace: Path, to: Connection, what: Experiment) -> str:
    model = open_model(to)
    try:
        with Ledger(workspace / LEDGER, look_through=False) as ledger:
            return await replay(ledger, model, what)
    finally:
        await model.close()


def _name(row: calls.CallRow) -> str:
    return row.prompt.partition("@")[0]


def _again(asked: WholeCall, made: Retraced) -> Request:
    """The messages as they were sent; limits as they were."""
    return replace(
        made.request,
        messages=asked.messages,
        max_tokens=int(asked.parameters.get("max_tokens", made.request.max_tokens)),
        schema=asked.parameters.get("schema", made.request.schema),
    )


def _template(workspace: Path, wanted: str) -> Prompt:
    """A prompt by its name or version, or a file."""
    path = Path(wanted)
    if path.suffix == ".md":
        prompt = load(path.stem, path.parent)
    else:
        one = found(workspace, wanted)
        prompt = parse(one.ref.partition("@")[0], one.text)
    reply_class(prompt.header.reply)
    return prompt


def _connection(settings: Settings, asked: WholeCall, model: str | None) -> Connection:
    """How the model that was named is reached, or the one that was asked the first time."""
    if model is not None:
        return connection(settings.reach(model))
    row = asked.row
    for spec in (settings.model, *settings.models, row.model):
        to = connection(settings.reach(spec), must_have_key=False)
        same = f"{to.provider}:{to.model}" if to.model else to.provider
        if same == row.model and (not to.url or to.url == row.endpoint):
            return connection(settings.reach(spec))
    if row.model.startswith("openai:"):
        return connection(settings.reach(f"{row.model}@{row.endpoint}"))
    raise UsageError(
        f"{row.model} is not in the settings.",
        hint="Say which model to ask: --model llamacpp:FILE.gguf",
    )
