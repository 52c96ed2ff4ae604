"""What a person sees of a training: a line per validation, tables of metrics and of items."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from training.trainer import METRIC, Epoch
from verbs.learning import Board
from verbs.paper import plain


def board() -> Board:
    """Prints to stderr as it goes."""
    console = Console(stderr=True)

    def epoch(seed: int, one: Epoch) -> None:
        if one.val is None:
            return
        terms = "  ".join(f"{name} {value:.4f}" for name, value in one.terms.items())
        console.print(
            f"seed {seed}  epoch {one.number:>4}  {terms}  {METRIC} {one.val[METRIC]:.4f}"
            f"  {one.seconds:.2f} s",
            highlight=False,
            soft_wrap=True,
        )

    return Board(say=lambda words: console.print(words, highlight=False), epoch=epoch)


def silent() -> Board:
    """For a process that leaves telling to another."""
    return Board(say=lambda words: None, epoch=lambda seed, one: None)


def show_scores(found: Mapping[str, Any]) -> None:
    """A table of test metrics, with their deviation and the test against `none` where there are."""
    console = Console(stderr=True)
    table = Table(box=None, pad_edge=False)
    std, against = found.get("test_std") or {}, found.get("against_none") or {}
    for name in ("test", "mean", *(["std"] if std else []), *(["vs none", "p"] if against else [])):
        table.add_column(name, justify="left" if name == "test" else "right")
    for name, value in found["test"].items():
        row = [name, f"{value:.4f}"]
        if std:
            row.append(f"{std[name]:.4f}")
        if against:
            gain, p = against[name]["gain_percent"], against[name]["p"]
            row += ["–" if gain is None else f"{gain:+.1f} %", f"{p:.3f}"]
        table.add_row(*row)
    console.print(table, highlight=False)
    for name, value in (found.get("cold") or {}).items():
        console.print(f"cold: {name} {value:.4g}", highlight=False)
    if against:
        seeds = ", ".join(map(str, against["seeds"]))
        console.print(f"vs {Path(against['run']).name}, seeds {seeds}", highlight=False)
        if not against["same_backbone_settings"]:
            console.print(
                "Mind: that run has other backbone settings. Train one without text with those of "
                "this run: the same flags and --preset matched, but no --align.",
                highlight=False,
            )


def show_recall(found: Mapping[str, Any]) -> None:
    """Of an approximate list, how much of the exact one such lists hold."""
    for name, value in found.items():
        if name.startswith("recall@"):
            words = f"Approximate: its lists hold {value:.1%} of the best {name[7:].split('_')[0]}."
            Console(stderr=True).print(words, highlight=False)


def show_items(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A line per item or node."""
    console = Console(stderr=True)
    console.print(Text(one_line(title), style="bold"))
    for row in rows:
        name = f"{row['id']}  {row['title']}" if row.get("title") else str(row["id"])
        console.print(Text(f"{row['score']:>8.3f}  {one_line(name)}"))


def show_reasons(found: Mapping[str, Any]) -> None:
    """Why an item ranks where it does for a user."""
    console = Console(stderr=True)
    console.print(Text(one_line(found["summary"]), style="bold"))
    if found["nearest"]:
        show_items("Nearest of the user's own:", found["nearest"])
    if found["paths"]:
        console.print(Text("Through the training graph:", style="bold"))
    for path in found["paths"]:
        console.print(Text(f"{path['score']:>8.3f}  {one_line(' → '.join(path['nodes']))}"))
    for one in found["texts"]:
        console.print(Text(f"\n{one_line(one['node'])}, hop {one['hop']}", style="bold"))
        console.print(Text("\n".join(map(one_line, one["text"].splitlines()))))
    if found["shared_words"]:
        console.print(Text("\nWords both descriptions have: " + ", ".join(found["shared_words"])))


def one_line(text: str) -> str:
    """A stranger's text for a terminal: nothing that acts on it, and no line break."""
    return plain(" ".join(text.split()))
