"""How a model or an embedder is reached: plain values made from the settings."""

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
