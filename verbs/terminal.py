"""What a person sees of a run: a progress bar per stage, and the table at the end. On stderr."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from agents.ask import Tally
from agents.estimate import Estimate
from agents.run import Summary, Watch
from errors import HopscribeError

EMBEDDING = "embedding"


@contextmanager
def watching(model: str) -> Iterator[Watch]:
    """Show how a run goes. Without a terminal a line per stage is printed instead of bars."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=4,
        disable=not console.is_terminal,
    )
    view = _View(console, bars, model)
    with bars:
        yield Watch(view.stage, view.change, view.embedded)
        if view.name == EMBEDDING:
            view.finish()


class _View:
    """Turns a run's events into bars. A stage's answers are what came in since it began."""

    def __init__(self, console: Console, bars: Progress, model: str) -> None:
        self._console, self._bars, self._model = console, bars, model
        self._task: TaskID | None = None
        self.name, self._began, self._before, self._nodes = "", time.monotonic(), 0, 0
        self._tally, self._note = Tally(), ""

    def stage(self, name: str, nodes: int) -> None:
        self.finish()
        self.name, self._nodes = name, nodes
        self._began, self._before = time.monotonic(), self._tally.calls + self._tally.cached
        self._task = self._bars.add_task(name, total=nodes, figures="")
        if not self._console.is_terminal:
            self._console.print(f"{name}: {nodes} nodes, {self._model}", highlight=False)

    def change(self, tally: Tally) -> None:
        self._tally = tally
        if tally.note and tally.note != self._note and not self._console.is_terminal:
            self._console.print(tally.note, highlight=False)
        self._note = tally.note
        if self._task is None:
            return
        answers = tally.calls + tally.cached - self._before
        rate = answers / max(time.monotonic() - self._began, 1e-6)
        self._bars.update(
            self._task,
            completed=min(answers + tally.ahead, self._nodes),
            figures=f"{rate:.0f}/s, {tally.input_tokens + tally.output_tokens:,} tokens, "
            f"{cost(tally)}"
            + (f", {tally.retried} retried" if tally.retried else "")
            + (f", {tally.note}" if tally.note else ""),
        )

    def embedded(self, texts: int) -> None:
        if self.name != EMBEDDING:
            self.finish()
            self.name, self._nodes = EMBEDDING, 0
            self._task = self._bars.add_task(EMBEDDING, total=None, figures="")
        if self._task is not None:
            self._nodes += texts
            self._bars.update(self._task, completed=self._nodes)

    def finish(self) -> None:
        """Fill the bar: nodes that there was nothing to ask about are done as well."""
        if self._task is not None and self._nodes:
            self._bars.update(self._task, total=self._nodes, completed=self._nodes)
        self._task = None


def cost(tally: Tally) -> str:
    """Dollars spent; calls whose price is not known are said to be so, not called free."""
    spent = f"${tally.cost_nanousd / 1e9:.4f}"
    if not tally.unpriced:
        return spent
    return f"{spent} + {tally.unpriced} unpriced calls" if tally.cost_nanousd else "unpriced"


def as_dict(summary: Summary, workspace: Path, hops: int) -> dict[str, Any]:
    """The summary as `--json` prints it. `cost_usd` is null when a price is not known."""
    tally = summary.tally
    return {
        "workspace": str(workspace),
        "run": summary.run,
        "users": summary.users,
        "items": summary.items,
        "hops": hops,
        "nodes": list(summary.nodes),
        "calls": tally.calls,
        "cached": tally.cached,
        "retried": tally.retried,
        "repaired": tally.repaired,
        "fallback": tally.fallback,
        "failed": tally.failed,
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
        "embedding_tokens": tally.embedding_tokens,
        "cost_usd": None if tally.unpriced else tally.cost_nanousd / 1e9,
        "embedded": summary.embedded,
        "split": summary.split,
        "seconds": round(summary.seconds, 2),
        "stopped": summary.stopped.message if summary.stopped else None,
    }


def show(summary: Summary, workspace: Path, hops: int) -> None:
    """Print the table at the end of a run, with one node's life to read."""
    console, tally = Console(stderr=True), summary.tally
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in {
        "to describe" if summary.stopped else "described": (
            f"{summary.users} users, {summary.items} items, {hops} hops"
        ),
        "nodes per hop": ", ".join(map(str, summary.nodes)),
        "calls": f"{tally.calls} new, {tally.cached} from the ledger, {tally.retried} retried",
        "replies": f"{tally.repaired} repaired, {tally.fallback} fallback, {tally.failed} failed",
        "tokens": f"{tally.input_tokens:,} in, {tally.output_tokens:,} out",
        "cost": cost(tally),
        "split": summary.split,
        "embedded": f"{summary.embedded} new or changed descriptions",
        "seconds": f"{summary.seconds:.1f}",
        "workspace": str(workspace),
    }.items():
        table.add_row(name, value)
    console.print(table, highlight=False)
    before = ""
    for outcome in summary.example:
        added = outcome.text.removeprefix(before).strip()
        title = (
            f"{outcome.node}, hop {outcome.hop} ({outcome.status}, {outcome.prompt or 'no call'})"
        )
        console.print(Text(f"\n{title}", style="bold"))
        console.print(Text(f"+ {added}" if before and added != outcome.text else added))
        before = outcome.text


def complain(error: HopscribeError) -> None:
    """One of our errors, for a person."""
    Console(stderr=True).print(
        error.message + (f"\n{error.hint}" if error.hint else ""),
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def estimate_as_dict(found: Estimate, workspace: Path) -> dict[str, Any]:
    """An estimate as `--json` prints it: three figures are low, likely, high."""
    return {
        "workspace": str(workspace),
        "dry_run": True,
        "calls": found.calls,
        "certain": found.certain,
        "cached": found.cached,
        "input_tokens": list(found.input_tokens),
        "output_tokens": list(found.output_tokens),
        "embedding_tokens": found.embedding_tokens,
        "cost_usd": _dollars(found.cost),
        "seconds": None if found.seconds is None else round(found.seconds, 1),
        "learnt_from": found.answers,
        "stages": {
            name: {
                "calls": stage.calls,
                "certain": stage.certain,
                "input_tokens": list(map(round, stage.input_tokens)),
                "output_tokens": list(map(round, stage.output_tokens)),
                "cost_usd": _dollars(found.stage_costs[name]),
            }
            for name, stage in found.stages.items()
        },
    }


def show_estimate(found: Estimate, model: str, embedder: str) -> None:
    """Print what a run would ask and cost, a line a stage."""
    console = Console(stderr=True)
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "calls", "tokens in", "tokens out", "low", "likely", "high"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for name, stage in found.stages.items():
        table.add_row(
            name,
            f"{stage.calls:,}",
            f"{round(stage.input_tokens[1]):,}",
            f"{round(stage.output_tokens[1]):,}",
            *_three_prices(found.stage_costs[name]),
        )
    if found.embedding_tokens:
        spent = found.embedding_cost
        table.add_row(
            "embedding",
            "",
            f"{found.embedding_tokens:,}",
            "",
            *_three_prices(None if spent is None else (spent, spent, spent)),
        )
    table.add_row(
        "all",
        f"{found.calls:,}",
        f"{found.input_tokens[1] + found.embedding_tokens:,}",
        f"{found.output_tokens[1]:,}",
        *_three_prices(found.cost),
        style="bold",
    )
    console.print(table, highlight=False)
    lasting = "unknown" if found.seconds is None else f"about {_duration(found.seconds)}"
    console.print(
        f"{model}, {embedder}; {found.cached:,} answers are in the ledger; time: {lasting}.",
        highlight=False,
    )
    if found.certain < found.calls:
        console.print(
            f"{found.certain:,} of these calls are certain: what is shown has changed. The others "
            "are made only if the description of a node that they show does.",
            highlight=False,
        )
    if found.calls and found.answers < 100:
        console.print(
            f"Learnt from {found.answers} earlier answers of this model. A pilot makes it sharper: "
            "run with --limit 20 first; its answers are kept.",
            highlight=False,
        )


def _dollars(cost: tuple[int, int, int] | None) -> list[float] | None:
    return None if cost is None else [nano / 1e9 for nano in cost]


def _three_prices(cost: tuple[int, int, int] | None) -> tuple[str, str, str]:
    if cost is None:
        return "", "unpriced", ""
    low, likely, high = (f"${nano / 1e9:.4f}" for nano in cost)
    return low, likely, high


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def show_batches(found: Mapping[str, Any]) -> None:
    """Print a workspace's batches, a line each, and what was recorded."""
    console = Console(stderr=True)
    table = Table(box=None, pad_edge=False)
    for name in ("batch", "stage", "model", "status", "done", "recorded", "created"):
        table.add_column(name, justify="right" if name in ("done", "recorded") else "left")
    for row in found["batches"]:
        table.add_row(
            *(row["batch"] or "-", row["stage"], row["model"], row["status"]),
            *(f"{row['done']}/{row['requests']}", str(row["recorded"]), row["created"]),
        )
    if found["batches"]:
        console.print(table, highlight=False)
    else:
        console.print(f"No batches in {found['workspace']}.", highlight=False)
    for row in found["batches"]:
        if row["problem"]:
            words = f"{row['batch'] or row['name']}: {row['problem']}"
            console.print(words, highlight=False, markup=False, soft_wrap=True)
    if "recorded" in found:
        spent = "unpriced" if found["cost_usd"] is None else f"${found['cost_usd']:.4f}"
        console.print(f"{found['recorded']} answers recorded, {spent}.", highlight=False)
