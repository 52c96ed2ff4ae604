"""CSV and its cousins: comma, tab or semicolon, whichever the header uses."""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from stores.formats.tables import Record, Table, checked_header, lines, wrong_width

DELIMITERS = ",\t;"
# A longer field than this is a quote that was never closed, not a review.
LONGEST_FIELD = 10_000_000


def read(path: Path, encoding: str) -> Table:
    feed = lines(path, encoding, newline="")
    first = next(feed, "")
    delimiter = max(DELIMITERS, key=lambda mark: len(cells(first, mark)))
    columns = checked_header(path, [cell.strip() for cell in cells(first, delimiter)])
    return Table(path, columns, records(feed, columns, delimiter))


def cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def records(feed: Iterator[str], columns: tuple[str, ...], delimiter: str) -> Iterator[Record]:
    """Every row, numbered by the line it starts on. Columns without a name are left out."""
    named = {column: place for place, column in enumerate(columns) if column}
    gapless = len(named) == len(columns)
    for row, values in numbered(feed, delimiter):
        if isinstance(values, str):
            yield row, values
        elif len(values) != len(columns):
            yield row, wrong_width(len(values), len(columns))
        elif gapless:
            yield row, dict(zip(columns, values, strict=True))
        else:
            yield row, {column: values[place] for column, place in named.items()}


def numbered(feed: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """(line, fields), or (line, reason) where the quotes do not add up.

    After such a row, reading goes on with the line below its first: an open quote costs one row,
    not the rest of the file.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    again: deque[str] = deque()
    taken: list[str] = []

    def noted() -> Iterator[str]:
        while line := again.popleft() if again else next(feed, ""):
            taken.append(line)
            yield line

    rows = csv.reader(noted(), delimiter=delimiter, strict=True)
    row = 2
    while True:
        taken.clear()
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield row, f"quotes do not add up ({error})"
            again.extendleft(reversed(taken[1:]))
            rows = csv.reader(noted(), delimiter=delimiter, strict=True)
            row += 1
            continue
        if values:
            yield row, values
        row += len(taken)
