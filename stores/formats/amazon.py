"""Amazon review data by McAuley's lab: reviews and item files, of 2014/2018 and of 2023.

Of the item files only what describes an item is kept. Average rating, number of ratings, sales
rank and "also bought" are sums over interactions that a split holds out, so they stay behind; so
do the reviewers' names, which say nothing about taste.
"""

import ast
from collections.abc import Iterator
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
        return {ours: values.get(theirs) for ours, theirs in REVIEW_2014.items()}
    if "user_id" in values:
        review = {ours: values.get(theirs) for ours, theirs in REVIEW_2023.items()}
        review["item_id"] = review["item_id"] or values.get("asin")
        if isinstance(review["timestamp"], int | float):
            review["timestamp"] /= 1000
        return review
    item: dict[str, Any] = {"item_id": values.get("parent_asin") or values.get("asin")}
    item |= {name: values[name] for name in ITEM_COLUMNS if values.get(name)}
    if isinstance(item.get("description"), list):
        item["description"] = " ".join(str(part) for part in item["description"])
    return item


def recognises(path: Path, encoding: str) -> bool:
    """Whether the first line of a JSON file is one of these shapes."""
    first = next((line for line in lines(path, encoding, newline="\n") if line.strip()), "")
    values = parsed(first)
    if not isinstance(values, dict) or "item_id" in values:
        return False
    return "asin" in values or "parent_asin" in values
