"""Read from a GGUF file which texts its model takes as control tokens, and its chat templates; never the weights."""

import struct
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_COUNT_LIMIT = 16_777_216  # entries of one array or keys of one file; above that it is no vocabulary
_TEXT_LIMIT_BYTES = 64 * 1024 * 1024
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
_BRACKETS = ("<", "[")


class NotGguf(Exception):
    """The file is none that llama.cpp could read either."""


def control_markers(path: Path) -> tuple[str, ...]:
    """The texts of the control tokens, and of user-defined ones that look like markup; raises NotGguf, OSError."""
    tokens, kinds = key_values(path, "tokenizer.ggml.tokens", "tokenizer.ggml.token_type")
    if not isinstance(tokens, list) or not isinstance(kinds, list):
        return ()
    return tuple(_markers(tokens, kinds))


def chat_templates(path: Path) -> tuple[str, ...]:
    """The model's own chat templates, the one for tools too where it has one; raises NotGguf, OSError."""
    found = key_values(path, "tokenizer.chat_template", "tokenizer.chat_template.tool_use")
    return tuple(text.decode("utf-8", "replace") for text in found if isinstance(text, bytes))


def key_values(path: Path, *keys: str) -> list[object]:
    """The values of these keys, None for one that is not there; texts are bytes. Raises NotGguf, OSError."""
    wanted: dict[str, object] = dict.fromkeys(keys)
    with path.open("rb") as file:
        try:
            for _ in range(_read_head(file)):
                key = _read_text(file).decode("utf-8", "replace")
                value = _read_value(file, _read(file, "<I"))
                if key in wanted:
                    wanted[key] = value
                if None not in wanted.values():
                    break
        except (struct.error, EOFError, MemoryError, RecursionError):
            raise NotGguf from None
    return list(wanted.values())


def _markers(tokens: list[bytes], kinds: list[int]) -> list[str]:
    found: list[str] = []
    for token, kind in zip(tokens, kinds, strict=False):
        text = token.decode("utf-8", "replace")
        if kind in (_CONTROL, _UNKNOWN) or (kind == _USER_DEFINED and text.startswith(_BRACKETS)):
            found.append(text)
    return found


def _read_head(file: BinaryIO) -> int:
    """The number of key-values."""
    if file.read(4) != _MAGIC or _read(file, "<I") not in _VERSIONS:
        raise NotGguf
    _read(file, "<Q")  # tensors
    return _bounded(_read(file, "<Q"), _COUNT_LIMIT)


def _read(file: BinaryIO, form: str) -> int:
    found: int = struct.unpack(form, file.read(struct.calcsize(form)))[0]
    return found


def _read_text(file: BinaryIO) -> bytes:
    length_bytes = _bounded(_read(file, "<Q"), _TEXT_LIMIT_BYTES)
    text = file.read(length_bytes)
    if len(text) < length_bytes:
        raise EOFError
    return text


def _read_value(file: BinaryIO, kind: int) -> object:
    if kind == _TEXT:
        return _read_text(file)
    if kind != _ARRAY:
        return _read(file, _scalar(kind))
    item, count = _read(file, "<I"), _bounded(_read(file, "<Q"), _COUNT_LIMIT)
    if item in (_TEXT, _ARRAY):
        return [_read_value(file, item) for _ in range(count)]
    form = _scalar(item)
    return list(struct.unpack(f"<{count}{form[1]}", file.read(count * struct.calcsize(form))))


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise NotGguf
    return _SCALARS[kind]


def _bounded(count: int, limit: int) -> int:
    if count > limit:
        raise NotGguf
    return count
