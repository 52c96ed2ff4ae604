"""Prompts of a workspace: a file in its `prompts/` takes the place of the shipped one of that name.

Editing one asks again what its words change and nothing else: the ledger knows a question by its
rendered messages.
"""

from pathlib import Path

from errors import PromptError, UsageError
from prompts.library import Prompt, load, names


def in_force(folder: Path | None = None) -> dict[str, Prompt]:
    """Every prompt, by name: the file in `folder` where there is one, else the shipped one.

    Raises PromptError for a file that cannot be used, or whose name is not that of a prompt.
    """
    for name in strangers(folder):
        raise PromptError(
            f"{folder}/{name}.md takes the place of no prompt.",
            hint=f"The prompts are: {', '.join(names())}.",
        )
    return {name: chosen(name, folder) for name in names()}


def strangers(folder: Path | None) -> list[str]:
    """Files in `folder` whose name is not that of a prompt."""
    there = names(folder) if folder is not None and folder.is_dir() else []
    return sorted(set(there) - set(names()))


def chosen(name: str, folder: Path | None = None) -> Prompt:
    """The prompt in force. One's own returns the same reply, from the same inputs or fewer.

    Raises PromptError for one that does not, UsageError for an unknown name.
    """
    shipped = load(name)
    if folder is None or not (folder / f"{name}.md").is_file():
        return shipped
    return _fitting(load(name, folder), shipped, folder)


def _fitting(own: Prompt, shipped: Prompt, folder: Path) -> Prompt:
    path = folder / f"{own.name}.md"
    if own.header.reply != shipped.header.reply:
        raise PromptError(
            f"{path}: its reply is {own.header.reply}; it has to be {shipped.header.reply}.",
            hint="What comes back is checked and stored by that form.",
        )
    if strange := sorted(set(own.header.inputs) - set(shipped.header.inputs)):
        raise PromptError(
            f"{path}: there is no input {', '.join(strange)}.",
            hint=f"This prompt is given: {', '.join(shipped.header.inputs)}.",
        )
    return own


def eject(name: str, folder: Path) -> Path:
    """Copy a shipped prompt into `folder`, to be edited there; the new file.

    Raises UsageError for an unknown name or where there is such a file already.
    """
    shipped = load(name)
    path = folder / f"{name}.md"
    if path.exists():
        raise UsageError(
            f"{path} is there already.", hint="Edit it, or delete it to go back to the shipped one."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(shipped.source, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    return path
