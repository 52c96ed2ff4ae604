"""The next token of a llama.cpp model under a grammar, at the price of one without.

llama.cpp's Python binding tries the grammar on the whole vocabulary at each step: a tenth of a
second where that has 120,000 tokens. Here the model chooses freely first, and its choice is almost
always allowed. If it is not, the grammar picks among the likeliest tokens, and among all of them
only if none of those is left.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

LIKELIEST = 256
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Sampler:
    """Chooses the tokens of one reply. Opened with `sampling`, which frees it."""

    def __init__(self, llm: Any, chain: Any, grammar: Any) -> None:
        self._llm, self._chain, self._grammar = llm, chain, grammar
        self._vocab = llama_cpp.llama_model_get_vocab(llm.model)

    def next(self) -> int | None:
        """The token that follows what was evaluated last, or None at the end of the reply."""
        token = llama_cpp.llama_sampler_sample(self._chain, self._llm.ctx, -1)
        if not self._allowed(np.array([token]), np.zeros(1)).size:
            token = self._second_choice()
        if llama_cpp.llama_vocab_is_eog(self._vocab, token):
            return None
        llama_cpp.llama_sampler_accept(self._grammar, token)
        return int(token)

    def _second_choice(self) -> int:
        count = self._llm.n_vocab()
        pointer = llama_cpp.llama_get_logits_ith(self._llm.ctx, -1)
        logits = np.ctypeslib.as_array(pointer, shape=(count,))
        likeliest = np.argpartition(logits, -min(LIKELIEST, count))[-LIKELIEST:]
        for ids in (likeliest, np.arange(count)):
            left = self._allowed(ids, logits[ids])
            if left.size:
                return int(left["id"][_apply(self._chain, left).selected])
        raise RuntimeError("the vocabulary holds no token that the grammar allows")

    def _allowed(self, ids: NDArray[Any], logits: NDArray[Any]) -> NDArray[Any]:
        """The candidates that the grammar allows next."""
        candidates = np.zeros(len(ids), _CANDIDATE)
        candidates["id"], candidates["logit"] = ids, logits
        _apply(self._grammar, candidates)
        left: NDArray[Any] = candidates[np.isfinite(candidates["logit"])]
        return left


@contextmanager
def sampling(llm: Any, grammar: str, temperature: float, seed: int) -> Iterator[Sampler]:
    """A sampler for one reply. Raises ValueError for a grammar that llama.cpp does not accept."""
    vocab = llama_cpp.llama_model_get_vocab(llm.model)
    # No grammar at all is what llama.cpp makes of an empty one.
    rules = grammar and llama_cpp.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
    if not rules:
        raise ValueError(f"llama.cpp does not accept the grammar {grammar[:200]!r}")
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    try:
        for step in _steps(temperature, seed):
            llama_cpp.llama_sampler_chain_add(chain, step)
        yield Sampler(llm, chain, rules)
    finally:
        llama_cpp.llama_sampler_free(chain)
        llama_cpp.llama_sampler_free(rules)


def _steps(temperature: float, seed: int) -> list[Any]:
    """llama.cpp's own defaults."""
    if temperature == 0:
        return [llama_cpp.llama_sampler_init_greedy()]
    return [
        llama_cpp.llama_sampler_init_top_k(40),
        llama_cpp.llama_sampler_init_top_p(0.95, 1),
        llama_cpp.llama_sampler_init_min_p(0.05, 1),
        llama_cpp.llama_sampler_init_temp(temperature),
        llama_cpp.llama_sampler_init_dist(seed),
    ]


def _apply(sampler: Any, candidates: NDArray[Any]) -> Any:
    """Let llama.cpp work on the candidates in place."""
    pointer = candidates.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
    array = llama_cpp.llama_token_data_array(
        data=pointer, size=len(candidates), selected=-1, sorted=False
    )
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    return array
