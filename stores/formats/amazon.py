"""Amazon review data by McAuley's lab: reviews and item files, of 2014/2018 and of 2023.

Of the item files only what describes an item is kept. Average rating, number of ratings, sales
rank and "also bought" are sums over interactions that a split holds out, so they stay behind; so
do the reviewers' names, which say nothing about taste.

Texts were cut out of web pages: `&#34;` and `<br />` are read as what they stood for. Of no other
format is that known, so there a text stays as it is, also if it looks like this.
"""

import ast
import re
from collections.abc import Iterator
from html import unescape
from html.entities import html5
from pathlib import Path
from typing import Any

from stores.formats import jsonl
from stores.formats.tables import Record, Table, lines

REVIEW_2014 = {
    "user_id": "reviewerID",
    "item_id": "asin",
    "rating": "overall",
    "timestamp": "unixReviewTime",
    "review": "reviewText",
    "summary": "summary",
}
REVIEW_2023 = {
    "user_id": "user_id",
    "item_id": "parent_asin",
    "rating": "rating",
    "timestamp": "timestamp",
    "review": "text",
    "summary": "title",
}
ITEM_COLUMNS = (
    "title",
    "description",
    *("categories", "category", "main_category", "main_cat"),
    *("brand", "store", "price", "features", "feature"),
)
# Without its semicolon a name is more often a part of an address (`?x=1&copy=2`) than a sign.
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def read(path: Path, encoding: str) -> Table:
    return Table(path, None, records(lines(path, encoding, newline="\n")))


def records(feed: Iterator[str]) -> Iterator[Record]:
    for row, line in enumerate(feed, start=1):
        if line.strip():
            values = parsed(line)
            yield row, values if isinstance(values, str) else known(values)


def parsed(line: str) -> dict[str, Any] | str:
    """JSON, or the Python literals of the 2014 item files."""
    values = jsonl.parsed(line)
    if isinstance(values, dict) or "'" not in line:
        return values
    try:
        loose = ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return values
    return loose if isinstance(loose, dict) else values


def known(values: dict[str, Any]) -> dict[str, Any]:
    """A review or an item, under our names."""
    if "reviewerID" in values:
        return shown(values, REVIEW_2014)
    if "user_id" in values:
        review = shown(values, REVIEW_2023)
        review["item_id"] = review["item_id"] or values.get("asin")
        if isinstance(review["timestamp"], int | float):
            review["timestamp"] /= 1000
        return review
    item: dict[str, Any] = {"item_id": values.get("parent_asin") or values.get("asin")}
    item |= {name: plain(values[name]) for name in ITEM_COLUMNS if values.get(name)}
    if isinstance(item.get("description"), list):
        item["description"] = " ".join(str(part) for part in item["description"])
    return item


def shown(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A review under our names."""
    review = {ours: values.get(theirs) for ours, theirs in names.items()}
    return review | {name: plain(review[name]) for name in ("review", "summary")}


def plain(value: Any) -> Any:
    """A text as a reader of the web page saw it, unescaped once; lists of texts likewise."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, str):
        return value
    return ENTITY.sub(sign, BREAK.sub("\n", value))


def sign(found: re.Match[str]) -> str:
    """What an entity stands for; a name that is none stays."""
    known = found[0][1] == "#" or found[0][1:] in html5
    return unescape(found[0]) if known else found[0]


def recognises(path: Path, encoding: str) -> bool:
    """Whether the first line of a JSON file is one of these shapes."""
    first = next((line for line in lines(path, encoding, newline="\n") if line.strip()), "")
    values = parsed(first)
    if not isinstance(values, dict) or "item_id" in values:
        return False
    return "asin" in values or "parent_asin" in values
