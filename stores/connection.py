"""How a model or an embedder is reached: plain values made from the settings."""

import logging
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens."""

    input: float
    output: float = 0.0


@dataclass(frozen=True, slots=True)
class Connection:
    """`provider` picks the class, `model` is its name there or a path, `url` its address or "".

    `temperature` None leaves the server's default, `price` None means that no price was set here.
    The last three concern models that run in this process.
    """

    provider: str
    model: str = ""
    url: str = ""
    key: str = field(default="none", repr=False)
    temperature: float | None = 0.0
    timeout: float = 120.0
    price: Price | None = None
    n_ctx: int = 8192
    n_gpu_layers: int = 0
    threads: int | None = None


def without(key: str, said: str) -> str:
    """What a server said, without our key: some repeat the headers of a request."""
    return said.replace(key, "[key]") if len(key) >= 8 else said


class _Hidden(logging.Filter):
    """Takes keys out of what the openai client logs: it trusts a server's request id."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        for key in self.keys:
            said = without(key, said)
        record.msg, record.args = said, ()
        return True


_HIDDEN = _Hidden()


def hide(key: str) -> None:
    """Keep a key out of the logs that OPENAI_LOG turns on."""
    _HIDDEN.keys.add(key)
    logging.getLogger("openai._base_client").addFilter(_HIDDEN)
