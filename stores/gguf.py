"""GGUF files and llama.cpp: what a file is, and how it is loaded for a model or an embedder."""

import ctypes
import importlib.util
import os
import threading
from collections import deque
from hashlib import sha256
from pathlib import Path
from typing import Any

from errors import ModelError, UsageError
from stores.connection import Connection

MAGIC = b"GGUF"
_SAMPLE = 1 << 20
# While it loads, llama_cpp points the process's stdout and stderr elsewhere. Two loads at once
# could put them back in the wrong order, and everything printed after that would be lost.
_LOADING = threading.Lock()
_ERROR = 4
_complaints: deque[str] = deque(maxlen=3)
_listener: Any = None


def gguf_path(connection: Connection, example: str) -> Path:
    """The file a connection names. Raises UsageError for none, ModelError for an unusable one."""
    if not connection.model:
        raise UsageError(f"{connection.provider}: needs a file.", hint=f"For example {example}.")
    path = Path(connection.model).expanduser()
    if importlib.util.find_spec("llama_cpp") is None:
        raise ModelError(
            f"{path.name} needs the package llama-cpp-python, which is not installed.",
            hint="pip install -e '.[local]'",
        )
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}.", hint="Give the path of a .gguf.") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    if magic != MAGIC:
        raise ModelError(
            f"{path} is not a GGUF file.",
            hint="Models for llama.cpp come as .gguf; others have to be converted first.",
        )
    return path


def fingerprint(*paths: Path) -> str:
    """What tells one model's files from another's: their sizes and three samples of each.

    A hash of every byte would take minutes for what is opened in a second.
    """
    said = sha256()
    for path in paths:
        size = path.stat().st_size
        said.update(f"{path.name if len(paths) > 1 else ''} {size} ".encode())
        with path.open("rb") as file:
            for start in sorted({0, max(0, size // 2), max(0, size - _SAMPLE)}):
                file.seek(start)
                said.update(file.read(_SAMPLE))
    return said.hexdigest()[:16]


def load(path: Path, connection: Connection, **options: Any) -> Any:
    """A `llama_cpp.Llama`. Raises ModelError when the file turns out to be no model."""
    # A failed assertion would fork a debugger that keeps our stdout open and never ends.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    try:
        from llama_cpp import Llama
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"llama-cpp-python cannot be loaded: {error}", hint="pip install -e '.[local]'"
        ) from error
    _listen()
    common: dict[str, Any] = {
        "n_gpu_layers": connection.n_gpu_layers,
        "n_threads": connection.threads,
        "n_threads_batch": connection.threads,
        "verbose": False,
    }
    with _LOADING:
        _complaints.clear()
        try:
            return Llama(str(path), **common, **options)
        except (ValueError, RuntimeError, AssertionError) as error:
            raise ModelError(
                f"llama.cpp cannot load {path}: {' '.join(_complaints) or error}",
                hint="The file may be cut short, of a kind this llama.cpp does not know, or too "
                "large for the memory there is: try a smaller n_ctx.",
            ) from error


def _listen() -> None:
    """Keep what llama.cpp says from the terminal, and its errors for ours."""
    global _listener
    if _listener is not None:
        return
    import llama_cpp

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def listener(level: int, text: bytes, _: object) -> None:
        if level == _ERROR:
            _complaints.append(text.decode("utf-8", "replace").strip())

    _listener = listener
    llama_cpp.llama_log_set(_listener, ctypes.c_void_p(0))
