"""What a person sees of `prompts …`: tables, templates, messages, differences."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from verbs.paper import facts, heading, money, plain, show, table, words

_LINES = {"+": "green", "-": "red", "@": "cyan"}


def show_list(found: Mapping[str, Any]) -> None:
    """A line for each version: the one in force first, then those that were used before."""
    rows = []
    for prompt in found["prompts"]:
        used = {one["ref"]: one for one in prompt["used"]}
        now = prompt.get("ref")
        refs = [now, *(ref for ref in used if ref != now)] if now else list(used)
        for ref in refs:
            name, _, rest = ref.partition("@")
            version, _, digest = rest.partition(":")
            one = used.get(ref, {"calls": 0, "nodes": 0, "fallback": 0, "cost_usd": 0.0})
            cost = one["cost_usd"]
            spent = "unpriced" if cost is None else money(round(cost * 1e9))
            where = prompt.get("place", "") if ref == now else "used before"
            line = (f"{one['calls']:,}", spent, f"{one['nodes']:,}", f"{one['fallback']:,}")
            rows.append((name, version, digest, where, *line))
    columns = ("prompt", "version", "digest", "from", "calls", "cost", "outcomes", "fallback")
    show(table(columns, rows, right="version, calls, cost, outcomes, fallback"))


def show_file(found: Mapping[str, Any]) -> None:
    """A template as it is."""
    show(heading(f"{found['ref']} ({found['place']})"), words(found["text"]))


def show_messages(found: Mapping[str, Any]) -> None:
    """The messages of a question, each with its tokens."""
    things: list[Any] = [
        facts(
            {
                "prompt": found["prompt"],
                "node": f"{found['node']} at hop {found['hop']}",
                "neighbours": ", ".join(found["neighbours"]),
                "their texts": found["run"] or "none are in it",
                "tokens": f"about {found['tokens']:,}, and at most {found['max_tokens']:,}"
                " for the reply",
            }
        )
    ]
    for message in found["messages"]:
        things += [heading(f"{message['role']} (about {message['tokens']:,} tokens)")]
        things += [words(message["content"])]
    show(*things)


def show_difference(found: Mapping[str, Any]) -> None:
    """A unified diff in colours."""
    if not found["diff"]:
        show(words(f"{found['a']} and {found['b']} say the same."))
        return
    lines = Text()
    for line in found["diff"]:
        lines.append(plain(line) + "\n", style=_LINES.get(line[:1], ""))
    show(lines)


def show_check(found: Mapping[str, Any]) -> None:
    """How long the prompts get, and what is wrong with them."""
    rows = [
        (one["ref"], f"{one['questions']:,}", f"{one['longest_tokens']:,}", one["reply_tokens"])
        for one in found["prompts"]
    ]
    columns = ("prompt", "rendered", "longest", "reply")
    parts: list[Any] = [table(columns, rows, right="rendered, longest, reply")]
    parts += [words(f"NO  {problem}") for problem in found["problems"]]
    said = f"Domains: {', '.join(found['domains'])}; lengths in tokens, about."
    show(*parts, words(said if found["problems"] else f"ok  {said}"))
