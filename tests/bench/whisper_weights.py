"""Whisper models for benchmarks, without a training library: the demo model stretched, and one of random weights.

Both are made from the demo model's own folder by rewriting its model.bin, which ctranslate2 documents as a list of
named arrays. `stretched` has more encoder positions and the same weights: Whisper's positions are sines, so the table
simply goes on. `random_tiny` has the sizes of whisper-tiny, int8, and hears nothing: what it costs does not depend on
what the weights are. Its words are made up, so what it reads is not worth looking at.
"""

import json
import re
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from asr_service.settings import DEMO_MODEL

STOCK_POSITIONS = 1_500  # of 20 ms: the 30 s that stock code always encodes
ENCODER_POSITIONS = "encoder/position_encodings/encodings"
LONGEST_PERIOD = 10_000  # of the slowest sine, over 2 pi

TINY_WIDTH, TINY_HEADS, TINY_LAYERS, TINY_TOKENS = 384, 6, 4, 51_865
SPREAD = 0.02  # of random weights
LATER_LAYER = re.compile(r"/layer_[1-9]")
SCALE = np.float32(127 / (3 * SPREAD))  # int8 = weight x scale

Array = npt.NDArray[Any]
DTYPES = tuple(np.dtype(name) for name in ("<f4", "<i1", "<i2", "<i4", "<f2"))  # in the order of the format's ids


@dataclass(frozen=True)
class Weights:
    """A model.bin: what kind of model it is, its arrays by name, and other names of some of them."""

    version: int
    kind: str
    revision: int
    arrays: dict[str, Array]
    aliases: dict[str, str]


def read(path: Path) -> Weights:
    """The weights in a file that ctranslate2's converter wrote."""
    file = BytesIO(path.read_bytes())
    version, kind, revision = _number(file, "I"), _text(file), _number(file, "I")
    arrays = {_text(file): _array(file) for _ in range(_number(file, "I"))}
    aliases = {_text(file): _text(file) for _ in range(_number(file, "I"))}
    return Weights(version, kind, revision, arrays, aliases)


def write(weights: Weights, path: Path) -> None:
    """The file that `read` reads."""
    with path.open("wb") as file:
        file.write(struct.pack("<I", weights.version) + _coded(weights.kind) + struct.pack("<I", weights.revision))
        file.write(struct.pack("<I", len(weights.arrays)))
        for name, array in weights.arrays.items():
            shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
            file.write(_coded(name) + shape + struct.pack("<BI", DTYPES.index(array.dtype), array.nbytes))
            file.write(array.tobytes())
        file.write(struct.pack("<I", len(weights.aliases)))
        for alias, name in weights.aliases.items():
            file.write(_coded(alias) + _coded(name))


def stretched(target: Path, source: Path = DEMO_MODEL) -> Path:
    """A copy of a model folder that has positions for 30 s, as stock code wants it; what it says of 8 s stays."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    weights = read(source / "model.bin")
    short = weights.arrays[ENCODER_POSITIONS]
    table = _sines(STOCK_POSITIONS, short.shape[1])
    table[: len(short)] = short
    write(replace(weights, arrays=weights.arrays | {ENCODER_POSITIONS: table}), target / "model.bin")
    _write_features(source, target)
    return target


def random_tiny(target: Path, source: Path = DEMO_MODEL) -> Path:
    """A model folder of whisper-tiny's sizes: int8 weights from a fixed seed, and words without meaning."""
    target.mkdir(parents=True, exist_ok=True)
    weights = read(source / "model.bin")
    arrays = dict(_tiny(weights.arrays))
    write(replace(weights, arrays=arrays), target / "model.bin")
    _write_features(source, target)
    _write_words(source, target)
    return target


def _number(file: BinaryIO, code: str) -> int:
    found: int = struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]
    return found


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H"))[:-1].decode()  # ends with a zero byte


def _coded(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def _array(file: BinaryIO) -> Array:
    shape = [_number(file, "I") for _ in range(_number(file, "B"))]
    dtype = DTYPES[_number(file, "B")]
    return np.frombuffer(file.read(_number(file, "I")), dtype).reshape(shape)


def _sines(positions: int, width: int) -> Array:
    """Whisper's table of positions: a sine and a cosine of each period."""
    slowness = np.log(LONGEST_PERIOD) / (width // 2 - 1)
    angles = np.arange(positions)[:, None] * np.exp(-slowness * np.arange(width // 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype("<f4")


def _tiny(demo: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    """The demo's arrays in whisper-tiny's sizes; the first layer of each half stands for all of them."""
    rng = np.random.default_rng(0)
    width = demo[ENCODER_POSITIONS].shape[1]
    sizes = {width * times: TINY_WIDTH * times for times in (1, 2, 3, 4)}
    sizes |= {len(demo["decoder/embeddings/weight"]): TINY_TOKENS}
    own = {name: array for name, array in demo.items() if not LATER_LAYER.search(name)}
    for name, array in own.items():
        made = _made(name, array, sizes, rng)
        for layer in range(TINY_LAYERS if "/layer_0/" in name else 1):
            yield name.replace("/layer_0/", f"/layer_{layer}/"), made


def _made(name: str, array: Array, sizes: dict[int, int], rng: np.random.Generator) -> Array:
    if name == ENCODER_POSITIONS:
        return _sines(STOCK_POSITIONS, TINY_WIDTH)
    if name.endswith("/num_heads"):
        return np.array(TINY_HEADS, array.dtype)
    if name.endswith("/alignment_layer"):
        return np.array(TINY_LAYERS - 1, array.dtype)
    if not array.ndim:
        return array
    shape = tuple(sizes.get(size, int(size)) for size in array.shape)
    if array.dtype == np.int8:
        return rng.normal(0, SPREAD * SCALE, shape).clip(-127, 127).astype(np.int8)
    if name.endswith(("/gamma", "/weight_scale")):
        return np.full(shape, SCALE if name.endswith("scale") else 1, "<f4")
    return rng.normal(0, SPREAD, shape).astype("<f4")


def _write_features(source: Path, target: Path) -> None:
    features = json.loads((source / "preprocessor_config.json").read_text())
    (target / "preprocessor_config.json").write_text(json.dumps(features | {"chunk_length": STOCK_POSITIONS // 50}))


def _write_words(source: Path, target: Path) -> None:
    """The demo's tokeniser with made-up words before its last text token, up to whisper-tiny's number of tokens."""
    tokeniser = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    words: dict[str, int] = tokeniser["model"]["vocab"]
    missing = TINY_TOKENS - len(words) - len(tokeniser["added_tokens"])
    empty = words.pop("")  # last of the texts: by it ctranslate2 knows a multilingual model
    words |= {f"Ġword{number}": empty + number for number in range(missing)} | {"": empty + missing}
    for token in tokeniser["added_tokens"]:
        token["id"] += missing
    (target / "tokenizer.json").write_text(json.dumps(tokeniser), encoding="utf-8")
    special = [token["content"] for token in tokeniser["added_tokens"]]
    vocabulary = [*sorted(words, key=words.__getitem__), *special]
    (target / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    config = json.loads((source / "config.json").read_text())
    config["lang_ids"] = [number + missing for number in config["lang_ids"]]
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
