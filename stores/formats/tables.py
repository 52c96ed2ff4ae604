"""What every format reader gives, and how text files are opened.

A `Table` is a file as records: (row number, cells by column name), or (row number, reason) for a
row that could not be read at all. Rows count from 1: lines of the file in text formats, records
in parquet.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import DataError, UsageError
from stores.formats.values import BROKEN

Record = tuple[int, dict[str, Any] | str]


@dataclass(frozen=True, slots=True)
class Table:
    """A file's column names (None where every record brings its own) and its records."""

    path: Path
    columns: tuple[str, ...] | None
    records: Iterator[Record]


Reader = Callable[[Path, str], Table]


@dataclass(frozen=True, slots=True)
class Sources:
    """Which file plays which part. An interactions file may be one part of a split as a whole."""

    interactions: tuple[tuple[Path, str | None], ...]
    items: Path | None = None
    users: Path | None = None
    pairs: tuple[tuple[str, Path], ...] = ()


def lines(path: Path, encoding: str, newline: str) -> Iterator[str]:
    """The lines of a text file, unzipped if need be; lost bytes stay visible as surrogates."""
    encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
    options = {"encoding": encoding, "errors": "surrogateescape", "newline": newline}
    try:
        opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", **options) as file:
            yield from file
    except LookupError:
        raise UsageError(f"Unknown encoding {encoding!r}.", hint="For example: utf-8.") from None
    except UnicodeError as error:
        raise DataError(
            f"{path.name} is not {encoding}: {error}.", hint="Try --encoding."
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is a broken gzip file: {error}.") from None


def checked_header(path: Path, columns: list[str]) -> tuple[str, ...]:
    """The column names, refused when they cannot name columns."""
    for column in columns:
        if "\0" in column or BROKEN.search(column):
            hint = "Give the right --encoding, for example utf-16 or cp1252."
            raise DataError(f"{path.name}: the header does not decode.", hint=hint)
        if column and columns.count(column) > 1:
            raise DataError(f"{path.name} has two columns named {column!r}.", hint="Rename one.")
    return tuple(columns)


def wrong_width(found: int, wanted: int) -> str:
    return f"{found} fields where the header has {wanted}"
