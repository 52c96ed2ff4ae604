"""A tiny llama model with random weights, made here in a second: no download, and no meaning.

    python -m tests.tiny_gguf OUT.gguf

Its vocabulary is learnt from our own prompts, and a constant in the first dimension of the residual
stream turns the first column of the output matrix into a bias per token. So it writes whole English
words, closes its strings after a while, and under a grammar most of its replies are usable.
"""

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np

ROOT = Path(__file__).parent.parent
STOP_WORDS = """the of and to in is for on that with as it by at from this an be are who they their
which or not but has have more most some very so than into also about a""".split()
PIECES = 1400
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPACE = "\u2581"
SPECIAL = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
WIDTH, LAYERS, HEADS, HIDDEN = 32, 1, 2, 64


def make(
    path: Path,
    context: int = 8192,
    raw_bytes: bool = False,
    template: str | None = TEMPLATE,
    quote: float = 6.0,
) -> Path:
    """Write the model. With `raw_bytes` it writes any bytes it is allowed to, and no words.

    `quote` is how willingly it ends a string, as a logit.
    """
    words = _words()
    pieces = _pieces(words)
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    kind = gguf.TokenType
    types = [kind.UNKNOWN, *[kind.CONTROL] * 4, *[kind.BYTE] * 256, *[kind.NORMAL] * len(pieces)]
    scores = [0.0] * (len(SPECIAL) + 256) + [-float(rank) for rank in range(len(pieces))]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny random llama")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types([int(one) for one in types])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(4)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    if template is not None:
        writer.add_chat_template(template)
    _add_weights(writer, _bias(tokens, set(words), raw_bytes, quote))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _words() -> Counter[str]:
    """The words of our prompts, and the small ones that make a text English."""
    text = " ".join(path.read_text("utf-8") for path in sorted((ROOT / "prompts").glob("*.md")))
    words = Counter(word for word in text.casefold().split() if word.isascii() and word.isalpha())
    return words + Counter(dict.fromkeys(STOP_WORDS, 50))


def _pieces(words: Counter[str]) -> list[str]:
    """Byte pair encoding in the form that llama.cpp's SentencePiece reads: best merge first."""
    spelt = {word: list(SPACE + word) for word in words}
    pieces: dict[str, None] = {}
    while len(pieces) < PIECES:
        pairs: Counter[str] = Counter()
        for word, parts in spelt.items():
            for left, right in pairwise(parts):
                pairs[left + right] += words[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        pieces[best] = None
        for word, parts in spelt.items():
            spelt[word] = _merged(parts, best)
    bare = [word for word in words if len(word) > 1]
    single = [SPACE, *map(chr, range(33, 127)), *"éüñ⟦⟧"]
    return list(dict.fromkeys([*pieces, *bare, *single]))


def _merged(parts: list[str], pair: str) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and merged[-1] + part == pair:
            merged[-1] = pair
        else:
            merged.append(part)
    return merged


def _bias(tokens: list[str], words: set[str], raw_bytes: bool, quote: float) -> np.ndarray:
    """How willingly each token is written, as a logit."""
    bias = np.full(len(tokens), -6.0, np.float32)
    for place, token in enumerate(tokens):
        if place < len(SPECIAL) - 1 or (5 <= place < 261 and not raw_bytes):
            bias[place] = -40.0
        elif token.startswith(SPACE) and token[1:] in STOP_WORDS:
            bias[place] = 4.0
        elif token.startswith(SPACE) and token[1:] in words:
            bias[place] = 3.0
        elif token in words and len(token) > 3:
            bias[place] = -1.0
    bias[len(SPECIAL) - 1] = 8.0
    bias[tokens.index('"')] = quote
    if raw_bytes:
        bias[261:] = -8.0
        bias[5:261] = 0.0
        bias[tokens.index('"')] = 2.0
    return bias


def _add_weights(writer: gguf.GGUFWriter, bias: np.ndarray) -> None:
    draw = np.random.default_rng(0)

    def add(name: str, rows: int, columns: int, scale: float = 0.0) -> None:
        values = draw.normal(0, scale or columns**-0.5, (rows, columns)).astype(np.float32)
        if name == "token_embd.weight":
            values[:, 0] = 4.0
        elif name == "output.weight":
            values[:, 0] = bias / 3.0
        elif name.endswith(("attn_output.weight", "ffn_down.weight")):
            values[0, :] = 0.0
        writer.add_tensor(name, values)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    add("token_embd.weight", len(bias), WIDTH, 1.0)
    add("output.weight", len(bias), WIDTH)
    norm("output_norm.weight")
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        norm(block + "attn_norm.weight")
        norm(block + "ffn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}{name}.weight", WIDTH, WIDTH)
        add(block + "ffn_gate.weight", HIDDEN, WIDTH)
        add(block + "ffn_up.weight", HIDDEN, WIDTH)
        add(block + "ffn_down.weight", WIDTH, HIDDEN)


def make_encoder(path: Path, context: int = 128) -> Path:
    """Write a tiny BERT: it only embeds, and has no more positions than its context."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(SPACE + chr(code) for code in range(33, 127))]
    tokens += [chr(code) for code in range(33, 127)]
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.CLS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([int(gguf.TokenType.CONTROL)] * 4 + [1] * (len(tokens) - 4))
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    draw = np.random.default_rng(0)
    shapes = {"token_embd": len(tokens), "position_embd": context, "token_types": 2}
    shapes |= {f"blk.0.{name}": WIDTH for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes["blk.0.ffn_up"] = HIDDEN
    for name, rows in shapes.items():
        values = draw.normal(0, WIDTH**-0.5, (rows, WIDTH)).astype(np.float32)
        writer.add_tensor(f"{name}.weight", values)
        if name.startswith("blk"):
            writer.add_tensor(f"{name}.bias", np.zeros(rows, np.float32))
    down = draw.normal(0, HIDDEN**-0.5, (WIDTH, HIDDEN)).astype(np.float32)
    writer.add_tensor("blk.0.ffn_down.weight", down)
    writer.add_tensor("blk.0.ffn_down.bias", np.zeros(WIDTH, np.float32))
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
