"""The folder of a sentence model: which files it has, and what can be wrong with it. Reads none of them."""

from importlib.util import find_spec
from pathlib import Path

TOKENIZER, GRAPH = "tokenizer.json", "model.onnx"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
POOLING = "1_Pooling/config.json"
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "tokenizers")


class BadModel(Exception):
    """The folder's files make no model; the message says why."""


class TooLong(Exception):
    """A text has more tokens than the model takes."""

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__()
        self.index, self.tokens, self.limit = index, tokens, limit


def missing_file(folder: Path) -> str:
    """Which file the folder lacks; empty when it has all."""
    if not (folder / TOKENIZER).is_file():
        return TOKENIZER
    has_bert = all((folder / name).is_file() for name in (WEIGHTS, CONFIG))
    return "" if has_bert or (folder / GRAPH).is_file() else GRAPH


def missing_library() -> str:
    """Which package is not installed; empty when all are. Loads none."""
    return next((name for name in _LIBRARIES if find_spec(name) is None), "")
