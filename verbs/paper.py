"""What verbs that look at things print for a person: tables and texts on stdout, paged.

Texts come from strangers and models. Control codes, which a terminal would obey, and characters
that turn or hide others are shown by their number; nothing is taken for markup.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from viewer.words import Piece

# Line feeds and tabs may stay. Joiners are needed to write some languages.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_STYLES = {"same": "", "added": "green", "removed": "red strike"}


def plain(text: str) -> str:
    """The text with every character that a terminal would act on, or hide, as its number."""
    return _UNSEEN.sub(lambda sign: f"<U+{ord(sign[0]):04X}>", text)


def words(text: str, style: str = "") -> Text:
    """A text as it is, in one style."""
    return Text(plain(text), style=style)


def heading(text: str) -> Text:
    """A line above something."""
    return Text(f"\n{plain(text)}", style="bold")


def difference(pieces: Sequence[Piece]) -> Text:
    """A text with what was added and removed: in colours, else as {+added+} and [-removed-]."""
    told = Text()
    coloured = sys.stdout.isatty()
    for piece in pieces:
        text = plain(piece.text)
        if not coloured and piece.kind != "same":
            left, right = ("{+", "+}") if piece.kind == "added" else ("[-", "-]")
            text = f"{left}{text}{right}"
        told.append(text, style=_STYLES[piece.kind])
    return told


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> Table:
    """A table; columns whose name is in `right` (separated by commas) stand to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    numbers = {name.strip() for name in right.split(",")}
    for name in columns:
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(words("" if cell is None else str(cell)) for cell in row))
    return made


def facts(values: dict[str, object]) -> Table:
    """A line for each value that is there."""
    made = Table(show_header=False, box=None, pad_edge=False)
    for name, value in values.items():
        if value not in (None, ""):
            made.add_row(Text(name, style="dim"), words(str(value)))
    return made


def width(widest: int = 10_000) -> int:
    """How wide a line may be: as the terminal, or `widest` into a file or a pipe."""
    screen = Console()
    return screen.width if screen.is_terminal or "COLUMNS" in os.environ else widest


@contextmanager
def page(widest: int = 10_000) -> Iterator[Console]:
    """A console on stdout, no wider than the terminal; what is longer than it goes to a pager.

    Into a file or a pipe lines are written as long as they are, up to `widest`.
    """
    screen = Console(markup=False, highlight=False, emoji=False)
    written = io.StringIO()
    console = Console(
        file=written,
        width=width(widest),
        force_terminal=screen.is_terminal,
        color_system=screen.color_system if screen.is_terminal else None,  # type: ignore[arg-type]
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    yield console
    text = written.getvalue()
    if screen.is_terminal and text.count("\n") > screen.height:
        _pager(text)
    else:
        lines = [line.rstrip() for line in text.splitlines()]
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()


def _pager(text: str) -> None:
    """The user's pager, or less; it is told to take our colours for colours."""
    command = shlex.split(os.environ.get("PAGER") or "less")
    if not command or shutil.which(command[0]) is None:
        sys.stdout.write(text)
        return
    env = {**os.environ, "LESS": os.environ.get("LESS", "-FRX")}
    subprocess.run(command, input=text, text=True, encoding="utf-8", env=env, check=False)


def show(*things: RenderableType, widest: int = 10_000) -> None:
    """Print things, one below the other."""
    with page(widest) as console:
        for thing in things:
            console.print(thing)


def money(nano: int | None, unpriced: int = 0) -> str:
    """Dollars; what has no known price is said to be so, not called free."""
    if nano is None or (unpriced and not nano):
        return "unpriced"
    return f"${nano / 1e9:.4f}" + (f" + {unpriced} unpriced" if unpriced else "")


def seconds(ms: float | None) -> str:
    """A duration to two or three digits; nothing where there was none."""
    if not ms:
        return ""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def share(rate: float | None) -> str:
    """A rate in per cent; nothing where there is none."""
    return "" if rate is None else f"{100 * rate:.1f} %"
