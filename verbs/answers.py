"""What a trained run answers: recommend, similar, explain; and evaluate, for runs and baselines."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from errors import UsageError, unknown
from settings import chroma_server, load
from stores import runs
from stores.chroma import Server
from stores.datasets import Dataset, load_training
from stores.workspace import claim, occupied
from training import ann, serving
from training.serving import Trained
from verbs.places import must_be_folder, must_be_workspace, workspace_of

BASELINES = ("pop", "ease", "text")
PENALTIES = (10.0, 50.0, 100.0, 200.0, 400.0, 800.0)


@dataclass(frozen=True)
class Desk:
    """A trained run with the data it was trained on, ids to rows, and the workspace's texts."""

    folder: Path
    data: Dataset
    run: dict[str, Any]
    trained: Trained
    users: dict[str, int]
    items: dict[str, int]
    chroma: Server | None

    def item(self, row: int) -> dict[str, Any]:
        id = list(self.items)[row]
        return {"id": id, "title": self.data.items[id].title}


@contextmanager
def desk(
    data: Path, workspace: Path | None, run: str | None, chroma: str | None = None
) -> Iterator[Desk]:
    """Open a run by name, the newest by default. Raises StoreError for one of other data."""
    settings = load({"chroma": chroma}, Path.cwd())
    server = chroma_server(settings)
    must_be_folder(data)
    folder = workspace_of(data, workspace)
    must_be_workspace(folder, data)
    with occupied(folder):
        loaded = load_training(data, folder / "split", settings.seed, partial(claim, folder))
        place, record = runs.named(folder, run, loaded.settled)
        users = {id: row for row, id in enumerate(loaded.users)}
        items = {id: row for row, id in enumerate(loaded.items)}
        found = runs.read_embeddings(place, list(users), list(items))
        pairs = [(users[one.user], items[one.item]) for one in loaded.training]
        trained = Trained(
            len(users), found.nodes_ND, np.array(pairs, dtype=np.int64).reshape(-1, 2)
        )
        yield Desk(folder, loaded, record, trained, users, items, server)


def recommend(at: Desk, user: str, count: int, approximate: bool) -> dict[str, Any]:
    """The items of the highest score that the user did not train on; `approximate`, by an index."""
    row = _known(at, user)
    how: dict[str, Any] = {}
    if approximate:
        users, items_ID = at.trained.users, at.trained.nodes_ND[at.trained.users :]
        index = _index(at, "score", items_ID, at.trained.nodes_ND[:users])
        best = index.best(at.trained.nodes_ND[row], count, at.trained.taken(row))
        how = _told(index)
    else:
        best = serving.recommended(at.trained, row, count)
    return {
        "run": at.run["name"],
        "user": user,
        **how,
        "items": [{**at.item(item), "score": score} for item, score in best],
    }


def similar(at: Desk, item: str, count: int, by: str, approximate: bool) -> dict[str, Any]:
    """The items nearest to an item, by trained embedding or by text; `approximate`, by an index."""
    row = _row(at.items, "item", item)
    if by not in ("trained", "text"):
        raise unknown("space", by, ("trained", "text"))
    if approximate and by == "text":
        raise UsageError("--ann is for trained embeddings.", hint="Leave --by or --ann out.")
    rows = at.trained.nodes_ND[at.trained.users :]
    order, how = list(at.items), {}
    if by == "text":
        order, rows, hop = _texts_of_items(at)
        row = order.index(item) if item in order else _missing(item, hop)
        if not rows[row].any():
            _missing(item, hop)
    if approximate:
        rows = serving.unit(rows)
        index = _index(at, "cosine", rows, rows)
        best, how = index.best(rows[row], count, np.array([row])), _told(index)
    else:
        best = serving.nearest(rows, row, count)
    return {
        "run": at.run["name"],
        "item": item,
        "by": by,
        **how,
        "items": [{**at.item(at.items[order[i]]), "score": score} for i, score in best],
    }


def _index(at: Desk, by: str, rows_ID: serving.Floats, queries_QD: serving.Floats) -> ann.Index:
    """The run's index of its items, on disk beside its embeddings."""
    path = at.folder / "runs" / at.run["name"] / f"items-{by}.faiss"
    return ann.opened(path, at.run["finished"], rows_ID, queries_QD)


def _told(index: ann.Index) -> dict[str, Any]:
    """That the list is approximate, and how good the index's lists are."""
    return {"approximate": True, f"recall@{ann.DEPTH}_of_exact": index.recall}


def explain(at: Desk, user: str, item: str, count: int) -> dict[str, Any]:
    """Why an item ranks where it does for a user: likeness, paths in the graph, descriptions."""
    rows = _known(at, user), _row(at.items, "item", item)
    why = serving.reasons(at.trained, *rows, count)
    texts, shared = _descriptions(at, user, item)
    place = "was in training" if why.taken else f"ranks {why.rank} of what they have not taken"
    return {
        "run": at.run["name"],
        "summary": f"item {item} for user {user}: score {why.score:.3f}, {place}",
        "score": why.score,
        "rank": why.rank,
        "taken": why.taken,
        "nearest": [{**at.item(i), "score": cosine} for i, cosine in why.nearest],
        "paths": [
            {
                "nodes": [
                    f"user:{user}",
                    _called(at, path.liked),
                    f"user:{list(at.users)[path.other]}",
                    _called(at, rows[1]),
                ],
                "score": path.strength,
            }
            for path in why.paths
        ],
        "texts": texts,
        "shared_words": shared,
    }


def _called(at: Desk, row: int) -> str:
    one = at.item(row)
    return f"item:{one['id']}" + (f" ({one['title']})" if one["title"] else "")


def _row(rows: dict[str, int], kind: str, id: str) -> int:
    if id not in rows:
        near = [one for one in rows if id.lower() in one.lower()][:5] or list(rows)[:5]
        raise UsageError(f"The data has no {kind} {id!r}.", hint=f"It has: {', '.join(near)}, …")
    return rows[id]


def _known(at: Desk, user: str) -> int:
    """The row of a user. Raises UsageError where the run has nothing to place them by."""
    row = _row(at.users, "user", user)
    if len(at.trained.taken(row)) or np.any(at.trained.nodes_ND[row]):
        return row
    if at.run["align"] == "none":
        raise UsageError(
            f"User {user!r} has no training interaction, and this run reads no text.",
            hint="Train with --align contrastive, generative or fusion: they place a user by text, "
            "where there is one.",
        )
    raise UsageError(
        f"User {user!r} has neither a training interaction nor a text.",
        hint="A text comes from training interactions. Bring some in: data import --append.",
    )


def _missing(item: str, hop: int) -> int:
    raise UsageError(f"Item {item!r} has no description at hop {hop}.", hint="Run refine first.")


def _texts_of_items(at: Desk) -> tuple[list[str], Any, int]:
    from stores.descriptions import Descriptions
    from verbs.learning import hops_of

    hop = max(hops_of(at.folder, at.chroma), default=0)
    descriptions = Descriptions(at.folder / "chroma", at.chroma)
    try:
        nodes, vectors = descriptions.vectors("item", hop)
    finally:
        descriptions.close()
    return [node.partition(":")[2] for node in nodes], vectors, hop


def _descriptions(at: Desk, user: str, item: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What the workspace says of both at its last hop, and the telling words they share."""
    from stores.descriptions import Descriptions
    from verbs.learning import hops_of

    known = hops_of(at.folder, at.chroma)
    if not known:
        return [], []
    descriptions = Descriptions(at.folder / "chroma", at.chroma)
    try:
        told = [
            {"node": row.node, "hop": known[-1], "text": row.text}
            for kind, node in (("user", f"user:{user}"), ("item", f"item:{item}"))
            for row in descriptions.some(kind, known[-1], [node])[0]
        ]
        batches = (b for kind in ("user", "item") for b in descriptions.batches(kind, known[-1]))
        return told, _shared(told, (row.text for some in batches for row in some))
    finally:
        descriptions.close()


def _shared(told: Sequence[dict[str, Any]], everything: Iterable[str]) -> list[str]:
    """Words of five letters and more that both descriptions have and few others, rarest first.

    A word in more than a fifth of all descriptions tells nothing (our choice).
    """
    if len(told) < 2:
        return []
    both = set.intersection(*(_words(one["text"]) for one in told))
    usual: Counter[str] = Counter()
    texts = 0
    for text in everything:
        usual.update(_words(text) & both)
        texts += 1
    telling = [word for word in both if usual[word] <= max(2, texts / 5)]
    return sorted(telling, key=lambda word: (usual[word], -len(word), word))[:10]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{5,}", text.lower()))


def evaluate(
    data: Path,
    workspace: Path | None,
    what: str,
    mask_val: bool,
    penalty: float | None,
    hop: str | None,
    chroma: str | None = None,
) -> dict[str, Any]:
    """Test metrics of a run (by name) or of a baseline: `pop`, `ease`, `text`.

    A run that was tested without its validation items is so again.
    """
    import torch

    from training import baselines, metrics
    from training.experiment import cold_tested, inner_product, tested
    from verbs import learning

    if hop is not None and what != "text":
        raise UsageError(f"--hop is for evaluate text: {what} reads none.")
    if hop == "all":
        raise UsageError("--hop all: text alone is tested hop by hop.", hint="Give a number.")
    if penalty is not None and what != "ease":
        raise UsageError(f"--penalty is for evaluate ease: {what} has none.")
    with learning.ground(data, workspace, chroma) as place:
        if what not in BASELINES:
            folder, record = runs.named(place.folder, what, place.arrays.settled)
            arrays = place.arrays
            nodes = torch.from_numpy(
                runs.read_embeddings(folder, arrays.users, arrays.items).nodes_ND
            )
            task = learning.task_of(place, learning.no_text(place), "cpu")
            score = inner_product(nodes, task.graph.users)
            return {
                "of": record["name"],
                "seed": record["seeds"][0]["seed"],
                "test": tested(task, nodes, mask_val or record["settings"]["mask_val"]),
                "cold": cold_tested(task, score, (nodes != 0).any(dim=-1)),
            }
        text, told = learning.no_text(place), dict[str, Any](of=what)
        if what == "text":
            text, told["hop"] = learning.text_of(place, hop, None)
        task = learning.task_of(place, text, "cpu")
        hidden = [task.train, task.val] if mask_val else [task.train]
        if what == "pop":
            score, placed_N = baselines.popularity(task.graph), torch.ones(task.graph.nodes) > 0
        elif what == "text":
            score = baselines.text_only(task.graph, task.text_HNT[-1])
            placed_N = (task.text_HNT[-1] != 0).any(dim=-1)
        else:
            placed_N = task.graph.adjacency.degree_N > 0
            tried = (penalty,) if penalty is not None else PENALTIES
            best = -1.0
            for one in tried:
                attempt = baselines.ease(task.graph, one)
                value = metrics.evaluate(attempt, task.val, [task.train], (20,))["recall@20"]
                if value > best:
                    best, score, told["penalty"] = value, attempt, one
        return {
            **told,
            "test": metrics.evaluate(score, task.test, hidden),
            "cold": cold_tested(task, score, placed_N),
        }
