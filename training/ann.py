"""Approximate search in a large catalogue, by faiss (the extra [ann]); exact is training.serving.

Items are sorted into about 4 √I lists by k-means (IVF, inner product), and a query looks into the
nearest of them. How many is settled when the index is made: doubled until half of a sample of
queries finds `ENOUGH` of its exact list; what is reported is the recall of the other half. An
index lies on disk, because making it takes longer than many exact searches.

I rows of width D are searched, Q queries asked, k = `DEPTH` rows compared.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from errors import UsageError
from training.serving import Floats, Ints

DEPTH, QUERIES, ENOUGH = 20, 1000, 0.95


@dataclass(frozen=True)
class Index:
    """A faiss index of rows, and Recall@`DEPTH` of its lists against the exact ones."""

    faiss: Any
    recall: float

    def best(self, query_D: Floats, count: int, hidden: Ints) -> list[tuple[int, float]]:
        """Rows of a high inner product that are not hidden, best first.

        Hidden ones are asked for too, then left out. Where they fill the lists looked into, more
        lists are: fewer than `count` come back only where there are no more.
        """
        asked = min(count + len(hidden), self.faiss.ntotal)
        unwanted = {-1, *hidden.tolist()}  # -1: the lists had no more
        lists = self.faiss.nprobe
        while True:
            some = _faiss().SearchParametersIVF(nprobe=lists)
            scores, rows = self.faiss.search(query_D[None], asked, params=some)
            found = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
            kept = [(row, score) for row, score in found if row not in unwanted][:count]
            if len(kept) == count or lists >= self.faiss.nlist:
                return kept
            lists *= 2


def opened(path: Path, owner: str, rows_ID: Floats, queries_QD: Floats) -> Index:
    """The index at `path`, made and written where there is none of this `owner`.

    Raises UsageError where faiss is not installed.
    """
    faiss, told = _faiss(), path.with_suffix(".json")
    if path.exists() and told.exists():
        known = json.loads(told.read_text("utf-8"))
        if known["owner"] == owner:
            return Index(faiss.read_index(str(path)), known["recall"])
    index = made(rows_ID, queries_QD)
    told.unlink(missing_ok=True)
    faiss.write_index(index.faiss, str(path))
    fresh = told.with_suffix(".new")
    fresh.write_text(json.dumps({"owner": owner, "recall": index.recall}), "utf-8")
    fresh.replace(told)
    return index


def made(rows_ID: Floats, queries_QD: Floats) -> Index:
    """Sort the rows into lists, settle how many are looked into, and measure the recall."""
    faiss = _faiss()
    lists = max(1, min(int(4 * len(rows_ID) ** 0.5), len(rows_ID) // 39))  # k-means wants 39 a list
    index = faiss.index_factory(rows_ID.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    rows_ID = np.ascontiguousarray(rows_ID, dtype=np.float32)
    index.train(rows_ID)
    index.add(rows_ID)
    order = np.random.default_rng(0).permutation(len(queries_QD))[:QUERIES]
    asked = np.ascontiguousarray(queries_QD[order], dtype=np.float32)
    depth = min(DEPTH, len(rows_ID))
    exact = _exact(rows_ID, asked, depth)
    index.nprobe = 1
    while _recall(index, asked[::2], exact[::2]) < ENOUGH and index.nprobe < lists:
        index.nprobe = min(2 * index.nprobe, lists)
    rest = slice(1, None, 2) if len(asked) > 1 else slice(None)
    return Index(index, _recall(index, asked[rest], exact[rest]))


def _exact(rows_ID: Floats, queries_QD: Floats, depth: int) -> Ints:
    flat = _faiss().IndexFlatIP(rows_ID.shape[1])
    flat.add(rows_ID)
    rows: Ints = flat.search(queries_QD, depth)[1]
    return rows


def _recall(index: Any, queries_QD: Floats, exact_Qk: Ints) -> float:
    """The mean share of the exact rows that are found."""
    found_Qk = index.search(queries_QD, exact_Qk.shape[1])[1]
    hits = [len({*a} & {*b}) for a, b in zip(found_Qk.tolist(), exact_Qk.tolist(), strict=True)]
    return float(np.mean(hits) / exact_Qk.shape[1])


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise UsageError(
            "--ann searches with faiss, which is not installed.",
            hint="Install it: pip install -c constraints.txt -e '.[ann]'",
        ) from error
    return faiss
