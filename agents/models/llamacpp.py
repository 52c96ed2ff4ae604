"""A GGUF model in this process, through llama-cpp-python's low-level interface.

llama.cpp is not thread-safe: everything that touches a model happens in its one worker thread, and
calls wait their turn before they take a slot. What a prompt has in common with the one before is
not evaluated again, so the questions of one prompt should come one after the other, as they do.

The seed is fixed, but an answer is not guaranteed to the bit: what was reused and what was
evaluated anew are the same numbers only up to rounding.
"""

import asyncio
import ctypes
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agents.models import grammar
from agents.models.base import Answer, Declined, Held, Request
from errors import ModelError
from prompts.library import Message
from stores.connection import Connection
from stores.gguf import fingerprint, gguf_path, load

SEED = 1  # llama.cpp takes 0 for a random one
DEFAULT_TEMPERATURE = 0.8  # llama.cpp's own
BATCH = 512


class LlamaCpp:
    """One model file. `prompt_tokens` were sent so far, `evaluated_tokens` of them evaluated."""

    endpoint = "in process"
    writes_any_language = True
    learnt = ""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._path = gguf_path(connection, "llamacpp:models/model.gguf")
        temperature = connection.temperature
        self._temperature = DEFAULT_TEMPERATURE if temperature is None else temperature
        self.name = f"llamacpp:{self._path.name}"
        self.parameters: Mapping[str, Any] = {
            "temperature": self._temperature,
            "file": fingerprint(self._path),
            "grammar": grammar.VERSION,
        }
        self.prompt_tokens = 0
        self.evaluated_tokens = 0
        self._llm: Any = None
        self._template: Any = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=self._path.name)
        self._free = asyncio.Lock()
        self._closing = threading.Event()

    async def complete(self, request: Request, turn: Held) -> Answer:
        rules = grammar.gbnf(grammar.schema_text(request.schema), request.max_words)
        dropped = threading.Event()
        async with self._free, turn:
            answering = asyncio.get_running_loop().run_in_executor(
                self._worker, self._answer, request, rules, dropped
            )
            try:
                return await answering
            except asyncio.CancelledError:
                dropped.set()
                raise

    def price(self, input_tokens: int | None, output_tokens: int | None) -> int | None:
        return 0

    async def close(self) -> None:
        """Stop what is being written, unload the model, end the thread."""
        self._closing.set()
        await asyncio.get_running_loop().run_in_executor(self._worker, self._unload)
        self._worker.shutdown()

    # In the worker thread

    def _answer(self, request: Request, rules: str, dropped: threading.Event) -> Answer:
        llm = self._loaded()
        from agents.models.sampling import sampling

        tokens = self._tokens(request.messages)
        self._check_length(len(tokens), request.max_tokens)
        written: list[int] = []
        try:
            with sampling(llm, rules, self._temperature, SEED) as sampler:
                self._read(tokens, dropped)
                while (token := sampler.next()) is not None and len(written) < request.max_tokens:
                    written.append(token)
                    llm.eval([token])
                    self._check_wanted(dropped)
        except RuntimeError as error:
            raise ModelError(f"{self.name}: llama.cpp failed: {error}") from error
        finish = "stop" if token is None else "length"
        return Answer(self._text(written), finish, len(tokens), len(written))

    def _check_wanted(self, dropped: threading.Event) -> None:
        if dropped.is_set() or self._closing.is_set():
            raise ModelError(f"{self.name} was closed, or its call dropped.")

    def _read(self, tokens: list[int], dropped: threading.Event) -> None:
        """Evaluate a prompt, except for what it has in common with what was evaluated last."""
        import llama_cpp

        llm = self._llm
        kept = _shared(llm.input_ids[: llm.n_tokens].tolist(), tokens[:-1])
        memory = llama_cpp.llama_get_memory(llm.ctx)
        # Some kinds of models cannot forget the end of what they read.
        if kept and llama_cpp.llama_memory_seq_rm(memory, 0, kept, -1):
            llm.n_tokens = kept
        else:
            kept = 0
            llm.reset()
        self.prompt_tokens += len(tokens)
        for start in range(kept, len(tokens), BATCH):
            self._check_wanted(dropped)
            part = tokens[start : start + BATCH]
            llm.eval(part)
            self.evaluated_tokens += len(part)

    def _loaded(self) -> Any:
        if self._closing.is_set():
            raise ModelError(f"{self.name} was closed.")
        if self._llm is None:
            llm = load(self._path, self._connection, n_ctx=self._connection.n_ctx, n_batch=BATCH)
            import llama_cpp

            if not llama_cpp.llama_get_memory(llm.ctx):
                llm.close()
                raise ModelError(
                    f"{self._path} is an encoder: it writes nothing.",
                    hint="Use it as --embedder instead.",
                )
            self._template = _chat_template(llm)
            self._llm = llm
        return self._llm

    def _unload(self) -> None:
        if self._llm is not None:
            self._llm.close()
            self._llm = None

    def _tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt in the form that the model was trained on, with one BOS if it wants one."""
        import llama_cpp

        llm = self._llm
        text = self._rendered([{"role": role, "content": said} for role, said in messages])
        tokens: list[int] = llm.tokenize(text.encode("utf-8", "replace"), False, True)
        begin = llm.token_bos()
        wants_bos = llama_cpp.llama_vocab_get_add_bos(llama_cpp.llama_model_get_vocab(llm.model))
        if wants_bos and begin >= 0 and tokens[:1] != [begin]:
            return [begin, *tokens]
        return tokens

    def _rendered(self, messages: list[dict[str, str]]) -> str:
        from jinja2 import TemplateError

        # A model that would think first cannot do so inside of our grammar.
        options = {"enable_thinking": False}
        try:
            return str(self._template(messages=messages, **options).prompt)
        except (TemplateError, ValueError):
            pass
        # Some templates know no system message: it goes before the first question.
        system, question, *rest = messages
        first = {**question, "content": f"{system['content']}\n\n{question['content']}"}
        try:
            return str(self._template(messages=[first, *rest], **options).prompt)
        except (TemplateError, ValueError, TypeError) as error:
            raise ModelError(f"{self.name}: its chat template fails: {error}") from error

    def _check_length(self, tokens: int, max_tokens: int) -> None:
        import llama_cpp

        most, trained = self._llm.n_ctx(), llama_cpp.llama_model_n_ctx_train(self._llm.model)
        trained = trained or most
        if tokens + max_tokens <= min(most, trained):
            return
        remedy = "raise n_ctx" if most < trained else "the model was made for no more"
        raise Declined(
            f"The prompt has {tokens:,} tokens and the reply needs room for {max_tokens:,}, but "
            f"the context holds {min(most, trained):,}: {remedy}, or lower evidence_tokens."
        )

    def _text(self, tokens: list[int]) -> str:
        import llama_cpp

        vocab = llama_cpp.llama_model_get_vocab(self._llm.model)
        ids = (llama_cpp.llama_token * len(tokens))(*tokens)
        # The binding's own detokenize takes no piece of more than 32 bytes.
        size = -llama_cpp.llama_detokenize(vocab, ids, len(tokens), b"", 0, False, False)
        text: Any = ctypes.create_string_buffer(max(1, size))
        llama_cpp.llama_detokenize(vocab, ids, len(tokens), text, size, False, False)
        return bytes(text.raw[:size]).decode("utf-8", "replace")


def _chat_template(llm: Any) -> Any:
    """The chat template in the file, or else ChatML."""
    from jinja2 import TemplateError
    from llama_cpp.llama_chat_format import CHATML_CHAT_TEMPLATE, Jinja2ChatFormatter

    def special(token: int) -> str:
        return (
            llm.detokenize([token], special=True).decode("utf-8", "replace") if token >= 0 else ""
        )

    try:
        return Jinja2ChatFormatter(
            template=llm.metadata.get("tokenizer.chat_template", CHATML_CHAT_TEMPLATE),
            bos_token=special(llm.token_bos()),
            eos_token=special(llm.token_eos()),
        )
    except TemplateError as error:
        raise ModelError(f"{llm.model_path}: its chat template cannot be read: {error}") from error


def _shared(before: list[int], now: list[int]) -> int:
    """How many tokens two prompts begin with in common."""
    for place, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            return place
    return min(len(before), len(now))
