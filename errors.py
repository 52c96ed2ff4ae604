"""Every error Hopscribe raises on purpose. `cli.py` turns them into one message and an exit code.

    HopscribeError              exit 2 unless said otherwise
    ├── UsageError              a flag, a setting or a name is wrong
    ├── DataError               a file or a row the user gave us is wrong
    ├── PromptError             a template, its header or what it was given is wrong
    ├── StoreError              a ledger, a Chroma folder or a workspace cannot be used
    ├── ModelError              a model or an embedder cannot be used at all
    ├── TrainingError           training cannot go on: no number, no memory, no such device
    └── RunStopped              exit 3: the run ended early, everything finished is kept
        └── Interrupted         exit 130: the user asked for it

Anything else that escapes is a bug and keeps its traceback.
"""

from collections.abc import Iterable


class HopscribeError(Exception):
    """A message for a person, and a hint that says what to do next."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HopscribeError):
    """A flag, a setting or a name is wrong."""


class DataError(HopscribeError):
    """A file or a row is wrong; the message names both."""


class PromptError(HopscribeError):
    """A prompt template, its header or its inputs are wrong."""


class StoreError(HopscribeError):
    """Something on disk cannot be used or belongs to something else."""


class ModelError(HopscribeError):
    """A model or an embedder cannot be used at all: no key, no such model, no server."""


class TrainingError(HopscribeError):
    """Training cannot begin or go on; the message says what to lower or leave out."""


class RunStopped(HopscribeError):
    """The run ended before its last node; what was finished is in the ledger."""

    exit_code = 3


class Interrupted(RunStopped):
    """The user pressed Ctrl-C; `twice`, and calls in flight were dropped."""

    exit_code = 130

    def __init__(self, message: str, hint: str = "", twice: bool = False) -> None:
        super().__init__(message, hint)
        self.twice = twice


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not in a table; it lists the names that are."""
    return UsageError(f"Unknown {kind} {name!r}.", hint=f"Choose one of: {', '.join(known)}.")
