"""Arrays from an .npz file. Whatever is wrong with the file is one kind of error."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_npz(path: Path, *names: str) -> list[NDArray[Any]]:
    """The arrays of these names, in this order.

    Raises OSError for a file that is not there, and ValueError for one that is damaged, is no .npz,
    lacks a name or holds objects (these would have to be unpickled).
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := set(names) - set(file.files):
                raise ValueError(f"{path.name} has no array {', '.join(sorted(missing))}")
            return [file[name] for name in names]
    # zipfile's RuntimeError: a damaged flag says that the file is encrypted, or of a newer kind.
    except (TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged, or no .npz file: {error}") from error
