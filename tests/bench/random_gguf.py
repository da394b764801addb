"""A GGUF of the shape of a chat model with half a billion parameters, its weights random, in Q4_0.

For speed and for cancels in the middle of a prompt, where the demo model is too fast; what it writes is noise. Its
vocabulary and template are the demo model's. About 200 MB, written in a second or two; the same bytes each time.

Run: python -m tests.bench.random_gguf OUT.gguf
"""

import random
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llm_service.engines.gguf import key_values
from llm_service.settings import DEMO_MODEL

_U32, _I32, _F32, _BOOL, _TEXT, _ARRAY = 4, 5, 6, 7, 8, 9  # kinds of values
_F32_TENSOR, _Q4_0 = 0, 2  # kinds of tensors
_BLOCK, _BLOCK_BYTES = 32, 18  # weights of a Q4_0 block; its bytes: a half-precision scale and 32 numbers of 4 bits
_SCALE = 0.0043  # makes weights with a standard deviation of 0.02
_ALIGNMENT = 32
_SEED = 1


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a llama; the defaults make about 360 million parameters."""

    width: int = 896
    layers: int = 24
    inner: int = 4864
    heads: int = 14
    key_heads: int = 2
    context: int = 4096


def write(path: Path, shape: Shape | None = None) -> None:
    """Write the file."""
    shape = shape or Shape()
    tokens, merges, kinds, template = key_values(
        DEMO_MODEL,
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.token_type",
        "tokenizer.chat_template",
    )
    assert isinstance(tokens, list)
    values = [*_sizes(shape, len(tokens)), *_vocabulary(tokens, merges, kinds, template)]
    tensors = list(_tensors(shape, len(tokens)))
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)))
        for key, kind, value in values:
            file.write(_text(key) + struct.pack("<I", kind) + value)
        _write_tensors(file, tensors)


def _sizes(shape: Shape, vocabulary: int) -> list[tuple[str, int, bytes]]:
    numbers = {
        "context_length": shape.context,
        "embedding_length": shape.width,
        "block_count": shape.layers,
        "feed_forward_length": shape.inner,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.key_heads,
        "rope.dimension_count": shape.width // shape.heads,
        "vocab_size": vocabulary,
    }
    return [
        ("general.architecture", _TEXT, _text("llama")),
        *((f"llama.{name}", _U32, struct.pack("<I", number)) for name, number in numbers.items()),
        ("llama.attention.layer_norm_rms_epsilon", _F32, struct.pack("<f", 1e-5)),
    ]


def _vocabulary(tokens: object, merges: object, kinds: object, template: object) -> list[tuple[str, int, bytes]]:
    assert isinstance(tokens, list)
    assert isinstance(merges, list)
    assert isinstance(kinds, list)
    assert isinstance(template, bytes)
    named = {
        "model": (_TEXT, _text("gpt2")),
        "pre": (_TEXT, _text("qwen2")),
        "tokens": (_ARRAY, struct.pack("<IQ", _TEXT, len(tokens)) + b"".join(map(_text, tokens))),
        "merges": (_ARRAY, struct.pack("<IQ", _TEXT, len(merges)) + b"".join(map(_text, merges))),
        "token_type": (_ARRAY, struct.pack(f"<IQ{len(kinds)}i", _I32, len(kinds), *kinds)),
        "bos_token_id": (_U32, struct.pack("<I", 0)),
        "eos_token_id": (_U32, struct.pack("<I", 2)),
        "add_bos_token": (_BOOL, b"\0"),
    }
    found = [(f"tokenizer.ggml.{name}", kind, value) for name, (kind, value) in named.items()]
    return [*found, ("tokenizer.chat_template", _TEXT, _text(template))]


def _tensors(shape: Shape, vocabulary: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes, the size of a row first."""
    keys = shape.width // shape.heads * shape.key_heads
    yield "token_embd.weight", (shape.width, vocabulary)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield from ((f"{block}.{name}_norm.weight", (shape.width,)) for name in ("attn", "ffn"))
        yield from ((f"{block}.{name}.weight", (shape.width, shape.width)) for name in ("attn_q", "attn_output"))
        yield from ((f"{block}.{name}.weight", (shape.width, keys)) for name in ("attn_k", "attn_v"))
        yield from ((f"{block}.{name}.weight", (shape.width, shape.inner)) for name in ("ffn_gate", "ffn_up"))
        yield f"{block}.ffn_down.weight", (shape.inner, shape.width)
    yield "output_norm.weight", (shape.width,)


def _write_tensors(file: BinaryIO, tensors: list[tuple[str, tuple[int, ...]]]) -> None:
    start_bytes = 0
    for name, sizes in tensors:
        kind = _F32_TENSOR if len(sizes) == 1 else _Q4_0
        file.write(_text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, start_bytes))
        start_bytes += _padded(_size_bytes(sizes))
    chance = random.Random(_SEED)
    for _, sizes in tensors:
        file.write(bytes(_padded(file.tell()) - file.tell()))
        file.write(_norm(sizes[0]) if len(sizes) == 1 else _matrix(sizes[0] * sizes[1], chance))
    file.write(bytes(_padded(file.tell()) - file.tell()))


def _norm(width: int) -> bytes:
    return struct.pack(f"<{width}f", *[1.0] * width)


def _matrix(weights: int, chance: random.Random) -> bytes:
    """Blocks of one scale and random numbers."""
    blocks = weights // _BLOCK
    found = bytearray(chance.randbytes(blocks * _BLOCK_BYTES))
    low, high = struct.pack("<e", _SCALE)
    found[0::_BLOCK_BYTES] = bytes([low]) * blocks
    found[1::_BLOCK_BYTES] = bytes([high]) * blocks
    return bytes(found)


def _size_bytes(sizes: tuple[int, ...]) -> int:
    return 4 * sizes[0] if len(sizes) == 1 else sizes[0] * sizes[1] // _BLOCK * _BLOCK_BYTES


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNMENT) * _ALIGNMENT


def _text(text: str | bytes) -> bytes:
    encoded = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(encoded)) + encoded


if __name__ == "__main__":
    write(Path(sys.argv[1]))
