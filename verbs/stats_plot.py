"""The picture of `traces stats --plot`: calls, latency, tokens and rates by stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from errors import UsageError

GOOD, BAD, LOST, QUIET = "#2f6f8f", "#d9963f", "#b5483f", "#9aa5ab"


def draw(found: Mapping[str, Any], path: Path) -> Path:
    """Draw the first thing that was summed up by into a .png. Says where it is.

    Raises UsageError for another ending and where it cannot be written.
    """
    if path.suffix != ".png":
        raise UsageError(f"--plot: {path} does not end in .png.")
    by, rows = next((k, v) for k, v in found.items() if isinstance(v, list))
    # The object-oriented interface: no window, no global figure.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.6 + 0.42 * len(rows)), layout="constrained")
    calls, took, spent, rates = figure.subplots(1, 4, sharey=True)
    names = [str(row["name"]).partition(":")[0] or "(none)" for row in rows]
    places = range(len(rows))
    answered = [row["calls"] - row["rejected"] - row["failed"] for row in rows]
    left = [0] * len(rows)
    for label, values, colour in (
        ("accepted", answered, GOOD),
        ("rejected", [row["rejected"] for row in rows], BAD),
        ("failed", [row["failed"] for row in rows], LOST),
    ):
        calls.barh(places, values, left=left, color=colour, label=label, height=0.6)
        left = [a + b for a, b in zip(left, values, strict=True)]
    _pair(took, rows, [("p50_ms", "p50", GOOD), ("p95_ms", "p95", QUIET)], 1e-3)
    _pair(spent, rows, [("input_tokens", "in", GOOD), ("output_tokens", "out", QUIET)], 1e-3)
    _pair(rates, rows, [("repair_rate", "repairs", BAD), ("fallback_rate", "fallback", LOST)], 100)
    calls.set_yticks(places, names)
    calls.invert_yaxis()
    titles = (f"calls by {by}", "seconds a call", "thousand tokens", "per cent")
    for axes, title in zip((calls, took, spent, rates), titles, strict=True):
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0, labelsize=8)
        axes.grid(axis="x", color="#e4e8ea", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_xlim(0, axes.get_xlim()[1] if any(bar.get_width() for bar in axes.patches) else 1)
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.1), ncols=3)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UsageError(f"--plot: {path} cannot be written: {error.strerror}.") from error
    return path


def _pair(
    axes: Any,
    rows: Sequence[Mapping[str, Any]],
    bars: Sequence[tuple[str, str, str]],
    scale: float,
) -> None:
    """Two thin bars for each row."""
    for place, (key, label, colour) in enumerate(bars):
        values = [(row[key] or 0) * scale for row in rows]
        heights = [n - 0.16 + 0.32 * place for n in range(len(rows))]
        axes.barh(heights, values, color=colour, label=label, height=0.3)
