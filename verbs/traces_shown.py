"""What a person sees of `traces …`: lists, a call, a node's life, sums, a replay side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from verbs.paper import difference, facts, heading, money, seconds, share, show, table, width, words
from verbs.tracing import NANO, pieces_of
from viewer.words import compared

SHORT = 240
NARROW = 110


def show_list(found: Mapping[str, Any]) -> None:
    """A page of calls, and how to get the next one."""
    if not found["calls"]:
        show(words("No call is like that."))
        return
    parts: list[RenderableType] = [calls_table(found["calls"])]
    if found["following"]:
        parts.append(words(f"\nMore: the same with --after {found['following']}", "dim"))
    show(*parts)


def calls_table(calls: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A line for each call; a narrow terminal is not told everything."""
    cells = {
        "id": [one["id"] for one in calls],
        "began": [one["started"][5:19].replace("T", " ") for one in calls],
        "stage": [one["stage"] for one in calls],
        "node": [one["node"] for one in calls],
        "turn": [_place(one) for one in calls],
        "prompt": [one["prompt"].partition(":")[0] for one in calls],
        "took": [seconds(one["latency_ms"]) for one in calls],
        "tokens": [_tokens(one) for one in calls],
        "cost": [dollars(one["cost_usd"]) for one in calls],
        "check": [_verdict(one) for one in calls],
    }
    if width() < NARROW:
        cells = {name: cells[name] for name in ("id", "stage", "node", "turn", "took", "check")}
    rows = list(zip(*cells.values(), strict=True))
    return table(list(cells), rows, right="id, took, tokens, cost")


def show_call(found: Mapping[str, Any]) -> None:
    """One call whole."""
    parts: list[RenderableType] = [
        facts(
            {
                "call": found["id"],
                "run": found["run"],
                "node": f"{found['node']} at hop {found['hop']} ({found['stage']})",
                "turn": _place(found),
                "prompt": found["prompt"],
                "model": f"{found['model']}, {found['endpoint']}",
                "began": found["started"],
                "took": seconds(found["latency_ms"]),
                "tokens": _tokens(found),
                "cost": dollars(found["cost_usd"]),
                "finish": found["finish"],
                "replay of": found["replay_of"],
            }
        )
    ]
    for message in found["messages"]:
        parts += [heading(message["role"]), words(message["content"])]
    parts.append(heading("reply"))
    parts.append(words("(none)" if found["reply"] is None else found["reply"]))
    parts += [heading("check"), _check(found)]
    for name in ("question", "experiments"):
        if len(found[name]) > (name == "question"):
            title = "the same question" if name == "question" else "asked again as an experiment"
            parts += [heading(title), calls_table(found[name])]
    show(*parts)


def show_node(found: Mapping[str, Any]) -> None:
    """A node's life, hop by hop."""
    about = {"node": found["node"], "run": found["run"], "evidence": found["evidence"]}
    if others := [run for run in found["runs"] if run != found["run"]]:
        about["other runs"] = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
    parts: list[RenderableType] = [facts(about)]
    for hop in found["hops"]:
        parts.append(heading(f"hop {hop['hop']}: {_became(hop)}"))
        for saw in hop["saw"]:
            whose = "" if saw["node"] == found["node"] else f" of {saw['node']}"
            text = saw["text"] if len(saw["text"]) <= SHORT else saw["text"][:SHORT] + " …"
            parts.append(_inset(Text.assemble((f"saw {saw['what']}{whose}: ", "dim"), words(text))))
        if hop["saw"]:
            parts.append(words(""))
        for one in hop["calls"]:
            whose = "" if one["node"] == found["node"] else f", asked about {one['node']}"
            about_it = f"call {one['id']}, {_place(one)}, {one['model']}{whose}: {_verdict(one)}"
            parts.append(_inset(words(about_it, "dim")))
            # What was kept stands below; of the others the reply tells what was wrong.
            if one["status"] == "rejected" and one["reply"]:
                parts.append(_inset(words(one["reply"][:SHORT], "dim"), 4))
        pieces = pieces_of(hop["changed"])
        parts.append(_inset(difference(pieces) if pieces else words(hop["text"] or "(no text)")))
    show(*parts)


def show_stats(found: Mapping[str, Any]) -> None:
    """A table for each thing that was summed up by."""
    parts: list[RenderableType] = []
    columns = ("calls", "in", "out", "cost", "p50", "p95", "repairs", "outcomes", "fallback")
    for by, rows in found.items():
        if not isinstance(rows, list):
            continue
        lines = [
            (
                row["name"],
                f"{row['calls']:,}",
                f"{row['input_tokens']:,}",
                f"{row['output_tokens']:,}",
                money(round(row["priced_usd"] * NANO), row["unpriced"]),
                seconds(row["p50_ms"]),
                seconds(row["p95_ms"]),
                share(row["repair_rate"]),
                f"{row['nodes']:,}",
                share(row["fallback_rate"]),
            )
            for row in rows
        ]
        parts += [words(""), table((by, *columns), lines, right=", ".join(columns))]
    if "plot" in found:
        parts.append(words(f"\nDrawn in {found['plot']}"))
    show(*parts)


def show_replay(found: Mapping[str, Any]) -> None:
    """The first answer and the new one side by side, and what differs."""
    panels = []
    for name in ("original", "replay"):
        one = found[name]
        about = f"{one['model']}, {one['prompt']}\n{seconds(one['latency_ms'])}  {_tokens(one)}"
        about += f" tokens  {dollars(one['cost_usd'])}\n{_verdict(one)}"
        body = Group(words(about, "dim"), words(""), words(one["reply"] or "(no reply)"))
        panels.append(Panel(body, title=words(f"{name}, call {one['id']}")))
    beside = Table.grid(expand=True)
    for _ in panels:
        beside.add_column(ratio=1)
    beside.add_row(*panels)
    parts: list[RenderableType] = [beside] if width(120) >= NARROW else [*panels]
    if found["original"]["reply"] and found["replay"]["reply"]:
        pieces = compared(found["original"]["reply"], found["replay"]["reply"])
        parts += [heading("what differs"), difference(pieces)]
    parts.append(words("\nKept as an experiment: no description changed.", "dim"))
    show(*parts, widest=120)


def dollars(cost: float | None) -> str:
    """A call's cost."""
    return "unpriced" if cost is None else "" if cost == 0 else f"${cost:.6f}"


def _place(one: Mapping[str, Any]) -> str:
    turn = f"repair {one['turn']}" if one["turn"] else "first"
    return turn + (f", try {one['attempt']}" if one["attempt"] > 1 else "")


def _tokens(one: Mapping[str, Any]) -> str:
    if one["input_tokens"] is None and one["output_tokens"] is None:
        return ""
    return f"{one['input_tokens'] or 0:,}+{one['output_tokens'] or 0:,}"


def _verdict(one: Mapping[str, Any]) -> str:
    return f"{one['status']}: {one['reason']}" if one["reason"] else str(one["status"])


def _check(one: Mapping[str, Any]) -> Text:
    style = {"accepted": "green", "rejected": "yellow"}.get(one["status"], "red")
    return words(_verdict(one), style)


def _became(hop: Mapping[str, Any]) -> str:
    told = [hop["status"], f"by {hop['model']}" if hop["model"] else "", hop["prompt"]]
    told += [f"{hop['turns']} replies" if hop["turns"] > 1 else "", hop["reason"]]
    return ", ".join(part for part in told if part)


def _inset(what: RenderableType, left: int = 2) -> Padding:
    return Padding(what, (0, 0, 0, left), expand=False)
