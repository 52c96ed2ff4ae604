"""Export as RecBole's atomic files, with the split as benchmark files.

    NAME.inter                          every interaction: rating, timestamp, review, summary
    NAME.train.inter, .valid., .test.   the same rows by part: benchmark_filename in RecBole
    NAME.item, NAME.user                title, description, attributes, description and embedding

RecBole looks for NAME in a folder NAME, so NAME is the folder's. Its reader (pandas) knows quotes
and missing values, but the format has no way to write either as a text: ids that it would misread
are refused, and a cell that begins with a quote gets a space before it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from errors import DataError
from stores.exports.material import Data, Layer, Material, counts, layers
from stores.formats.recbole import DESCRIBED, PARTS, is_text
from stores.formats.rows import Entity, Row

ENDINGS = (".inter", *(f".{part}.inter" for part in PARTS), ".item", ".user")
_BREAKS = re.compile(r"[\t\r\n]")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
# What pandas takes for a missing value, where an id is a text.
_MISSING = frozenset(
    "#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a"
    "|nan|null".split("|")
)
Columns = Sequence[tuple[str, str]]


def names(dataset: str) -> tuple[str, ...]:
    """The files that this export writes."""
    return tuple(f"{dataset}{ending}" for ending in ENDINGS)


def write(folder: Path, dataset: str, material: Material) -> dict[str, Any]:
    """Write all six files. Returns counts.

    Raises DataError for ids and column names that RecBole cannot read, and for a node without a
    description.
    """
    if dataset.rpartition(".")[2] in PARTS:
        raise DataError(
            f"RecBole would take {dataset}.inter for a part of a split.",
            hint="Name another folder: --out DIR.",
        )
    described = layers(material)
    write_files(folder, dataset, material.data, described)
    return counts(material.data, described)


def write_files(folder: Path, dataset: str, data: Data, described: Mapping[str, Layer]) -> None:
    for kind, entities in (("user", data.users), ("item", data.items)):
        write_entities(folder / f"{dataset}.{kind}", kind, entities, described[kind])
    columns = interaction_columns(data.rows)
    write_rows(folder / f"{dataset}.inter", columns, map(interaction, data.rows))
    part_of = {pair: part for part, pairs in data.parts.items() for pair in pairs}
    for theirs, ours in PARTS.items():
        rows = (row for row in data.rows if part_of.get((row.user, row.item)) == ours)
        path = folder / f"{dataset}.{theirs}.inter"
        write_rows(path, columns, map(interaction, rows))


def interaction_columns(rows: Sequence[Row]) -> Columns:
    """The columns that some interaction has."""
    typed = (
        ("rating", "float"),
        ("timestamp", "float"),
        ("review", "token_seq"),
        ("summary", "token_seq"),
    )
    held = [one for one in typed if any(getattr(row, one[0]) is not None for row in rows)]
    return [("user_id", "token"), ("item_id", "token"), *held]


def interaction(row: Row) -> dict[str, str]:
    return {
        "user_id": identifier(row.user, "user"),
        "item_id": identifier(row.item, "item"),
        **{
            name: repr(value)
            for name in ("rating", "timestamp")
            if (value := getattr(row, name)) is not None
        },
        **{
            name: cell(value)
            for name in ("review", "summary")
            if (value := getattr(row, name)) is not None
        },
    }


def write_entities(path: Path, kind: str, entities: Mapping[str, Entity], found: Layer) -> None:
    """Users or items, each with its description and its embedding."""
    id, text, vector = f"{kind}_id", DESCRIBED[kind], f"{kind}_embedding"
    values: dict[str, list[str]] = {}
    for one in entities.values():
        for column, value in one.texts.items():
            if column not in (id, text, vector):
                values.setdefault(column, []).append(value)
    types = {column: type_of(kind, column, held) for column, held in values.items()}
    lists = {c for c, type in types.items() if type == "token_seq" and not is_text(f"{kind}s", c)}

    def rows() -> Iterator[dict[str, str]]:
        for one, row, embedding in zip(entities.values(), found.rows, found.vectors, strict=True):
            yield {
                id: identifier(one.id, kind),
                # Lists as RecBole separates them; our importer puts the commas back.
                **{
                    c: cell(v.replace(", ", " ") if c in lists else v) for c, v in one.texts.items()
                },
                text: cell(row.text),
                vector: " ".join(embedding.astype(str)),
            }

    columns = [(id, "token"), *types.items(), (text, "token_seq"), (vector, "float_seq")]
    write_rows(path, columns, rows())


def type_of(kind: str, column: str, values: Sequence[str]) -> str:
    """RecBole's type of an attribute: words, numbers, lists of words, or one value a cell."""
    if is_text(f"{kind}s", column):
        return "token_seq"
    if all(_NUMBER.fullmatch(value) for value in values):
        return "float"
    lists = [value.split(", ") for value in values]
    single = all(part and not re.search(r"\s", part) for parts in lists for part in parts)
    return "token_seq" if single and any(len(parts) > 1 for parts in lists) else "token"


def cell(value: str) -> str:
    value = _BREAKS.sub(" ", value)
    return f" {value}" if value.startswith('"') else value


def identifier(id: str, kind: str) -> str:
    """The id itself. Raises DataError for one that RecBole would read otherwise, or not at all."""
    if id in _MISSING or id.startswith('"') or _BREAKS.search(id):
        raise DataError(
            f"{kind}_id {id!r} cannot be written for RecBole: it would be misread.",
            hint="Give it another id: no tab, line break, quote at the start, NA, null, None ….",
        )
    return id


def write_rows(path: Path, columns: Columns, rows: Iterable[Mapping[str, str]]) -> None:
    for name, _ in columns:
        if ":" in name or _BREAKS.search(name) or name.startswith('"') or not name:
            raise DataError(
                f"The column {name!r} cannot be written for RecBole.",
                hint="Rename or drop it: RecBole's names hold no colon, tab or line break.",
            )
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(f"{name}:{type}" for name, type in columns) + "\n")
        for row in rows:
            file.write("\t".join(row.get(name, "") for name, _ in columns) + "\n")
