"""What a workspace holds, handed to others: a folder of files in one of three formats.

    parquet   every description with its embedding, and a trained run's node embeddings
    rlmrec    RLMRec's pickles and mappers
    recbole   RecBole's atomic files

The folder is filled beside its place and renamed, so a failed export leaves nothing. An earlier
export of the same format is replaced, anything else is left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import StoreError, UsageError, unknown
from stores import runs
from stores.chroma import Server
from stores.descriptions import Descriptions, kept
from stores.exports import recbole, rlmrec, tables
from stores.exports.material import Data, Material, Trained
from stores.new_folder import check_place, new_folder


@dataclass(frozen=True)
class Format:
    """`names` are the files it writes; `write` fills a folder. `layered`: it holds every hop."""

    names: Callable[[str], tuple[str, ...]]
    write: Callable[[Path, str, Material], dict[str, Any]]
    layered: bool = False


@dataclass(frozen=True)
class Asked:
    """Which format, where to, and of what: a hop and a run, or None for the format's default."""

    format: str
    out: Path
    hop: int | None = None
    run: str | None = None


@dataclass(frozen=True)
class Exported:
    """The files that were written, and how much is in them."""

    files: list[Path]
    counts: dict[str, Any]


def exported(asked: Asked, workspace: Path, data: Data, server: Server | None = None) -> Exported:
    """Write an export; the workspace is held by the caller.

    Without a hop parquet takes every one, the others the highest that users and items have.
    Without a run parquet takes the newest, if there is one. Raises UsageError for a format, hop
    or run that is not there, DataError for an `out` that holds other files.
    """
    if asked.format not in FORMATS:
        raise unknown("export format", asked.format, FORMATS)
    chosen, name = FORMATS[asked.format], asked.out.resolve().name
    if asked.run is not None and not chosen.layered:
        raise UsageError("--run is for --format parquet: the others hold no trained embeddings.")

    def ours(file: str) -> bool:
        return file in chosen.names(name)

    check_place(asked.out, ours)
    trained = _trained(workspace, asked.run, data) if chosen.layered else None
    stored = _stored(workspace, server)
    try:
        material = Material(data, workspace, stored, _hops(stored, asked, workspace), trained)
        counts = _written(asked.out, ours, chosen, name, material)
    finally:
        if stored is not None:
            stored.close()
    return Exported([asked.out / one.name for one in sorted(asked.out.iterdir())], counts)


def _written(
    out: Path, ours: Callable[[str], bool], chosen: Format, name: str, material: Material
) -> dict[str, Any]:
    try:
        with new_folder(out, ours) as folder:
            return chosen.write(folder, name, material)
    except OSError as error:
        raise StoreError(
            f"{out} cannot be written: {error.strerror or error}.", hint="Nothing was left behind."
        ) from error


def _stored(workspace: Path, server: Server | None) -> Descriptions | None:
    """The descriptions, if there are any."""
    if not kept(workspace / "chroma", server):
        return None
    stored = Descriptions(workspace / "chroma", server)
    if stored.layers():
        return stored
    stored.close()
    return None


def _hops(stored: Descriptions | None, asked: Asked, workspace: Path) -> list[int]:
    layered = FORMATS[asked.format].layered
    if stored is None:
        if layered and asked.hop is None:
            return []
        raise UsageError(
            f"The workspace {workspace} has no descriptions to export.",
            hint=f"Write them first: python cli.py refine --data DATA --workspace {workspace}",
        )
    known = sorted({hop for _, hop in stored.layers()}) if layered else stored.hops()
    if not known:
        raise UsageError(
            f"No hop of the workspace {workspace} has descriptions of both users and items.",
            hint=f"Write them: python cli.py refine --data DATA --workspace {workspace}",
        )
    if asked.hop is not None and asked.hop not in known:
        raise UsageError(
            f"--hop {asked.hop}: the workspace {workspace} has hops {', '.join(map(str, known))}.",
            hint=f"Write more: python cli.py refine --hops {asked.hop} --data DATA "
            f"--workspace {workspace}",
        )
    if asked.hop is not None:
        return [asked.hop]
    return known if layered else known[-1:]


def _trained(workspace: Path, run: str | None, data: Data) -> Trained | None:
    done = (record["settled"] for _, record in runs.finished(workspace))
    if run is None and data.settled not in done:
        return None
    folder, record = runs.named(workspace, run, data.settled)
    found = runs.read_embeddings(folder, sorted(data.users), sorted(data.items))
    return Trained(str(record["name"]), found)


FORMATS: dict[str, Format] = {
    "parquet": Format(tables.names, tables.write, layered=True),
    "rlmrec": Format(rlmrec.names, rlmrec.write),
    "recbole": Format(recbole.names, recbole.write),
}
