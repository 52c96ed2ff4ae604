"""Text embeddings that a user brings along, for `train --embeddings`.

FILE.npz       arrays user_ids, users (U, T), item_ids, items (I, T)
FILE.parquet   columns node (`user:42`, `item:7`) and vector (a list of numbers)
FOLDER         RLMRec's usr_emb_np.pkl and itm_emb_np.pkl: rows in the order of the folder's
               mappers, else of the data's row numbers (stores.formats.rlmrec)
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from errors import DataError
from stores.arrays import Arrays, Floats, in_order
from stores.formats import rlmrec
from stores.formats.layout import read_source
from stores.npz import read_npz
from stores.pickles import read_pickle

HINT = "Give an embedding for every user and item of the data, or --align none."
PICKLES = {"user": "usr_emb_np.pkl", "item": "itm_emb_np.pkl"}


def read_embeddings(path: Path, data: Path, arrays: Arrays) -> Floats:
    """One embedding a node, shape (N, T), in the order of `arrays.nodes`.

    Raises DataError for a file that cannot be read or does not fit the data.
    """
    if path.is_dir():
        return in_order(_from_pickles(path, data), arrays, HINT)
    reader = READERS.get(path.suffix)
    if reader is None:
        raise DataError(f"--embeddings {path}: neither .npz nor .parquet nor a folder.", hint=HINT)
    try:
        found = reader(path)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DataError(
            f"--embeddings {path} cannot be read: {error}.",
            hint="An .npz holds user_ids, users, item_ids, items; a .parquet node and vector.",
        ) from error
    return in_order(found, arrays, HINT)


def _from_npz(path: Path) -> Mapping[str, Floats]:
    found: dict[str, Floats] = {}
    for kind in ("user", "item"):
        ids, rows = read_npz(path, f"{kind}_ids", f"{kind}s")
        if rows.ndim != 2 or len(ids) != len(rows):
            raise ValueError(f"{kind}s has shape {rows.shape} for {len(ids)} ids")
        names = [f"{kind}:{id}" for id in ids.astype(str).tolist()]
        if len(set(names)) < len(names):
            raise _doubled(path)
        found |= dict(zip(names, _real(rows), strict=True))
    return found


def _from_parquet(path: Path) -> Mapping[str, Floats]:
    table = pq.read_table(path, columns=["node", "vector"])
    if len(table) != len(table["node"].unique()):
        raise _doubled(path)
    vectors = [np.array(one, dtype=np.float32) for one in table["vector"].to_pylist()]
    if any(vector.ndim != 1 for vector in vectors):
        raise ValueError("a vector is no list of numbers")
    return dict(zip(map(str, table["node"].to_pylist()), vectors, strict=True))


def _doubled(path: Path) -> DataError:
    return DataError(
        f"--embeddings {path.name} names some nodes more than once.",
        hint="Of several hops, take one: python cli.py export --hop N",
    )


def _from_pickles(folder: Path, data: Path) -> Mapping[str, Floats]:
    source = read_source(data)
    found: dict[str, Floats] = {}
    for kind, entities in (("user", source.users), ("item", source.items)):
        name, mapper = PICKLES[kind], rlmrec.mapper(folder, kind)
        rows = _numbers(folder / name)
        if mapper is None:
            ids, whose = rlmrec.by_row_number(entities, kind), "the data"
        else:
            ids, whose = rlmrec.mapped(mapper, kind), mapper.name
        if rows.ndim != 2 or len(rows) != len(ids):
            raise DataError(
                f"{name} has shape {rows.shape}, but {whose} has {len(ids)} {kind}s.", hint=HINT
            )
        found |= {f"{kind}:{id}": vector for id, vector in zip(ids, rows, strict=True)}
    return found


def _numbers(path: Path) -> Floats:
    try:
        return _real(np.asarray(read_pickle(path)))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path.name} is no table of numbers: {error}.", hint=HINT) from error


def _real(rows: NDArray[Any]) -> Floats:
    """As float32. NumPy would drop imaginary parts with a warning only."""
    if np.iscomplexobj(rows):
        raise ValueError("the embeddings are complex numbers")
    return rows.astype(np.float32)


READERS: dict[str, Callable[[Path], Mapping[str, Floats]]] = {
    ".npz": _from_npz,
    ".parquet": _from_parquet,
}
