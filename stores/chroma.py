"""How Chroma is opened: the folder of a workspace, or a server by its address.

On a server the collections of many workspaces lie side by side, so their names begin with the
workspace's own mark. It comes from a number in the workspace and from where that is: a copy of a
workspace does not write into the rows of the original. What was moved is filled again, without a
call, by `refine` or by `stores rebuild`.
"""

import sqlite3
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from errors import StoreError
from stores.connection import without
from stores.sqlite_file import check

MARK = "chroma.id"
OLDEST = 1
"""The first major version whose servers speak as our client does."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Chroma server. `key` goes with every request as a bearer token, "" for none; `timeout` is
    how many seconds an answer may take.
    """

    url: str
    key: str = field(default="", repr=False)
    timeout: float = 120.0


def open_folder(folder: Path) -> Any:
    """A client that owns the folder, which is made where it is missing."""
    import chromadb

    if (folder / "chroma.sqlite3").exists():
        check(folder / "chroma.sqlite3", 0)
    return chromadb.PersistentClient(path=str(folder), settings=_silent())


def open_server(server: Server) -> Any:
    """A client of a server. Raises StoreError where none answers there, or one of another kind."""
    import chromadb
    import httpx

    headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
    _prove(server, headers)
    client: Any = chromadb.HttpClient(server.url, headers=headers, settings=_silent())
    # Chroma waits for ever, also for a server that went away without a word.
    client._server._session.timeout = httpx.Timeout(server.timeout)
    return client


def _silent() -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False)


def _prove(server: Server, headers: dict[str, str]) -> None:
    """What HttpClient would say of a wrong address, or not at all, in words."""
    import httpx

    start = "Start one (chroma run --path DIR --port 8000) or correct --chroma http://HOST:PORT"
    try:
        answer = httpx.get(
            f"{server.url}/api/v2/version", headers=headers, timeout=min(server.timeout, 10)
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreError(
            f"No Chroma server can be reached at {server.url}: {error}.", hint=f"{start}."
        ) from error
    if answer.status_code in (401, 403):
        raise StoreError(
            f"The Chroma server {server.url} wants a key, or another one.",
            hint="Put it into HOPSCRIBE_CHROMA_KEY, in the environment or in .env.",
        )
    version = answer.text.strip().strip('"')
    major = version.partition(".")[0]
    if answer.status_code != 200 or not major.isdigit():
        raise StoreError(
            f"What answers at {server.url} is no Chroma server that we can use"
            f" (HTTP {answer.status_code} for its version).",
            hint=f"{start}; it must be Chroma {OLDEST}.0 or newer.",
        )
    if int(major) < OLDEST:
        raise StoreError(
            f"The Chroma server {server.url} is version {version[:20]}, which is too old.",
            hint=f"Update it to Chroma {OLDEST}.0 or newer.",
        )


def mark_of(workspace: Path) -> str:
    """What the names of a workspace's collections begin with on a server."""
    path = workspace / MARK
    try:
        if not path.exists():
            path.write_text(f"{uuid4().hex}\n", "utf-8")
        own = path.read_text("utf-8").strip()
    except OSError as error:
        raise StoreError(f"{path} cannot be used: {error.strerror}.") from error
    return f"hopscribe-{sha256(f'{own} {workspace.resolve()}'.encode()).hexdigest()[:16]}-"


class Told:
    """While this is entered, what Chroma raises becomes a StoreError.

    A class, because Chroma raises a bare `Exception` for an answer that it does not understand,
    such as a proxy's error page, and only that one must be caught.
    """

    def __init__(self, folder: Path, server: Server | None, what: str) -> None:
        self._folder, self._server, self._what = folder, server, what

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        import httpx
        from chromadb.errors import ChromaError

        theirs = (ChromaError, httpx.HTTPError, sqlite3.Error, OSError, ValueError)
        if kind is not Exception and not isinstance(error, theirs):
            return
        again = f"python cli.py stores rebuild --workspace {self._folder.parent}"
        if self._server is None:
            raise StoreError(
                f"The Chroma folder {self._folder} cannot be {self._what}: {error}.",
                hint=f"It can be made anew from the ledger, without a call: {again}",
            ) from error
        said = without(self._server.key, str(error) or type(error).__name__)[:300]
        raise StoreError(
            f"The descriptions on the Chroma server {self._server.url} cannot be {self._what}:"
            f" {said}.",
            hint="Nothing that was paid is lost. When the server answers, run the same command"
            f" again; what it has lost comes back from the ledger: {again} --chroma"
            f" {self._server.url}",
        ) from error
