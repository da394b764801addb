"""The route of text completions: what is asked of the engine, what is told, what is refused."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import anyio
import httpx
import pytest

from llm_service.completions import add_completions
from llm_service.engines.base import Manner
from llm_service.engines.fake import Exchange, FakeEngine, Script
from llm_service.settings import LlmSettings
from llm_service.stores import runs_for
from llm_service.text_upstream import TextUpstream
from shared.app import create_app
from shared.health import Readiness
from tests.support.llm import DONE, check_ok, loaded, payloads, refuses, says, serving, stalls

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


def said(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}]}


JSON = {"Content-Type": "application/json"}
COUNTS = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
TELLS = says(said("a tale"), said(" of two"), said("", "length"), COUNTS, DONE)


@asynccontextmanager
async def completing(engine: FakeEngine | None) -> AsyncIterator[httpx.AsyncClient]:
    settings = LlmSettings(engine="fake", model_name="mine")
    upstream, runs = TextUpstream(engine, settings), runs_for(settings)
    app = create_app("completions", Readiness({}))
    add_completions(app, upstream, settings, runs)
    async with (
        engine.running() if engine else nullcontext(),
        upstream.opened(),
        runs.opened(),
        serving(app) as address,
        httpx.AsyncClient(base_url=address, timeout=20, trust_env=False) as client,
    ):
        yield client


async def ask(engine: FakeEngine | None, **body: Any) -> httpx.Response:
    async with completing(engine) as client:
        return await client.post("/v1/completions", json={"prompt": "once", **body})


async def streamed(client: httpx.AsyncClient, **body: Any) -> list[str]:
    async with client.stream("POST", "/v1/completions", json={"prompt": "once", "stream": True, **body}) as response:
        await check_ok(response)
        return [payload async for payload in payloads(response)]


async def test_a_completion_is_told_whole_as_openai_does() -> None:
    told = (await ask(FakeEngine(TELLS), model="any/Mine")).json()

    assert told.pop("id").startswith("cmpl")
    assert isinstance(told.pop("created"), int)
    assert told == {
        "object": "text_completion",
        "model": "mine",
        "choices": [{"index": 0, "text": "a tale of two", "logprobs": None, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


@pytest.mark.parametrize("asks_usage", [False, True])
async def test_a_completion_is_told_as_it_is_made(asks_usage: bool) -> None:
    async with completing(FakeEngine(TELLS)) as client:
        events = await streamed(client, stream_options={"include_usage": asks_usage})

    *told, last = events
    pieces = loaded(told)
    counts = pieces.pop()["usage"] if asks_usage else None
    assert last == DONE
    assert [piece["choices"][0]["text"] for piece in pieces] == ["a tale", " of two", ""]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None, None, "length"]
    assert {(piece["object"], piece["model"], piece["id"]) for piece in pieces} == {
        ("text_completion", "mine", pieces[0]["id"])
    }
    assert counts == ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5} if asks_usage else None)


async def test_the_engine_is_asked_for_a_stream_with_the_text_as_it_is() -> None:
    seen: list[dict[str, Any]] = []

    async def script(exchange: Exchange) -> None:
        seen.append(dict(exchange.body))
        await TELLS(exchange)

    engine = FakeEngine(script, Manner(model="theirs", defaults={"temperature": 0.1, "top_k": 5}, markers=("<|x|>",)))
    await ask(engine, prompt=["<|x|>once"], temperature=0.5, stop="\n", user="me", echo=False, n=1, suffix="")

    assert seen == [
        {
            "prompt": "<|x|>once",
            "model": "theirs",
            "temperature": 0.5,
            "top_k": 5,
            "stop": "\n",
            "max_tokens": 16,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


async def test_an_empty_stop_is_not_handed_on() -> None:
    seen: list[Any] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange.body.get("stop"))
        await TELLS(exchange)

    for stop in ("", [""], ["", "\n"]):
        await ask(FakeEngine(script), stop=stop)

    assert seen == [None, None, ["\n"]]


async def test_a_server_that_takes_no_stream_options_is_asked_without() -> None:
    async def script(exchange: Exchange) -> None:
        known = "stream_options" not in exchange.body
        await (TELLS if known else refuses(400, {"error": {"message": "unknown field stream_options"}}))(exchange)

    assert (await ask(FakeEngine(script))).status_code == 200


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"prompt": None}, "invalid_message", "prompt"),
        ({"prompt": ""}, "invalid_message", "prompt"),
        ({"prompt": []}, "invalid_message", "prompt"),
        ({"prompt": ["a", "b"]}, "unsupported", "prompt"),
        ({"prompt": [1, 2]}, "unsupported", "prompt"),
        ({"prompt": [[1, 2]]}, "unsupported", "prompt"),
        ({"n": 2}, "invalid_message", "n"),
        ({"best_of": 2}, "invalid_message", "best_of"),
        ({"echo": True}, "invalid_message", "echo"),
        ({"logprobs": 1}, "invalid_message", "logprobs"),
        ({"suffix": "end"}, "invalid_message", "suffix"),
        ({"logit_bias": {"5": 1}}, "invalid_message", "logit_bias"),
        ({"max_tokens": 0}, "invalid_message", "max_tokens"),
        ({"temperature": 3}, "invalid_message", "temperature"),
    ],
)
async def test_what_cannot_be_had_is_refused_with_the_field_that_is_wrong(
    body: dict[str, Any], code: str, param: str
) -> None:
    response = await ask(FakeEngine(TELLS), **body)

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, code)
    assert error["param"].split(".")[0] == param


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "prompt: it is empty."),
        ([], "prompt: it is empty."),
        ([""], "prompt: it is empty."),
        (7, "prompt: it is neither a text nor a list with a text."),
        ([None], "prompt: it is neither a text nor a list with a text."),
        (["a" * 1_000_001], "prompt: it has more than 1000000 characters."),
        ("a\ud800", "prompt: it has half of a character."),
        ([1] * 3000, "Arrays of tokens are not taken; send text."),
    ],
    ids=["empty", "no text", "one empty", "number", "nothing", "too long", "half", "tokens"],
)
async def test_a_wrong_prompt_is_refused_with_the_real_reason(prompt: object, message: str) -> None:
    async with completing(FakeEngine(TELLS)) as client:
        content = json.dumps({"prompt": prompt})  # in ASCII, as half of a character has no bytes
        error = (await client.post("/v1/completions", content=content, headers=JSON)).json()["error"]

    assert (error["param"], error["message"]) == ("prompt", message)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (refuses(404, {"error": {"message": "File Not Found", "type": "not_found_error"}}), 400, "unsupported"),
        (refuses(404, {"detail": "Not Found"}), 400, "unsupported"),
        (refuses(400, {"error": {"type": "exceed_context_size_error"}}), 400, "context_length_exceeded"),
        (refuses(429, {}), 429, "overloaded"),
        (refuses(500, {}), 502, "engine_failed"),
        (says({"error": {"code": 500}}), 502, "engine_failed"),
        (says(), 503, "service_unavailable"),
    ],
)
async def test_what_fails_before_the_first_text_keeps_its_status(
    script: Script, status: int, code: str, stream: bool
) -> None:
    response = await ask(FakeEngine(script), stream=stream)

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_without_an_engine_of_its_own_the_service_completes_nothing() -> None:
    response = await ask(None)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported")


async def test_another_model_is_not_there() -> None:
    response = await ask(FakeEngine(TELLS), model="gpt-3.5-turbo-instruct")

    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_what_fails_in_a_stream_is_its_last_event() -> None:
    async with completing(FakeEngine(says(said("a")))) as client:
        *told, last = await streamed(client)

    assert [piece["choices"][0]["text"] for piece in loaded(told)] == ["a"]
    assert json.loads(last)["error"]["code"] == "service_unavailable"


async def test_a_client_that_leaves_ends_the_work() -> None:
    engine = FakeEngine(stalls(said("a")))

    async with completing(engine) as client:
        body = {"prompt": "once", "stream": True}
        async with client.stream("POST", "/v1/completions", json=body) as response:
            await anext(payloads(response))
        with anyio.fail_after(10):
            await engine.until(lambda server: server.cut_short == 1)


async def test_an_answer_with_a_key_is_made_once() -> None:
    asked: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        asked.append(exchange)
        await TELLS(exchange)

    async with completing(FakeEngine(script)) as client:
        headers = {"Idempotency-Key": "ses:1"}
        answers = [await client.post("/v1/completions", json={"prompt": "once"}, headers=headers) for _ in range(2)]

    assert len(asked) == 1
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"


async def test_an_answer_with_a_key_is_dismissed_as_that_of_a_chat_is() -> None:
    engine = FakeEngine(stalls(said("a")))
    headers = {"Idempotency-Key": "ses:1"}

    async with completing(engine) as client:
        body = {"prompt": "once", "stream": True}
        async with client.stream("POST", "/v1/completions", json=body, headers=headers) as response:
            await anext(payloads(response))
            dismissed = await client.delete("/v1/completions", headers=headers)
        with anyio.fail_after(5):  # far less than the grace of an answer that is not dismissed
            await engine.until(lambda server: server.cut_short == 1)
        keyless = await client.delete("/v1/completions")

    assert dismissed.status_code == 204
    assert (keyless.status_code, keyless.json()["error"]["code"]) == (400, "bad_request")


async def test_no_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "llm_service"):
        await ask(FakeEngine(TELLS), prompt="a secret")

    told = [str(vars(record)) for record in caplog.records]
    assert any("a generation ended" in line for line in told)
    assert not any("secret" in line or "tale" in line for line in told)
