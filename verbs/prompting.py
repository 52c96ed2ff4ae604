"""What `python cli.py prompts list|show|render|diff|check|eject` does. Nothing is ever sent."""

import asyncio
import difflib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.manner import prompt_name
from agents.rehearsal import rehearse
from agents.retrace import retrace
from agents.setup import OWN_PROMPTS, make_manner
from errors import PromptError, UsageError, unknown
from graph_ops.budget import tokens
from prompts.library import Prompt, domains, load, names, parse
from prompts.overrides import chosen, eject, strangers
from stores import graph_file
from stores.datasets import load_training
from stores.ledger import Ledger
from stores.trails.figures import Version, template, versions
from stores.trails.filters import named
from stores.trails.runs import run as run_of
from stores.workspace import occupied
from verbs.places import (
    looked_into,
    must_be_folder,
    must_know_the_graph,
    node_named,
    settings_here,
    workspace_of,
)
from verbs.session import options_of

SHIPPED, OWN = "shipped", "workspace"
NOTHING_MORE = {"hops": 1, "limit": None, "fresh": False}


@dataclass(frozen=True)
class Template:
    """A prompt's file. `place` says where it comes from: shipped, workspace or ledger."""

    ref: str
    place: str
    text: str

    @property
    def label(self) -> str:
        return f"{self.ref} ({self.place})"


def listed(workspace: Path) -> dict[str, Any]:
    """Every prompt: the version in force, and each version this workspace used, with its cost."""
    with looked_into(workspace) as db:
        used = versions(db) if db is not None else []
    own = workspace / OWN_PROMPTS
    rows = []
    for name in sorted({*names(), *(one.name for one in used)}):
        row: dict[str, Any] = {"name": name, "used": [_used(v) for v in used if v.name == name]}
        if name in names():
            prompt = chosen(name, own)
            row |= {
                "place": OWN if (own / f"{name}.md").is_file() else SHIPPED,
                "ref": prompt.ref,
                "version": prompt.header.version,
                "digest": prompt.digest,
                "max_tokens": prompt.header.max_tokens,
                "max_words": prompt.header.max_words,
            }
        rows.append(row)
    return {"workspace": str(workspace), "prompts": rows}


def _used(one: Version) -> dict[str, Any]:
    return {
        "ref": one.ref,
        "version": one.version,
        "digest": one.digest,
        "calls": one.calls,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "cost_usd": None if one.unpriced else one.cost_nanousd / 1e9,
        "nodes": one.nodes,
        "fallback": one.fallback,
        "text_kept": one.known,
    }


def found(workspace: Path, wanted: str) -> Template:
    """A template by name (the one in force), `shipped:NAME`, or version, `NAME@1:4b92…` cut short.

    Raises UsageError for none and for more than one.
    """
    own = workspace / OWN_PROMPTS
    if wanted.startswith(f"{SHIPPED}:"):
        prompt = load(wanted.removeprefix(f"{SHIPPED}:"))
        return Template(prompt.ref, SHIPPED, prompt.source)
    if wanted in names():
        place = OWN if (own / f"{wanted}.md").is_file() else SHIPPED
        prompt = chosen(wanted, own)
        return Template(prompt.ref, place, prompt.source)
    known = _known(workspace)
    fitting = [ref for ref in known if named(ref, wanted)]
    if len(fitting) > 1:
        raise UsageError(f"{wanted!r} is more than one version.", hint=", ".join(fitting))
    if not fitting:
        raise unknown("prompt", wanted, [*names(), *known])
    if (one := known[fitting[0]]) is not None:
        return one
    raise UsageError(
        f"The text of {fitting[0]} was not kept.",
        hint="It was used by an older Hopscribe, which kept names and digests of prompts only.",
    )


def _known(workspace: Path) -> dict[str, Template | None]:
    """Every version that can be named, by ref; None where its text is gone."""
    known: dict[str, Template | None] = {}
    with looked_into(workspace) as db:
        for one in versions(db) if db is not None else []:
            text = template(db, one.digest) if db is not None else None
            known[one.ref] = None if text is None else Template(one.ref, "ledger", text)
    own = workspace / OWN_PROMPTS
    for name in names():
        shipped, now = load(name), chosen(name, own)
        known[shipped.ref] = Template(shipped.ref, SHIPPED, shipped.source)
        if now.ref != shipped.ref:
            known[now.ref] = Template(now.ref, OWN, now.source)
    return known


def shown(workspace: Path, wanted: str) -> dict[str, Any]:
    """The file of a prompt."""
    one = found(workspace, wanted)
    return {"ref": one.ref, "place": one.place, "text": one.text}


def compared(workspace: Path, a: str, b: str | None) -> dict[str, Any]:
    """Two templates, line by line; one name alone: the shipped one against the workspace's own."""
    if b is None:
        name = found(workspace, a).ref.partition("@")[0]
        before, after = found(workspace, f"{SHIPPED}:{name}"), found(workspace, name)
        if after.place == SHIPPED:
            raise UsageError(
                f"The workspace has no {name} of its own to compare.",
                hint=f"Name two versions, or make one: python cli.py prompts eject {name}",
            )
    else:
        before, after = found(workspace, a), found(workspace, b)
    lines = difflib.unified_diff(
        before.text.splitlines(), after.text.splitlines(), before.label, after.label, lineterm=""
    )
    return {"a": before.label, "b": after.label, "diff": list(lines)}


def ejected(workspace: Path, name: str) -> dict[str, Any]:
    """Copy a shipped prompt into the workspace, to be edited."""
    if name not in names():
        raise unknown("prompt", name, names())
    with occupied(workspace):
        return {"file": str(eject(name, workspace / OWN_PROMPTS))}


def rendered(
    data: Path, workspace: Path | None, wanted: str, node: str, hop: int | None, run: str | None
) -> dict[str, Any]:
    """The exact messages that a node would be asked with now, or was with the texts of a run."""
    settings, folder = settings_here(), workspace_of(data, workspace)
    must_know_the_graph(folder, data, settings)
    one = found(folder, wanted)
    prompt = parse(one.ref.partition("@")[0], one.text)
    level = hop if hop is not None else int(prompt.name.startswith("refine"))
    with looked_into(folder) as db:
        if ":" not in node and db is not None:
            node = node_named(db, node)
        if prompt_name(node, level) != prompt.name:
            raise UsageError(
                f"{node} at hop {level} is asked by {prompt_name(node, level)}, not {prompt.name}."
            )
        if run is not None and db is not None:
            run = run_of(db, run).id
        with graph_file.reading(folder) as file:
            told = options_of(settings, graph_file.about(file), NOTHING_MORE)
        how = make_manner(told, folder / OWN_PROMPTS)
        how = replace(how, prompts={**how.prompts, prompt.name: prompt})
        made = retrace(folder, db, how, node, level, run or "", told.thinking_tokens)
    messages = [
        {"role": role, "content": text, "tokens": tokens(text)}
        for role, text in made.request.messages
    ]
    return {
        "prompt": made.prompt.ref,
        "node": node,
        "hop": level,
        "run": made.run or None,
        "neighbours": list(made.neighbours),
        "messages": messages,
        "tokens": sum(tokens(text) for _, text in made.request.messages),
        "max_tokens": made.request.max_tokens,
    }


def checked(data: Path, workspace: Path | None) -> dict[str, Any]:
    """Render every prompt in force on real data, in every domain and both modes."""
    settings, folder = settings_here(), workspace_of(data, workspace)
    must_be_folder(data)
    own = folder / OWN_PROMPTS
    broken = [f"{own / name}.md takes the place of no prompt." for name in strangers(own)]
    prompts: dict[str, Prompt] = {}
    for name in names():
        try:
            prompts[name] = chosen(name, own)
        except PromptError as error:
            broken.append(f"{error.message} {error.hint}".strip())
            prompts[name] = load(name)
    reach = settings.reach(settings.model)
    room = reach.n_ctx if reach.provider == "llamacpp" else None
    with tempfile.TemporaryDirectory() as place:
        loaded = load_training(data, Path(place) / "split", settings.seed)
        told = options_of(settings, loaded, NOTHING_MORE)
        with Ledger(Path(place) / "ledger.sqlite") as ledger:
            done = asyncio.run(rehearse(loaded, ledger, told, prompts, domains(), room))
    problems = broken + [f"{one.prompt}: {what}" for one in done for what in one.problems]
    return {
        "ok": not problems,
        "problems": problems,
        "domains": domains(),
        "prompts": [
            {
                "ref": one.prompt,
                "questions": one.questions,
                "longest_tokens": one.longest,
                "reply_tokens": one.reply,
            }
            for one in done
        ],
    }
