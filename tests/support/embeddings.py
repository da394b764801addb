"""A tiny sentence model in a folder, a canned one, and a service that embeds with either."""

import json
import random
import struct
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI

from llm_service.core.embedding_answer import Embedded
from llm_service.embeddings import add_embeddings
from llm_service.engines.bert import graph_bytes
from llm_service.engines.embedding import Embedder
from llm_service.settings import LlmSettings
from shared.app import create_app
from shared.health import READY, Readiness
from tests.support.llm import serving

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "green", "tea", "morning", "train"]
WIDTH, PLACES, LAYERS, HEADS, INNER = 8, 16, 2, 2, 12
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": PLACES,
    "layer_norm_eps": 1e-12,
}
TOKENIZER: dict[str, object] = {
    "version": "1.0",
    "truncation": {"max_length": 4, "stride": 0, "strategy": "LongestFirst", "direction": "Right"},
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {word: place for place, word in enumerate(WORDS)}, "unk_token": "[UNK]"},
}


def bert_folder(folder: Path) -> Path:
    """A BERT with random weights in `folder`, as such models are given out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    dice, header, data = random.Random(7), dict[str, object](), bytearray()
    for name, shape in _shapes():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        numbers = array("f", (dice.gauss(0, 1) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * count]}
        data += numbers.tobytes()
    head = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
    return folder


def onnx_folder(bert: Path) -> Path:
    """The same model as an ONNX file, in a folder beside it."""
    folder = bert.parent / "tiny-onnx"
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(graph_bytes(bert))
    for name in ("tokenizer.json", "config.json", "model.safetensors"):  # the file speaks of its weights in the last
        (folder / name).write_bytes((bert / name).read_bytes())
    return folder


def _shapes() -> list[tuple[str, list[int]]]:
    embeddings = {"word": len(WORDS), "position": PLACES, "token_type": 2}
    found = [(f"embeddings.{name}_embeddings.weight", [rows, WIDTH]) for name, rows in embeddings.items()]
    norms, linears = ["embeddings.LayerNorm"], dict[str, tuple[int, int]]()
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        linears |= {f"{layer}.attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
        linears |= {f"{layer}.attention.output.dense": (WIDTH, WIDTH)}
        linears |= {f"{layer}.intermediate.dense": (INNER, WIDTH), f"{layer}.output.dense": (WIDTH, INNER)}
    for name in norms:
        found += [(f"{name}.weight", [WIDTH]), (f"{name}.bias", [WIDTH])]
    for name, (rows, columns) in linears.items():
        found += [(f"{name}.weight", [rows, columns]), (f"{name}.bias", [rows])]
    return found


class FakeEmbedder:
    """A vector of two numbers for each text, its length and its place; a token is a character."""

    model = "fake-embedder"

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.asked: list[tuple[list[str], int | None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing runs."""
        yield

    async def embed(self, texts: Sequence[str], dimensions: int | None) -> Embedded:
        """The vectors, or the failure that was set."""
        self.asked.append((list(texts), dimensions))
        if self.failure:
            raise self.failure
        vectors = tuple(array("f", [len(text), index]) for index, text in enumerate(texts))
        return Embedded(vectors, sum(map(len, texts)))

    async def readiness(self) -> str:
        """Always ready."""
        return READY


def app_around(embedder: Embedder, settings: LlmSettings) -> FastAPI:
    """A service that only embeds."""
    app = create_app("embeddings", Readiness({"embeddings": embedder.readiness}))
    add_embeddings(app, embedder, settings)
    return app


@asynccontextmanager
async def embedding_service(
    embedder: Embedder, settings: LlmSettings | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service around an embedder."""
    app = app_around(embedder, settings or LlmSettings(engine="fake"))
    async with (
        embedder.running(),
        serving(app) as address,
        httpx.AsyncClient(base_url=address, timeout=20, trust_env=False) as client,
    ):
        yield client
