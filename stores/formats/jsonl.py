"""JSON lines: one object a line, each with its own keys; .json files of that shape too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stores.formats.tables import Record, Table, lines


def read(path: Path, encoding: str) -> Table:
    return Table(path, None, records(lines(path, encoding, newline="\n")))


def records(feed: Iterator[str]) -> Iterator[Record]:
    for row, line in enumerate(feed, start=1):
        if line.strip():
            yield row, parsed(line)


def parsed(line: str) -> dict[str, Any] | str:
    """The object, or why there is none."""
    if "\0" in line:
        return "the line contains a NUL byte"
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"invalid JSON ({getattr(error, 'msg', 'nested too deep')})"
    return values if isinstance(values, dict) else "not a JSON object"
