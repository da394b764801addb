"""What the servers of different makers send on the wire, line by line, and what is made of it."""

import json
from typing import Any

import pytest

from llm_service.core.answer import Delta, Finished, Part, ToolCallDelta, Usage
from llm_service.engines.fake import Exchange, Script
from shared.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineFailed,
    ModelNotFound,
    Overloaded,
    ParleyError,
    ServiceUnavailable,
)
from tests.support.llm import DONE, FINISH, delta, refuses, says, sends
from tests.support.llm_upstreams import Clock, Server, answer, fronted, parts_told

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

OVER = refuses(400, {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}})

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}]


def said(content: Any = None, finish: str | None = None, role: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"role": role, "content": content}
    piece = {name: value for name, value in told.items() if value is not None or name == "content"}
    return {"id": "x", "choices": [{"index": 0, "delta": piece, "finish_reason": finish}], **more}


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


HELLO_WORLD: list[Part] = [Delta("Hello"), Delta(" world"), Finished("stop")]

ANSWERS: dict[str, tuple[Script, list[Part]]] = {
    "openai": (
        says(
            said("", role="assistant", usage=None), said("Hello", usage=None), said(" world", usage=None),
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None},
            {"choices": [], "usage": usage(3, 2)}, DONE,
        ),
        [*HELLO_WORLD, Usage(3, 2)],
    ),
    "llama.cpp": (
        sends(
            HEAD,
            b": ping\n\n",
            *(
                f"data: {json.dumps(event)}\n\n".encode()
                for event in (
                    said(None, role="assistant"), said("Hello"), said(" world"),
                    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "timings": {"prompt_n": 3}},
                    {"choices": [], "usage": usage(3, 2), "timings": {"prompt_n": 3}},
                )
            ),
            b":\n\ndata: [DONE]\n\n",
        ),
        [*HELLO_WORLD, Usage(3, 2)],
    ),
    "llama_cpp.server": (
        sends(
            HEAD,
            b": ping - 2026-01-01 00:00:00\r\n\r\n",
            *(
                f"data: {json.dumps(event)}\r\n\r\n".encode()
                for event in (
                    {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]},
                    said("Hello"), said(" world"), said(""), {"choices": [{"delta": {}, "finish_reason": "stop"}]},
                )
            ),
            b"data: [DONE]\r\n\r\n",
        ),
        HELLO_WORLD,
    ),
    "vLLM, counts on every chunk, text with the finish": (
        says(
            said("", role="assistant", usage=usage(3, 0)), said("Hello", usage=usage(3, 1)),
            said(" world", "stop", usage=usage(3, 2)), {"choices": [], "usage": usage(3, 2)}, DONE,
        ),
        [*HELLO_WORLD, Usage(3, 2)],
    ),
    "vLLM, reasoning": (
        says(
            {"choices": [{"delta": {"reasoning_content": "hm"}}]}, {"choices": [{"delta": {"reasoning": "hm"}}]},
            said("Hello"), said(" world"), said("", "stop"), DONE,
        ),
        HELLO_WORLD,
    ),
    "Ollama": (
        says(
            said("Hello", role="assistant"), said(" world", role="assistant"), said("", "stop", role="assistant"),
            {"choices": [], "usage": usage(3, 2)}, DONE,
        ),
        [*HELLO_WORLD, Usage(3, 2)],
    ),
    "Grok, counts cumulative": (
        says(
            said("Hello", role="assistant", usage=usage(3, 1)), said(" world", role="assistant", usage=usage(3, 2)),
            said("", "stop", role="assistant", usage=usage(3, 2)), DONE,
        ),
        [*HELLO_WORLD, Usage(3, 2)],
    ),
    "whole, though a stream was wanted": (
        refuses(200, {"choices": [{"message": {"content": "Hello world"}, "finish_reason": "stop"}]}),
        [Delta("Hello world"), Finished("stop")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("dialect", ANSWERS)
async def test_an_answer_is_read_as_each_server_tells_it(dialect: str) -> None:
    script, parts = ANSWERS[dialect]
    server = Server(script)
    async with fronted(None, {"far": server}, engine="fake") as upstreams:
        assert (await parts_told(upstreams))[1:] == parts
        await server.until_left()


REFUSALS: dict[str, tuple[Script, type[ParleyError]]] = {
    "openai, over context": (refuses(400, {"error": {"code": "context_length_exceeded"}}), ContextLengthExceeded),
    "openai, no key": (refuses(401, {"error": {"code": "invalid_api_key"}}), ServiceUnavailable),
    "openai, no model": (refuses(404, {"error": {"code": "model_not_found"}}), ModelNotFound),
    "openai, in a stream": (says({"error": {"type": "server_error", "message": "m"}}), EngineFailed),
    "openai, load in a stream": (says({"error": {"type": "rate_limit_exceeded", "message": "m"}}), Overloaded),
    "llama.cpp, over context": (OVER, ContextLengthExceeded),
    "llama.cpp, no key": (refuses(401, {"error": {"type": "authentication_error", "code": 401}}), ServiceUnavailable),
    "llama.cpp, loading": (refuses(503, {"error": {"message": "Loading model", "code": 503}}), ServiceUnavailable),
    "llama.cpp, in a stream": (says({"error": {"code": 500, "message": "m"}}), EngineFailed),
    "llama.cpp, an old line": (sends(HEAD, b'error: {"code":500,"message":"m"}\n\n'), EngineFailed),
    "llama_cpp.server, no key": (refuses(401, {"detail": "Invalid API key"}), ServiceUnavailable),
    "llama_cpp.server, validation": (refuses(500, {"error": {"message": "m", "code": None}}), EngineFailed),
    "llama_cpp.server, over context in a stream": (sends(HEAD), ServiceUnavailable),
    "vLLM, over context": (
        refuses(400, {"error": {"message": "maximum context length is 8", "type": "BadRequestError", "code": 400}}),
        ContextLengthExceeded,
    ),
    "vLLM, older, over context": (
        refuses(400, {"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400}),
        ContextLengthExceeded,
    ),
    "vLLM, no model": (
        refuses(404, {"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}}),
        ModelNotFound,
    ),
    "vLLM, the first event is an error": (says({"error": {"message": "m", "code": 400}}, DONE), BadRequest),
    "Ollama, no model": (
        refuses(404, {"error": {"message": 'model "m" not found, try pulling it first', "type": "not_found_error"}}),
        ModelNotFound,
    ),
    "Ollama, an error as an empty chunk": (says(said("")), ServiceUnavailable),
    "Grok, flat": (refuses(400, {"code": "Client specified an invalid argument", "error": "m"}), BadRequest),
    "Grok, flat in a stream": (says({"code": "internal", "error": "m"}), EngineFailed),
    "Grok, text": (refuses(403, "no"), ServiceUnavailable),
    "a page of a proxy between": (sends(b"HTTP/1.1 502 Bad\r\n\r\n<html>"), ServiceUnavailable),
    "a redirect": (sends(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:9/\r\n\r\n"), EngineFailed),
}  # fmt: skip


@pytest.mark.parametrize("dialect", REFUSALS)
async def test_a_refusal_is_known_as_each_server_tells_it(dialect: str) -> None:
    script, kind = REFUSALS[dialect]
    server = Server(script)
    async with fronted(None, {"far": server}, engine="fake") as upstreams:
        with pytest.raises(ParleyError) as told:
            await answer(upstreams, "far/m")
        await server.until_left()

    assert type(told.value) is kind


async def test_stream_options_that_were_refused_are_left_out_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def script(exchange: Exchange) -> None:
        if "stream_options" in exchange.body:
            await exchange.tell(400, {"code": "invalid", "error": "Argument not supported: stream_options"})
        else:
            await says(delta("a"), FINISH, DONE)(exchange)

    server = Server(script)
    async with fronted(None, {"grok": server}, engine="fake") as upstreams:
        await answer(upstreams)
        await answer(upstreams)
        clock.ahead_s += 301
        await answer(upstreams)

    assert ["stream_options" in exchange.body for exchange in server.asked] == [True, False, False, True, False]


async def test_tools_and_their_results_are_passed_on_and_calls_come_back() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    piece = {"index": 0, "id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"x":'}}
    rest = {"index": 0, "function": {"arguments": "1}"}}
    server = Server(
        says(
            {"choices": [{"delta": {"role": "assistant", "content": None, "tool_calls": [piece]}}]},
            {"choices": [{"delta": {"tool_calls": [rest]}}]},
            {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
            DONE,
        )
    )
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
    ]
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    async with fronted(None, {"far": server}, engine="fake") as upstreams:
        parts = await parts_told(
            upstreams, messages=messages, tools=TOOLS, tool_choice="required", parallel_tool_calls=False,
            response_format=shape,
        )  # fmt: skip

    assert parts[1:] == [
        ToolCallDelta(0, "c2", "f", '{"x":'),
        ToolCallDelta(0, None, None, "1}"),
        Finished("tool_calls"),
    ]
    body = server.asked[0].body
    assert body["messages"] == [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ]
    assert (body["tools"], body["tool_choice"], body["parallel_tool_calls"]) == (TOOLS, "required", False)
    assert body["response_format"] == shape
