"""One raw cell in, one clean value out: ids, texts, numbers and moments.

A cell comes as text (CSV, RecBole) or typed (JSON, parquet). Each function answers with the
clean value, or raises `BadValue` with a reason a person can act on. Empty cells are None.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime

# What errors="surrogateescape" leaves behind, and what JSON escapes such as \ud800 decode to.
BROKEN = re.compile("[\ud800-\udfff]")
# As seconds this is the year 5138, so a larger number can only be milliseconds.
LARGEST_SECOND = 1e11
# How Python, pandas and JSON say that nothing is there, where it was written out as text.
MISSING = frozenset({"None", "nan", "NaN", "null", "NULL", "<NA>"})


class BadValue(ValueError):
    """A cell that cannot be used; the message starts with its column."""


def identifier(value: object, column: str) -> str:
    """The id as it stands in the file: "007" stays, 7 and 7.0 become "7"."""
    found = value if isinstance(value, str) else text(value, column)
    if not found or found.isspace():
        raise BadValue(f"{column} is empty")
    return whole(found, column)


def text(value: object, column: str) -> str | None:
    """Any cell as text, with lists joined by ", "; white space and words for nothing are none."""
    if isinstance(value, str):
        missing = not value or value.isspace() or value in MISSING
        return None if missing else whole(value, column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list | tuple):
        return ", ".join(part for one in value if (part := text(one, column))) or None
    if isinstance(value, Mapping):
        pairs = ((key, text(one, column)) for key, one in value.items())
        return ", ".join(f"{key}: {one}" for key, one in pairs if one) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return text(value.decode("utf-8", "surrogateescape"), column)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def whole(value: str, column: str) -> str:
    """The text itself, refused when bytes of it were lost."""
    if "\0" in value:
        raise BadValue(f"{column} contains a NUL byte")
    if not value.isascii() and BROKEN.search(value):
        raise BadValue(f"{column} has bytes that do not decode")
    return value


def number(value: object, column: str) -> float | None:
    """A finite number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        found = float(readable(value))
    except (TypeError, ValueError, OverflowError):
        raise BadValue(f"{column} {shown(value)} is not a number") from None
    if math.isinf(found):
        raise BadValue(f"{column} {shown(value)} is not a finite number")
    return None if math.isnan(found) else found


def readable(value: object) -> str | float:
    """Python reads True and "1_0" as numbers; nobody who writes a data file means that."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError
    return value  # type: ignore[return-value]


def moment(value: object, column: str) -> float | None:
    """Unix seconds, from a number or an ISO date; a date without a zone is UTC."""
    if isinstance(value, date):
        return seconds(value)
    if isinstance(value, str):
        try:
            return number(value, column)
        except BadValue:
            return seconds(iso(value.strip(), column))
    return number(value, column)


def recent(value: object, column: str) -> float | None:
    """Like `moment`, for files that may count in milliseconds."""
    found = moment(value, column)
    return found / 1000 if found is not None and abs(found) >= LARGEST_SECOND else found


def iso(value: str, column: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise BadValue(f"{column} {shown(value)} is neither unix seconds nor an ISO date") from None


def seconds(value: date) -> float:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def shown(value: object) -> str:
    return ascii(value) if len(ascii(value)) <= 40 else ascii(value)[:37] + "..."
