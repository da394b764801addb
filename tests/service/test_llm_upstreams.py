"""The service in front of several servers, as its clients see it; and in front of another one of its kind."""

import json
import logging
from typing import Any

import anyio
import pytest

from llm_service.app import assemble
from llm_service.engines.fake import Canned, FakeEngine
from llm_service.settings import LlmSettings
from shared.logs import JsonFormatter
from tests.support.llm import DONE, HELLO, loaded, refuses, serving, streamed, text_of
from tests.support.llm_upstreams import Server, client_of

pytestmark = [pytest.mark.service, pytest.mark.anyio]

SECRET = "sk-very-secret"


async def test_an_unknown_model_is_a_404() -> None:
    async with client_of({"a": Server()}, {"a": {"models": ["m"]}}) as client:
        for stream in (True, False):
            asked = {"messages": HELLO, "model": "made-up", "stream": stream}
            response = await client.post("/v1/chat/completions", json=asked)

            assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0"),
        ({"messages": [{"role": "user"}]}, "messages.0"),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": []}]}, "messages.0"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages.0.tool_calls.0.function"),
        ({"tools": [{"type": "magic"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": "\ud800"}}}]}, "tools"),
        ({"tool_choice": {"x": float("nan")}}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": 7}}}, "response_format"),
    ],
)
async def test_what_is_wrong_about_tools_is_told_by_its_field(change: dict[str, Any], param: str) -> None:
    async with client_of({}) as client:
        body = json.dumps({"messages": HELLO, **change})  # as lenient writers write it: half characters, NaN
        response = await client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})

    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_message")
    assert response.json()["error"]["param"].startswith(param)


async def test_a_service_of_our_own_can_be_the_server_of_another() -> None:
    lower = FakeEngine(Canned())
    settings = LlmSettings(engine="fake", model_name="lower-model")
    async with serving(assemble(settings, lower)) as address, client_of({}, upstreams=f"lower={address}") as client:
        listed = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
        events = await streamed(client, model="lower-model", stream_options={"include_usage": True})
        whole = (await client.post("/v1/chat/completions", json={"messages": HELLO, "model": "lower"})).json()
        long = {"messages": [{"role": "user", "content": "x " * 2000}], "model": "lower/lower-model"}
        refused = await client.post("/v1/chat/completions", json=long)

    assert listed == ["own-model", "local/own-model", "lower/lower-model"]
    assert (text_of(events), events[-1]) == ("This is a canned answer.", DONE)
    assert loaded(events)[-1]["usage"] == whole["usage"]
    assert whole["choices"][0]["message"]["content"] == "This is a canned answer."
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_a_client_that_leaves_frees_every_server_on_the_way() -> None:
    lower, settings = FakeEngine(Canned(gates={1: anyio.Event()})), LlmSettings(engine="fake")
    async with serving(assemble(settings, lower)) as address, client_of({}, upstreams=f"lower={address}") as client:
        asked = {"messages": HELLO, "model": "lower", "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=asked) as response:
            assert response.status_code == 200
            await lower.until(lambda engine: engine.connections == 1)
        await lower.until(lambda engine: engine.connections == 0)

    assert lower.cut_short == 1


async def test_no_key_and_no_word_of_a_prompt_is_in_logs_or_errors(caplog: pytest.LogCaptureFixture) -> None:
    servers = {"a": Server(refuses(500, {"error": {"message": f"{SECRET} purple elephant"}})), "b": Server()}
    specs = {"a": {"key": SECRET}, "b": {"key": SECRET, "url": "http://127.0.0.1:9"}}
    with caplog.at_level(logging.DEBUG):
        async with client_of(servers, specs, fallback="a,b") as client:
            asked = {"messages": [{"role": "user", "content": "purple elephant"}], "model": "a"}
            told = [(await client.post("/v1/chat/completions", json=asked)).text for _ in range(2)]
    ours = [record for record in caplog.records if record.name.startswith(("llm_service", "shared"))]
    lines = [JsonFormatter("llm").format(record) for record in ours]

    assert lines != []
    for text in (*told, *lines, caplog.text):
        assert SECRET not in text
    for text in (*told, *lines):
        assert "elephant" not in text
