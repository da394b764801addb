"""Who answered, and which tools are called, as clients are told."""

from typing import Any

import openai
import pytest

from tests.support.llm import DONE, FINISH, HELLO, delta, loaded, refuses, sample, says, streamed, text_of
from tests.support.llm_upstreams import Server, client_of

pytestmark = [pytest.mark.service, pytest.mark.anyio]

TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]

CALLS = says(
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "weather", "arguments": '{"at":'}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '"Rome"}'}}]}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    DONE,
)


async def test_each_request_chooses_who_answers_and_is_told_who_did() -> None:
    servers = {"openai": Server(says(delta("from openai"), FINISH, DONE)), "grok": Server()}
    specs = {"openai": {"models": ["gpt-a"]}, "grok": {"models": ["grok-4"]}}
    before = sample("parley_llm_ttft_seconds_count", engine="grok")
    async with client_of(servers, specs) as client:
        told = {}
        for model in ("own-model", "openai/gpt-a", "grok-4"):
            events = await streamed(client, model=model)
            whole = (await client.post("/v1/chat/completions", json={"messages": HELLO, "model": model})).json()
            told[model] = {event["model"] for event in loaded(events)} | {whole["model"]}
            assert text_of(events) == whole["choices"][0]["message"]["content"]

    assert told == {"own-model": {"own-model"}, "openai/gpt-a": {"openai/gpt-a"}, "grok-4": {"grok/grok-4"}}
    assert sample("parley_llm_ttft_seconds_count", engine="grok") == before + 2


async def test_who_stands_in_is_told() -> None:
    async with client_of({"a": Server(refuses(503, {"error": "m"}))}, fallback="a,local") as client:
        events = await streamed(client, model="a")

    assert {event["model"] for event in loaded(events)} == {"own-model"}


async def test_tool_calls_come_in_a_stream_and_whole() -> None:
    async with client_of({"a": Server(CALLS)}) as client:
        events = loaded(await streamed(client, model="a", tools=TOOLS))
        asked = {"messages": HELLO, "model": "a", "tools": TOOLS}
        (choice,) = (await client.post("/v1/chat/completions", json=asked)).json()["choices"]

    first, second = [piece for event in events for piece in event["choices"][0]["delta"].get("tool_calls", [])]
    assert first["id"].startswith("call_")
    assert {**first, "id": ""} == {
        "index": 0, "id": "", "type": "function", "function": {"name": "weather", "arguments": '{"at":'},
    }  # fmt: skip
    assert second == {"index": 0, "function": {"arguments": '"Rome"}'}}
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events[-1]["choices"][0]["finish_reason"] == choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [call["function"] for call in choice["message"]["tool_calls"]] == [
        {"name": "weather", "arguments": '{"at":"Rome"}'}
    ]


async def test_the_official_client_reads_tool_calls_and_answers_them() -> None:
    server = Server(CALLS)
    async with (
        client_of({"a": server}) as client,
        openai.AsyncOpenAI(
            base_url=f"{client.base_url}/v1",
            api_key="k",
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        ) as theirs,
    ):
        made = await theirs.chat.completions.create(model="a", messages=[{"role": "user", "content": "x"}], tools=TOOLS)
        (call,) = made.choices[0].message.tool_calls or []
        server.script = says(delta("Sunny"), FINISH, DONE)
        messages: list[Any] = [
            {"role": "user", "content": "x"},
            made.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sun"},
        ]
        answered = await theirs.chat.completions.create(model="a", messages=messages, tools=TOOLS)
        listed = [model.id async for model in theirs.models.list()]

    assert answered.choices[0].message.content == "Sunny"
    assert [message["role"] for message in server.asked[1].body["messages"]] == ["user", "assistant", "tool"]
    assert server.asked[1].body["messages"][1]["tool_calls"][0]["id"] == call.id
    assert listed == ["own-model", "local/own-model"]
