"""RLMRec's data folder: three pickled matrices, and mappers from their row numbers to ids.

    trn_mat.pkl, val_mat.pkl, tst_mat.pkl   users × items; what is not 0 is an interaction
    NAME_user.json, NAME_item.json          a row a line: {"uid": 0, "user_id": "A1"}, {"iid": 0, …}

A mapper lies beside the matrices, or where RLMRec's own lie: for data/amazon in data/mapper, as
amazon_user.json. Without one the row numbers are the ids. They stay with users and items as
columns `uid` and `iid`, so that files in row order (embeddings, profiles) find their nodes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import DataError
from stores.formats import jsonl
from stores.formats.rows import Entity
from stores.formats.tables import Record, Sources, Table, lines
from stores.formats.values import BadValue, identifier
from stores.pickles import read_pickle

MATRICES = {"train": "trn_mat.pkl", "val": "val_mat.pkl", "test": "tst_mat.pkl"}
NUMBERS = {"user": "uid", "item": "iid"}
Ints = NDArray[np.int64]


def recognises(folder: Path) -> bool:
    """Whether a folder holds RLMRec's matrices."""
    return (folder / MATRICES["train"]).is_file()


def find(src: Path) -> Sources:
    """The matrices of a folder that there are, and its mappers."""
    folder = src if src.is_dir() else src.parent
    found = [(folder / name, part) for part, name in MATRICES.items() if (folder / name).is_file()]
    if not {"train", "test"} <= {part for _, part in found}:
        raise DataError(f"{folder} has no {MATRICES['train']} and {MATRICES['test']}.")
    return Sources(tuple(found), mapper(folder, "item"), mapper(folder, "user"))


def mapper(folder: Path, kind: str) -> Path | None:
    """The mapper of a folder's users or items, if there is one."""
    beside = sorted(folder.glob(f"*{kind}.json"))
    if len(beside) > 1:
        names = " and ".join(path.name for path in beside)
        raise DataError(f"{folder} has both {names}.", hint="Keep the one of its matrices.")
    folder = folder.resolve()
    theirs = folder.parent / "mapper" / f"{folder.name}_{kind}.json"
    return next((path for path in (*beside, theirs) if path.is_file()), None)


def is_mapper(path: Path) -> bool:
    """Whether a JSON file is a mapper: by its name, and by the first line that it has."""
    kind = next((kind for kind in NUMBERS if path.name.endswith(f"{kind}.json")), None)
    if kind is None:
        return False
    first = jsonl.parsed(next(lines(path, "utf-8", newline="\n"), ""))
    return isinstance(first, dict) and len(first) == 2 and type(first.get(NUMBERS[kind])) is int


def read(path: Path, encoding: str) -> Table:
    """The pairs of a matrix, under their ids, or a mapper as a table of users or items."""
    if path.suffix == ".pkl":
        return Table(path, ("user_id", "item_id"), pairs(path))
    kind = next((kind for kind in NUMBERS if path.name.endswith(f"{kind}.json")), "user")
    rows = enumerate(mapped(path, kind), start=1)
    columns = (f"{kind}_id", NUMBERS[kind])
    listed = ((row, dict(zip(columns, (id, str(row - 1)), strict=True))) for row, id in rows)
    return Table(path, columns, listed)


def pairs(path: Path) -> Iterator[Record]:
    users, items, shape = coordinates(path)
    ids = []
    for kind, length in zip(NUMBERS, shape, strict=True):
        file = mapper(path.parent, kind)
        names = [str(row) for row in range(length)] if file is None else mapped(file, kind)
        if file is not None and len(names) != length:
            raise DataError(f"{path.name} has {length} {kind}s, but {file.name} has {len(names)}.")
        ids.append(names)
    for row, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True), start=1):
        yield row, {"user_id": ids[0][user], "item_id": ids[1][item]}


def coordinates(path: Path) -> tuple[Ints, Ints, tuple[int, int]]:
    """Rows and columns of what is not 0, each pair once and sorted, and the matrix's shape.

    A stranger's matrix may hold any numbers, so they are checked here and not handed to SciPy's
    compiled code, which trusts them.
    """
    found = read_pickle(path)
    kind = getattr(found, "format", None)
    if kind not in ("coo", "csr") or len(found.shape) != 2:
        raise DataError(f"{path.name} holds no sparse matrix (coo or csr).")
    height, width = map(int, found.shape)
    data = np.asarray(found.data)
    if kind == "coo":
        rows, columns = np.asarray(found.row), np.asarray(found.col)
    else:
        counts, columns = np.diff(np.asarray(found.indptr)), np.asarray(found.indices)
        if len(counts) != height or (counts < 0).any() or counts.sum() != len(columns):
            raise DataError(f"{path.name} is damaged: its rows do not add up.")
        rows = np.repeat(np.arange(height), counts)
    if not len(rows) == len(columns) == len(data):
        raise DataError(f"{path.name} is damaged: its rows, columns and values differ in number.")
    for places, most in ((rows, height), (columns, width)):
        if len(places) and not 0 <= places.min() <= places.max() < most:
            raise DataError(f"{path.name} is damaged: it names cells that it does not have.")
    taken = data != 0
    keys = np.unique(rows[taken].astype(np.int64) * width + columns[taken].astype(np.int64))
    return keys // max(width, 1), keys % max(width, 1), (height, width)


def mapped(path: Path, kind: str) -> list[str]:
    """The ids of a mapper, by row number. Raises DataError for a number that is missing."""
    number, by_row = NUMBERS[kind], dict[int, str]()
    for row, values in jsonl.read(path, "utf-8").records:
        if isinstance(values, str):
            raise DataError(f"{path.name}, row {row}: {values}.")
        place, id = _line(path, row, values, number)
        if place in by_row:
            raise DataError(f"{path.name}, row {row}: {number} {place} is there already.")
        by_row[place] = id
    if sorted(by_row) != list(range(len(by_row))):
        raise DataError(f"{path.name}: {number} does not number its rows from 0 without a gap.")
    return [by_row[place] for place in range(len(by_row))]


def _line(path: Path, row: int, values: Mapping[str, Any], number: str) -> tuple[int, str]:
    place = values.get(number)
    others = [name for name in values if name != number]
    if type(place) is not int or len(others) != 1:
        raise DataError(f'{path.name}, row {row} is not {{"{number}": a whole number, "id": "…"}}.')
    try:
        return place, identifier(values[others[0]], others[0])
    except BadValue as error:
        raise DataError(f"{path.name}, row {row}: {error}.") from error


def by_row_number(entities: Mapping[str, Entity], kind: str) -> list[str]:
    """Ids in the order of the data's column `uid` or `iid`.

    Without it in their own order where they are 0, 1, 2 …, else as they stand in the data. Raises
    DataError where the column has gaps or doubles.
    """
    column = NUMBERS[kind]
    numbers = {id: one.texts.get(column, "") for id, one in entities.items()}
    if all(number.isdecimal() for number in numbers.values()):
        ordered = sorted(numbers, key=lambda id: int(numbers[id]))
        if [int(numbers[id]) for id in ordered] != list(range(len(ordered))):
            raise DataError(f"The column {column} does not number its rows from 0 without a gap.")
        return ordered
    own = [str(row) for row in range(len(entities))]
    return own if entities.keys() == set(own) else list(entities)
