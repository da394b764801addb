"""Which texts a model takes as control tokens, and its chat templates, read from its file."""

import struct
from pathlib import Path

import pytest

from llm_service.engines.gguf import NotGguf, chat_templates, control_markers
from llm_service.settings import LlmSettings

pytestmark = pytest.mark.shell

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def texts(values: list[str]) -> bytes:
    return struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values))


def integers(values: list[int]) -> bytes:
    return struct.pack(f"<IQ{len(values)}i", 5, len(values), *values)


def gguf(*pairs: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs)


def vocabulary(tokens: dict[str, int]) -> list[bytes]:
    return [
        pair("tokenizer.ggml.tokens", 9, texts(list(tokens))),
        pair("tokenizer.ggml.token_type", 9, integers(list(tokens.values()))),
    ]


def markers_of(tmp_path: Path, content: bytes) -> tuple[str, ...]:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    return control_markers(path)


def test_control_tokens_and_markup_of_users_are_markers(tmp_path: Path) -> None:
    tokens = {
        "<unk>": UNKNOWN, "<|im_end|>": CONTROL, "hello": NORMAL, "<think>": USER_DEFINED, "\n\n": USER_DEFINED,
        "<｜User｜>": CONTROL,
    }  # fmt: skip

    found = markers_of(tmp_path, gguf(*vocabulary(tokens)))

    assert found == ("<unk>", "<|im_end|>", "<think>", "<｜User｜>")


def test_keys_of_every_kind_are_passed_over(tmp_path: Path) -> None:
    others = [
        pair("general.name", 8, text("a model")),
        pair("a.bool", 7, b"\x01"),
        pair("a.double", 12, struct.pack("<d", 1.5)),
        pair("a.nest", 9, struct.pack("<IQ", 9, 2) + integers([1]) + texts(["x"])),
        pair("a.floats", 9, struct.pack("<IQ2f", 6, 2, 0.5, 0.25)),
    ]

    assert markers_of(tmp_path, gguf(*others, *vocabulary({"<s>": CONTROL}), pair("later", 99, b""))) == ("<s>",)


def test_a_model_without_a_vocabulary_has_no_markers(tmp_path: Path) -> None:
    assert markers_of(tmp_path, gguf(pair("general.name", 8, text("a model")))) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGML" + bytes(40),
        gguf(version=9),
        gguf(*vocabulary({"<s>": CONTROL}))[:-3],
        gguf(pair("x", 8, struct.pack("<Q", 2**60))),
        gguf(pair("x", 8, struct.pack("<Q", 50))),
        gguf(pair("x", 9, struct.pack("<IQ", 5, 2**40))),
        gguf(pair("x", 77, b"")),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**50),
        gguf(pair("x", 9, struct.pack("<IQ", 9, 1) * 100_000)),
    ],
    ids=["empty", "magic", "version", "cut", "huge text", "short text", "huge array", "kind", "huge count", "nesting"],
)
def test_a_file_that_is_no_model_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NotGguf):
        markers_of(tmp_path, content)


def test_the_model_that_is_served_by_default_has_the_markers_of_its_template() -> None:
    assert {"<|im_start|>", "<|im_end|>"} <= set(control_markers(LlmSettings().model_path))


@pytest.mark.parametrize("keys", [(), ("",), ("", ".tool_use"), (".tool_use",)])
def test_the_chat_templates_of_a_model_are_read(tmp_path: Path, keys: tuple[str, ...]) -> None:
    path = tmp_path / "model.gguf"
    told = [pair(f"tokenizer.chat_template{key}", 8, text(f"of{key}")) for key in keys]
    path.write_bytes(gguf(*vocabulary({"<s>": CONTROL}), *told))

    assert chat_templates(path) == tuple(f"of{key}" for key in keys)
