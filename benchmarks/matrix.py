"""Backbones × alignments × hops on one data folder, several seeds each, as a Markdown table.

    python -m benchmarks.matrix --data DIR --workspace WS [--backbones lightgcn,simgcl]
        [--aligns none,contrastive,generative,fusion] [--hops 2] [--seeds 5] [--shuffled] [--tune]
        [--learning-rate 0.001] [--half]

Texts come from a workspace that `refine` filled, or from --embeddings FILE. A run is kept in the
workspace as `train` keeps it, so a stopped matrix goes on where it was. Gains and p (paired t-test
over the seeds) are against the same backbone without text and, with --shuffled, against the same
alignment with other nodes' texts.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from stores.runs import read_record
from training.experiment import Spec, paired
from training.presets import preset
from training.trainer import Plan
from verbs import learning

SHOWN = ("recall@20", "ndcg@20")
Tests = dict[int, dict[str, float]]


def cell(
    place: learning.Ground, given: argparse.Namespace, backbone: str, align: str, hop: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name and a summary for this cell, and one for its control."""
    found = preset(given.preset, given.data.resolve().name, backbone, align)
    spec = Spec(
        backbone=backbone,
        align=align,
        backbone_options=found.backbone,
        align_options=found.align,
        decay=found.decay,
        half=given.half,
        plan=Plan(epochs=given.epochs, learning_rate=given.learning_rate),
    )
    text, label = learning.no_text(place), "no-text"
    if align != "none":
        text, label = learning.text_of(place, hop, given.embeddings)
    quiet = learning.Board(say=lambda words: print(words, file=sys.stderr), epoch=lambda *_: None)
    controls = (False, True) if given.shuffled and align != "none" else (False,)
    for shuffled in controls:
        tune = given.tune and align in ("contrastive", "generative") and not shuffled
        lesson = learning.Lesson(
            replace(spec, shuffled=shuffled), list(range(given.seeds)), given.device, False, tune
        )
        summary = learning.train(place, lesson, text, label, quiet)
        if tune:
            # The control gets what was chosen for the real text.
            chosen = read_record(Path(summary["run"]))["settings"]["align_options"]
            spec = replace(spec, align_options=chosen)
        yield f"{align}{', shuffled' * shuffled}", summary


def tests(summary: dict[str, Any]) -> Tests:
    return {one["seed"]: one["test"] for one in read_record(Path(summary["run"]))["seeds"]}


def against(ours: Tests, theirs: Tests | None) -> str:
    """Gain and p of both figures, or dashes where there is nothing to compare with."""
    found = paired(ours, theirs) if theirs else {}
    if not found:
        return "– | –"
    words = []
    for name in SHOWN:
        gain, p = found[name]["gain_percent"], found[name]["p"]
        percent = "–" if gain is None else f"{gain:+.1f} %"
        words.append(f"{percent} ({'<.001' if p is not None and p < 0.001 else f'{p:.3f}'})")
    return " | ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--backbones", default="lightgcn,gccf,sgl,simgcl,dccf,autocf")
    parser.add_argument("--aligns", default="none,contrastive,generative,fusion")
    parser.add_argument("--hops", default="2")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3000)
    parser.add_argument("--learning-rate", type=float, default=Plan.learning_rate)
    parser.add_argument("--preset", default="matched")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--half", action="store_true")
    given = parser.parse_args()
    names = ["backbone", "alignment", "text", "R@20", "N@20"]
    names += [f"{m} vs {who}" for who in ("none", "shuffled") for m in ("R@20", "N@20")]
    print("| " + " | ".join([*names, "s/epoch"]) + " |")
    print("|" + "---|" * (len(names) + 1))
    with learning.ground(given.data, given.workspace) as place:
        for backbone in given.backbones.split(","):
            base: Tests | None = None
            for align in given.aligns.split(","):
                for hop in ["–"] if align == "none" else given.hops.split(","):
                    rows = list(cell(place, given, backbone, align, hop))
                    base = tests(rows[0][1]) if align == "none" else base
                    control = tests(rows[-1][1]) if len(rows) > 1 else None
                    for name, summary in rows:
                        real = not summary["shuffled"]
                        mean, std = summary["test"], summary["test_std"]
                        figures = [f"{mean[k]:.4f} ± {std.get(k, 0):.4f}" for k in SHOWN]
                        figures.append(against(tests(summary), base if align != "none" else None))
                        figures.append(against(tests(summary), control if real else None))
                        figures.append(f"{summary['epoch_seconds']:.2f}")
                        words = [backbone, name, summary["hop"], *figures]
                        print("| " + " | ".join(words) + " |", flush=True)


if __name__ == "__main__":
    main()
