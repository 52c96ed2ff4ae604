"""Export as RLMRec's code reads it: profiles, embeddings and matrices as pickles, by row number.

    usr_prf.pkl, itm_prf.pkl            {row: {"profile": description, "reasoning": why or ""}}
    usr_emb_np.pkl, itm_emb_np.pkl      embeddings in row order, float32
    trn_mat.pkl, val_mat.pkl, tst_mat.pkl   users × items, coo_matrix, 1.0 for an interaction
    NAME_user.json, NAME_item.json      a line {"uid": row, "user_id": id} for each row

The profile is the whole description of one hop. `data import` and `train --embeddings` read the
folder back.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix

from stores.embeddings_file import PICKLES
from stores.exports.material import Data, Material, counts, layers
from stores.exports.reasons import reasons
from stores.formats.rlmrec import MATRICES, NUMBERS
from stores.pickles import write_pickle

PROFILES = {"user": "usr_prf.pkl", "item": "itm_prf.pkl"}


def names(dataset: str) -> tuple[str, ...]:
    """The files that this export writes."""
    mappers = (_mapper(dataset, kind) for kind in NUMBERS)
    return *PROFILES.values(), *PICKLES.values(), *MATRICES.values(), *mappers


def write(folder: Path, dataset: str, material: Material) -> dict[str, Any]:
    """Write all nine files. Returns counts. Raises DataError for a node without a description."""
    data = material.data
    described = layers(material)
    for kind, ids in (("user", data.users), ("item", data.items)):
        found = described[kind]
        why = reasons(material.workspace / "ledger.sqlite", found)
        profiles = {
            row: {"profile": one.text, "reasoning": reasoning}
            for row, (one, reasoning) in enumerate(zip(found.rows, why, strict=True))
        }
        write_pickle(folder / PROFILES[kind], profiles)
        write_pickle(folder / PICKLES[kind], found.vectors)
        write_mapper(folder / _mapper(dataset, kind), kind, ids)
    for part, name in MATRICES.items():
        write_pickle(folder / name, matrix(data, part))
    return counts(data, described)


def matrix(data: Data, part: str) -> coo_matrix:
    """The interactions of a part, shape (users, items), sorted by row, then by column."""
    users, items = ({id: row for row, id in enumerate(ids)} for ids in (data.users, data.items))
    pairs = sorted((users[user], items[item]) for user, item in data.parts[part])
    rows, columns = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    ones = np.ones(len(pairs))
    return coo_matrix((ones, (rows, columns)), shape=(len(users), len(items)))


def write_mapper(path: Path, kind: str, ids: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row, id in enumerate(ids):
            line = {NUMBERS[kind]: row, f"{kind}_id": id}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _mapper(dataset: str, kind: str) -> str:
    return f"{dataset}_{kind}.json"
