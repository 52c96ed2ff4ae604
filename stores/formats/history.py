"""What a data folder held before it was changed: `history.json`, a digest for each earlier state.

A workspace that was made for one of these states knows by it that the data is still its own.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from errors import DataError

FILE = "history.json"


def read(folder: Path) -> tuple[str, ...]:
    """The digests of the earlier states, oldest first. Raises DataError for a damaged file."""
    path = folder / FILE
    if not path.is_file():
        return ()
    try:
        digests = json.loads(path.read_text("utf-8"))["digests"]
        return tuple(str(one) for one in digests)
    except (ValueError, KeyError, TypeError):
        hint = "Delete it: workspaces of earlier states are refused then."
        raise DataError(f"{path} is damaged.", hint=hint) from None


def write(folder: Path, digests: Sequence[str]) -> None:
    text = json.dumps({"digests": list(digests)}, indent=2)
    (folder / FILE).write_text(text + "\n", "utf-8")
