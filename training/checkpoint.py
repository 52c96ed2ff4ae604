"""Where a training stands, on disk: read back, it goes on with the very same numbers.

Files are torch's, read with its own allow-list (`weights_only`), so a stranger's file runs nothing.
"""

import pickle
from pathlib import Path

import torch

from errors import StoreError
from training.trainer import Progress

UNREADABLE = (OSError, RuntimeError, pickle.UnpicklingError, EOFError, LookupError, TypeError)


def save(path: Path, progress: Progress, owner: str) -> None:
    """Write `progress`; `owner` names settings, data and text, and is asked for by `load`.

    Raises StoreError where it cannot be written; what was saved before is still there.
    """
    fresh = path.with_suffix(".new")
    try:
        torch.save({"owner": owner, "progress": progress.as_dict()}, fresh)
        fresh.replace(path)
    except (OSError, RuntimeError) as error:
        # Of a full disk torch's writer says that a position was unexpected.
        fresh.unlink(missing_ok=True)
        raise StoreError(
            f"{path} cannot be written: {error}",
            hint="Make room, and repeat the command: it goes on from the last validation.",
        ) from error


def load(path: Path, owner: str) -> Progress:
    """What was saved, or an empty progress where nothing was.

    Raises StoreError for a file that is damaged, or was saved for other data or settings.
    """
    if not path.exists():
        return Progress()
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        theirs, values = found["owner"], found["progress"]
        progress = Progress.from_dict(values)
    except UNREADABLE as error:
        raise StoreError(
            f"{path} is no checkpoint of Hopscribe, or is damaged.",
            hint="Delete it, or say --fresh: the training begins anew.",
        ) from error
    if theirs != owner:
        raise StoreError(
            f"{path} is a checkpoint of other data, text or settings.",
            hint="Delete it, or say --fresh: the training begins anew.",
        )
    return progress
