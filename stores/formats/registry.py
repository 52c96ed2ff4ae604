"""The formats, by name; and which of them a file or a folder is in.

A format is a file here with a `read` function, and a line in FORMATS.
"""

from dataclasses import dataclass
from pathlib import Path

from errors import DataError, unknown
from stores.formats import amazon, delimited, jsonl, parquet, recbole, rlmrec
from stores.formats.tables import Reader, Table


@dataclass(frozen=True, slots=True)
class Format:
    read: Reader
    suffixes: tuple[str, ...]


FORMATS: dict[str, Format] = {
    "csv": Format(delimited.read, (".csv", ".tsv", ".txt")),
    "jsonl": Format(jsonl.read, (".jsonl", ".json", ".ndjson")),
    "parquet": Format(parquet.read, (".parquet", ".pq")),
    "recbole": Format(recbole.read, (".inter", ".item", ".user")),
    "amazon": Format(amazon.read, (".json", ".jsonl")),
    "rlmrec": Format(rlmrec.read, (".pkl",)),
}


def read(path: Path, encoding: str = "utf-8", format: str = "auto") -> Table:
    """A file in the format named, or the one its name and first line show."""
    if format != "auto":
        return known(format).read(path, encoding)
    named = by_suffix(path)
    if named == "jsonl" and rlmrec.is_mapper(path):
        named = "rlmrec"
    elif named == "jsonl" and amazon.recognises(path, encoding):
        named = "amazon"
    return FORMATS[named].read(path, encoding)


def known(name: str) -> Format:
    if name not in FORMATS:
        raise unknown("format", name, ("auto", *FORMATS))
    return FORMATS[name]


def by_suffix(path: Path) -> str:
    ending = suffix(path)
    for name, one in FORMATS.items():
        if ending in one.suffixes:
            return name
    endings = dict.fromkeys(ending for one in FORMATS.values() for ending in one.suffixes)
    raise DataError(
        f"The format of {path.name} cannot be told from its name.",
        hint=f"Name it with --format, or end its name in one of: {', '.join(endings)}.",
    )


def suffix(path: Path) -> str:
    """The ending that tells the format, with .gz set aside."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()
