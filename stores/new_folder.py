"""A folder that appears whole or not at all: filled beside its place, then renamed into it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from errors import DataError


def nothing(name: str) -> bool:
    """No file may be replaced."""
    return False


@contextmanager
def new_folder(out: Path, replaces: Callable[[str], bool] = nothing) -> Iterator[Path]:
    """A folder to fill, which takes the name `out` when the block ends well, and goes when not.

    `out` may be there already, with no other files than those that `replaces` names; all of them
    go. Raises DataError for any other `out`, before the block begins.
    """
    out = out.resolve()
    check_place(out, replaces)
    folder = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"{out} cannot be made: {error.strerror}.") from error
    try:
        yield folder
        _put(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_place(out: Path, replaces: Callable[[str], bool] = nothing) -> None:
    """Raises DataError where `out` is a file or holds what may not be replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file.", hint="Name a new folder.")
    others = sorted(path.name for path in out.iterdir() if not replaces(path.name))
    if others:
        shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        raise DataError(f"{out} exists and is not empty: {shown}.", hint="Name a new folder.")


def _put(folder: Path, out: Path) -> None:
    """Rename into place. What was there is kept until the new folder has the name."""
    before = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        out.replace(before)
    try:
        folder.replace(out)
    except OSError:
        if before.exists():
            before.replace(out)
        raise
    shutil.rmtree(before, ignore_errors=True)
