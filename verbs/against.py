"""Which run without text an aligned run is held against, and the paired test of the two."""

from pathlib import Path
from typing import Any

from stores import runs
from training.experiment import paired

BACKBONE = ("backbone_options", "decay")


def against_none(workspace: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The paired test against a run without text of the same data, backbone and protocol.

    Of several the newest one with the same backbone settings, else the newest. Empty for a run
    without text, and where no such run has two seeds in common with it.
    """
    if record["align"] == "none":
        return {}
    found: dict[str, Any] = {}
    for folder, other in runs.finished(workspace):
        if other.get("align") != "none" or not _alike(record, other):
            continue
        rows, base = ({one["seed"]: one["test"] for one in run["seeds"]} for run in (record, other))
        test = paired(rows, base)
        matched = all(record["settings"][k] == other["settings"][k] for k in BACKBONE)
        if test and (matched or not found):
            seeds = sorted(rows.keys() & base.keys())
            found = {"run": str(folder), "seeds": seeds, "same_backbone_settings": matched, **test}
        if test and matched:
            break
    return found


def _alike(record: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two runs were tested on the same data, and trained by the same protocol."""
    same = all(other.get(k) == record[k] for k in ("settled", "backbone", "device"))
    return same and all(other["settings"][k] == record["settings"][k] for k in ("plan", "mask_val"))
