"""Which calls are wanted: the facets by which lists and sums are narrowed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Filter:
    """Which calls are wanted; None: all of them.

    `run` is an id, `stage` a stage's name, `status` accepted, rejected or failed. `prompt` is a
    name (`refine_user`), a version (`refine_user@1`) or a whole reference (`refine_user@1:4b92…`);
    the digest may be cut short. `model` is the model's name or its end (`gpt-4o-mini`). `repairs`
    True keeps repairs only, False first questions only.
    """

    run: str | None = None
    node: str | None = None
    hop: int | None = None
    stage: str | None = None
    status: str | None = None
    prompt: str | None = None
    model: str | None = None
    repairs: bool | None = None


@dataclass(frozen=True, slots=True)
class Facets:
    """What calls of one group have in common."""

    run: str
    stage: str
    hop: int
    turn: int
    prompt: str
    model: str
    status: str


FACETS = "run, stage, hop, turn, prompt, model, status"


def fits(wanted: Filter, has: Facets) -> bool:
    """Whether calls with these facets are wanted; the node is not looked at."""
    return (
        wanted.run in (None, has.run)
        and wanted.stage in (None, has.stage)
        and wanted.hop in (None, has.hop)
        and wanted.status in (None, has.status)
        and wanted.repairs in (None, has.turn > 0)
        and (wanted.prompt is None or named(has.prompt, wanted.prompt))
        and (wanted.model is None or is_model(has.model, wanted.model))
    )


def named(prompt: str, wanted: str) -> bool:
    """Whether a prompt's reference is what was meant: its name, version or (part of) its digest."""
    name, _, version = prompt.partition("@")
    number, _, digest = version.partition(":")
    if wanted in (name, f"{name}@{number}"):
        return True
    known, _, part = wanted.rpartition(":")
    return bool(part) and digest.startswith(part) and known in ("", name, f"{name}@{number}")


def is_model(model: str, wanted: str) -> bool:
    """Whether a model's name is what was meant: `openai:gpt-4o-mini`, or its end."""
    return model == wanted or model.endswith(f":{wanted}")
