"""What the verbs that train share: arrays and text from the stores, runs on disk, and the lessons.

data folder ─► Arrays ─┐
Chroma or a file ─► text ─► Task ─► a seed after the other ─► run folder

Of several processes (`training.group`) rank 0 alone touches files; the others get its arrays.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from errors import StoreError, UsageError
from settings import chroma_server, load
from stores import runs
from stores.arrays import Arrays, in_order, load_arrays
from stores.chroma import Server
from stores.workspace import claim, occupied
from training import checkpoint, curves
from training.experiment import (
    Outcome,
    Spec,
    Task,
    deviations,
    device_of,
    means,
    recommender,
    train_seed,
    tune,
)
from training.group import ALONE, Group
from training.half import must_pay
from training.step import walk
from training.trainer import Epoch, Progress
from verbs.against import against_none
from verbs.places import must_be_folder, workspace_of

Text = NDArray[np.float32]


@dataclass(frozen=True)
class Ground:
    """A workspace held by this process, or by rank 0 of its group, and its data as arrays."""

    folder: Path
    data: Path
    arrays: Arrays
    chroma: Server | None = None
    group: Group = ALONE


@dataclass(frozen=True)
class Lesson:
    """What is trained: settings, seeds, where, whether anew, whether tuned first."""

    spec: Spec
    seeds: list[int]
    device: str
    fresh: bool
    tune: bool


@dataclass(frozen=True)
class Board:
    """Who hears of a training: what is about to happen, each epoch, each try of --tune."""

    say: Callable[[str], None]
    epoch: Callable[[int, Epoch], None]


@dataclass(frozen=True)
class RunFolder:
    """Where a run is kept, its name, and the hash of what its numbers follow from."""

    folder: Path
    name: str
    owner: str


@contextmanager
def ground(
    data: Path, workspace: Path | None, chroma: str | None = None, group: Group = ALONE
) -> Iterator[Ground]:
    """Hold the workspace and load the data with its settled split; rank 0 does it for a group."""
    settings = load({"chroma": chroma}, Path.cwd())
    server = chroma_server(settings)
    must_be_folder(data)
    folder = workspace_of(data, workspace)
    if group.rank:
        yield Ground(folder, data, _shared_arrays(group), server, group)
        return
    with occupied(folder):
        arrays = load_arrays(data, folder / "split", settings.seed, partial(claim, folder))
        yield Ground(folder, data, _shared_arrays(group, arrays), server, group)


def _shared_arrays(group: Group, arrays: Arrays | None = None) -> Arrays:
    """Rank 0's arrays, on every rank."""
    parts = ("train", "val", "test")
    told = arrays and {**vars(arrays), **{k: torch.from_numpy(vars(arrays)[k]) for k in parts}}
    found = group.shared(told)
    return Arrays(**{**found, **{k: found[k].numpy() for k in parts}})


def hops_of(workspace: Path, server: Server | None = None) -> list[int]:
    """The hops at which every kind of node has a description."""
    from stores.descriptions import Descriptions, kept

    if not kept(workspace / "chroma", server):
        return []
    descriptions = Descriptions(workspace / "chroma", server)
    try:
        return descriptions.hops()
    finally:
        descriptions.close()


def text_of(place: Ground, hop: str | None, file: Path | None) -> tuple[Text, str]:
    """The text embeddings of `stored_text`, read by rank 0 for its group."""
    text, label = (None, "") if place.group.rank else stored_text(place, hop, file)
    found, label = place.group.shared((None if text is None else torch.from_numpy(text), label))
    return found.numpy(), label


def stored_text(place: Ground, hop: str | None, file: Path | None) -> tuple[Text, str]:
    """Text embeddings, shape (hops, nodes, width), and what they are called: `hop2`, `all`, `file`.

    From `file` where one is given, else from the workspace: one hop (the highest by default), or
    `all`. Raises UsageError where the workspace has no such hop.
    """
    if file is not None:
        from stores.embeddings_file import read_embeddings

        return read_embeddings(file, place.data, place.arrays)[None], "file"
    known = hops_of(place.folder, place.chroma)
    if not known:
        raise UsageError(
            f"The workspace {place.folder} has no descriptions to align with.",
            hint=f"Write them first: python cli.py refine --data {place.data} --workspace "
            f"{place.folder}; or give --embeddings FILE, or --align none. If they are on a Chroma "
            "server, name it: --chroma http://HOST:8000.",
        )
    wanted = known if hop == "all" else [known[-1] if hop is None else _number(hop)]
    if not set(wanted) <= set(known):
        raise UsageError(
            f"--hop {hop}: the workspace {place.folder} has hops {', '.join(map(str, known))}.",
            hint=f"Write more: python cli.py refine --hops {hop} --data {place.data} "
            f"--workspace {place.folder}",
        )
    if hop != "all":
        return _hop(place, wanted[0])[None], f"hop{wanted[0]}"
    first = _hop(place, wanted[0])
    # Filled layer by layer: a list of them and its stack would be everything twice.
    text = np.empty((len(wanted), *first.shape), dtype=np.float32)
    text[0] = first
    for row, one in enumerate(wanted[1:], 1):
        text[row] = _hop(place, one)
    return text, "all"


def _hop(place: Ground, hop: int) -> Text:
    from stores.descriptions import Descriptions

    descriptions = Descriptions(place.folder / "chroma", place.chroma)
    try:
        stored = [descriptions.vectors(kind, hop) for kind in ("user", "item")]
    finally:
        descriptions.close()
    found = {node: row for nodes, rows in stored for node, row in zip(nodes, rows, strict=True)}
    hint = f"python cli.py refine --hops {hop} --data {place.data} --workspace {place.folder}"
    return in_order(found, place.arrays, f"Write what is missing: {hint}")


def _number(hop: str) -> int:
    if not hop.isdecimal():
        raise UsageError(f"--hop {hop!r} is no hop.", hint="Give a number, or all.")
    return int(hop)


def task_of(place: Ground, text: Text, device: str) -> Task:
    arrays = place.arrays
    parts = [torch.from_numpy(part) for part in (arrays.train, arrays.val, arrays.test)]
    users, items, group = len(arrays.users), len(arrays.items), place.group
    return Task.of(users, items, parts, torch.from_numpy(text), device_of(device, group), group)


def no_text(place: Ground) -> Text:
    """For a recommender that reads none."""
    return np.zeros((1, len(place.arrays.users) + len(place.arrays.items), 1), dtype=np.float32)


def train(place: Ground, lesson: Lesson, text: Text, label: str, board: Board) -> dict[str, Any]:
    """Train every seed, keep the run, and sum it up. What was finished before is not done again.

    Ranks other than 0 only take part, and return nothing.
    """
    task, spec, seeds = task_of(place, text, lesson.device), lesson.spec, lesson.seeds
    if spec.half:
        must_pay(task.graph.user_P.device)
    if spec.plan.fanouts:
        # Before anything is written: a refusal must leave no run behind.
        walk(recommender(task, spec, seeds[0]).backbone, spec.plan.fanouts)
    with runs.writing(place.folder / "runs"):
        return _trained(place, task, lesson, text, label, board)


def _trained(
    place: Ground, task: Task, lesson: Lesson, text: Text, label: str, board: Board
) -> dict[str, Any]:
    spec, seeds = lesson.spec, lesson.seeds
    fresh = set(seeds) if lesson.fresh else set()
    if lesson.tune:
        spec = _tuned(place, task, lesson, text, label, board)
        fresh.discard(seeds[0])
    kept = _run_folder(place, task, spec, text, label)
    outcomes, histories = [], {}
    for seed in seeds:
        board.say(f"{kept.name}, seed {seed}")
        outcome, history, nodes = _seed(kept, task, spec, seed, seed in fresh, board)
        outcomes.append(outcome)
        histories[seed] = history
        if seed == seeds[0] and not task.group.rank:
            arrays = place.arrays
            runs.write_embeddings(kept.folder, runs.Embeddings(arrays.users, arrays.items, nodes))
    if task.group.rank:
        return {}
    curves.draw(kept.folder / "curves.png", kept.name, histories)
    record = {
        "name": kept.name,
        "settled": place.arrays.settled,
        "backbone": spec.backbone,
        "align": spec.align,
        "shuffled": spec.shuffled,
        "hop": label,
        "device": str(task.graph.user_P.device),
        "processes": task.group.size,
        "settings": json.loads(json.dumps(asdict(spec))),
        "seeds": [asdict(outcome) for outcome in outcomes],
        "finished": datetime.now(UTC).isoformat(),
    }
    runs.write_record(kept.folder, {**record, "seeds": _with_earlier(kept, record)})
    return _summary(place, kept.folder, record)


def _with_earlier(kept: RunFolder, record: dict[str, Any]) -> list[dict[str, Any]]:
    """The seeds of a record and those that an earlier command trained beside them."""
    known: dict[int, dict[str, Any]] = {}
    with suppress(StoreError):
        earlier = runs.read_record(kept.folder)
        if earlier["settled"] == record["settled"]:
            known = {one["seed"]: one for one in earlier["seeds"]}
    known |= {one["seed"]: one for one in record["seeds"]}
    return [known[seed] for seed in sorted(known)]


def _run_folder(place: Ground, task: Task, spec: Spec, text: Text, label: str) -> RunFolder:
    device = task.graph.user_P.device
    owner = _owner(place.arrays, spec, text, [device.type, task.group.size])
    name = f"{spec.backbone}-{spec.align}{'-shuffled' * spec.shuffled}-{label}-{owner[:8]}"
    return RunFolder(place.folder / "runs" / name, name, owner)


def _seed(
    kept: RunFolder, task: Task, spec: Spec, seed: int, fresh: bool, board: Board
) -> tuple[Outcome, list[Epoch], Text]:
    """Train a seed from where its checkpoint stands, of which rank 0 tells the others."""
    if task.group.rank:
        progress = Progress.from_dict(task.group.shared(None))
        outcome, nodes = train_seed(task, spec, seed, progress, lambda _: None)
        return outcome, progress.epochs, nodes.cpu().numpy()
    folder = kept.folder / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pt"
    if fresh:
        path.unlink(missing_ok=True)
    progress = checkpoint.load(path, f"{kept.owner}-{seed}")
    task.group.shared(progress.as_dict())
    with curves.events(folder) as write:

        def on_epoch(now: Progress) -> None:
            epoch = now.epochs[-1]
            write(epoch)
            board.epoch(seed, epoch)
            if epoch.val is not None:
                checkpoint.save(path, now, f"{kept.owner}-{seed}")

        outcome, nodes = train_seed(task, spec, seed, progress, on_epoch)
    return outcome, progress.epochs, nodes.cpu().numpy()


def _tuned(place: Ground, task: Task, lesson: Lesson, text: Text, label: str, board: Board) -> Spec:
    """The spec with the best of the grid. Each try is kept where a run of its settings is kept."""
    quiet = replace(board, epoch=lambda seed, one: None)

    def learn(spec: Spec) -> Outcome:
        kept = _run_folder(place, task, spec, text, label)
        return _seed(kept, task, spec, lesson.seeds[0], lesson.fresh, quiet)[0]

    def tried(options: dict[str, float], value: float) -> None:
        words = ", ".join(f"{k} {v:g}" for k, v in options.items())
        board.say(f"tried {words}: validation recall@20 {value:.4f}")

    best = tune(lesson.spec, learn, tried)
    board.say("chosen: " + ", ".join(f"{k} {v:g}" for k, v in best.items()))
    return replace(lesson.spec, align_options={**lesson.spec.align_options, **best})


def _owner(arrays: Arrays, spec: Spec, text: Text, machine: list[Any]) -> str:
    """Names everything that changes a run's numbers, but the seed; the number of processes too."""
    facts = json.dumps([arrays.digest, asdict(spec), machine], sort_keys=True)
    found = hashlib.sha256(facts.encode())
    for array in (arrays.train, arrays.val, text):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _summary(place: Ground, folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What `train` prints, as design.md lists it, and the test against `none`."""
    seeds = record["seeds"]
    return {
        "run": str(folder),
        **{k: record[k] for k in ("backbone", "align", "shuffled", "hop", "device", "processes")},
        "seeds": [one["seed"] for one in seeds],
        "epochs": [one["epochs"] for one in seeds],
        "best_epoch": [one["best_epoch"] for one in seeds],
        "epoch_seconds": means([{"s": one["epoch_seconds"]} for one in seeds])["s"],
        "val": means([one["val"] for one in seeds]),
        "test": means([one["test"] for one in seeds]),
        "test_std": deviations([one["test"] for one in seeds]),
        "cold": means([one["cold"] for one in seeds]),
        "against_none": against_none(place.folder, record),
    }
