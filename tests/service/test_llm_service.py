"""The language service whole: what it does when it starts, is asked, and stops."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from llm_service.app import build_app
from llm_service.engines.base import SetupProblem
from llm_service.engines.fake import Canned, FakeEngine
from llm_service.settings import DEMO_MODEL, LlmSettings
from shared.ids import new_id
from tests.support.llm import HELLO, talking_to

pytestmark = [pytest.mark.service, pytest.mark.anyio]

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def client(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = LlmSettings(engine="fake", model_name="parley-test")
    async with talking_to(FakeEngine(Canned()), settings) as client:
        yield client


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"stop": ["x"] * 17}, "stop"),
    ],
)
async def test_a_request_out_of_bounds_is_refused_with_the_field_that_is_wrong(
    client: httpx.AsyncClient, change: dict[str, Any], param: str
) -> None:
    response = await client.post("/v1/chat/completions", json={"messages": HELLO, **change})

    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_message")
    assert error["param"].startswith(param)


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
        {"messages": [{"role": "developer", "content": "be brief"}, {"role": "assistant", "content": "yes"}]},
        {"max_completion_tokens": 5, "seed": 1, "stop": "x", "top_p": 0.9, "user": "me"},
        {"response_format": {"type": "text"}, "made_up": True, "model": "any"},
    ],
)
async def test_requests_as_clients_send_them_are_taken(client: httpx.AsyncClient, change: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": new_id("ses:trn")}

    response = await client.post("/v1/chat/completions", json={"messages": HELLO, **change}, headers=headers)

    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "This is a canned answer."


async def test_what_is_no_json_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/chat/completions", content=b"{", headers={"Content-Type": "application/json"})

    assert response.status_code == 400


async def test_the_model_is_listed_under_its_public_name(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()
    one = await client.get("/v1/models/parley-test")
    none = await client.get("/v1/models/another")

    assert listed == {"object": "list", "data": [one.json()]}
    assert one.json()["id"] == "parley-test"
    assert (none.status_code, none.json()["error"]["code"]) == (404, "model_not_found")


async def test_its_figures_are_exported(client: httpx.AsyncClient) -> None:
    await client.post("/v1/chat/completions", json={"messages": HELLO})

    metrics = (await client.get("/metrics")).text

    assert 'parley_llm_ttft_seconds_count{engine="fake"}' in metrics
    assert 'parley_llm_tokens_total{kind="prompt"}' in metrics
    assert 'parley_llm_tokens_total{kind="completion"}' in metrics
    assert 'parley_llm_running{engine="fake"} 0.0' in metrics


def test_names_of_older_systems_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    older = {
        "LLAMA_BASE": "http://here:8080",
        "LLAMA_MODEL": "qwen",
        "LLAMA_TIMEOUT": "7",
    }
    for name, value in older.items():
        monkeypatch.setenv(name, value)

    settings = LlmSettings()

    assert (settings.upstream_url, settings.upstream_model) == ("http://here:8080", "qwen")
    assert settings.first_token_timeout_s == 7


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "parley-demo"),
        ({"model_name": "mine"}, "mine"),
        ({"model_path": Path("/x/qwen2.5.gguf")}, "qwen2.5"),
        ({"engine": "openai"}, "upstream"),
        ({"engine": "openai", "upstream_model": "gpt"}, "gpt"),
    ],
)
def test_the_public_name_is_a_name_and_no_path(fields: dict[str, Any], name: str) -> None:
    assert LlmSettings(**{"model_path": DEMO_MODEL, **fields}).public_name == name


@pytest.mark.parametrize(
    "fields", [{"engine": "none"}, {"slots": 0}, {"upstream_url": "ftp://x"}, {"port": 0}, {"gpu_memory_share": 1.1}]
)
def test_settings_out_of_bounds_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        LlmSettings(**fields)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_model_file_that_cannot_be_used_stops_the_start(tmp_path: Path, is_there: bool) -> None:
    path = tmp_path / "x.gguf"
    if is_there:
        path.write_bytes(b"no model")

    with pytest.raises(SetupProblem, match=re.escape(str(path))):
        build_app(LlmSettings(model_path=path))


@pytest.mark.parametrize("content", [None, b" \n", b"\xff\xfe"])
def test_a_chat_template_that_cannot_be_used_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.jinja"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SetupProblem, match=f"{re.escape(str(path))}; set LLM_CHAT_TEMPLATE_PATH"):
        build_app(LlmSettings(chat_template_path=path))


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"LLM_MODEL_PATH": "/no/such/model.gguf"},
            "There is no model file at /no/such/model.gguf; set LLM_MODEL_PATH to a GGUF file.\n",
        ),
        ({"LLM_SLOTS": "none"}, "LLM_SLOTS: Input should be a valid integer, unable to parse string as an integer.\n"),
    ],
)
def test_a_start_that_is_impossible_says_why_in_one_sentence(environment: dict[str, str], sentence: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "llm_service"],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr, ended.stdout) == (1, sentence, "")


@contextmanager
def running_service() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "LLM_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-m", "llm_service"], cwd=CHECKOUT, env=environment, stderr=subprocess.DEVNULL
    ) as service:
        try:
            yield service, f"http://127.0.0.1:{port}"
        finally:
            service.kill()


async def until_ready(client: httpx.AsyncClient) -> None:
    """Ask until it is ready; each question that is refused lets the service go on starting."""
    with anyio.fail_after(30):
        while True:
            try:
                if (await client.get("/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                continue


async def test_the_service_answers_with_its_model_and_stops_when_asked() -> None:
    with running_service() as (service, address):
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            await until_ready(client)
            answer = await client.post("/v1/chat/completions", json={"messages": HELLO, "max_tokens": 30})
        service.send_signal(signal.SIGTERM)
        status = await anyio.to_thread.run_sync(service.wait)

    assert answer.json()["choices"][0]["message"]["content"].strip() != ""
    assert status == -signal.SIGTERM  # the signal is passed on once everything has been put away
