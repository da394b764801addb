"""Requests with a key over HTTP: one generation for all, on both paths, streamed and whole, in memory and in Redis."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest

from llm_service.engines.fake import Canned, Exchange, FakeEngine
from llm_service.settings import LlmSettings
from tests.support.llm import DONE, FINISH, HELLO, delta, refuses, sample, says, stalls, talking_to
from tests.support.llm_runs import redis_server

pytestmark = [pytest.mark.service, pytest.mark.anyio]

CHAT, PLAIN = "/v1/chat/completions", "/llm"
BODY: dict[str, Any] = {"messages": HELLO}
MANY = 50


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@dataclass
class House:
    """The service in front of an engine that counts what it is asked."""

    engine: FakeEngine
    client: httpx.AsyncClient
    asked: int = 0

    def answers(self, script: Any) -> None:
        async def counted(exchange: Exchange) -> None:
            self.asked += 1
            await script(exchange)

        self.engine.answer = counted

    async def post(self, path: str = CHAT, key: str = "k", **fields: Any) -> httpx.Response:
        return await self.client.post(path, json={**BODY, **fields}, headers={"Idempotency-Key": key})


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[House]:
    engine = FakeEngine(Canned())
    async with talking_to(engine, LlmSettings(engine="fake", model_name="parley-test", **settings)) as client:
        house = House(engine, client)
        house.answers(Canned())
        yield house


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with opened() as found:
        yield found


@pytest.fixture(params=["memory", "redis"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    settings = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    async with opened(**settings) as found:
        yield found


async def at_once(house: House, path: str, key: str, gate: anyio.Event, **fields: Any) -> list[httpx.Response]:
    """What many clients get that ask the same; the answer begins when all of them have asked."""
    before = {what: sample("parley_llm_idempotency_total", outcome=what) for what in ("new", "join")}
    responses: list[httpx.Response] = []

    async def ask() -> None:
        responses.append(await house.post(path, key, **fields))

    async with anyio.create_task_group() as tasks:
        for _ in range(MANY):
            tasks.start_soon(ask)
        while sample("parley_llm_idempotency_total", outcome="join") < before["join"] + MANY - 1:
            await anyio.lowlevel.checkpoint()
        gate.set()
    assert sample("parley_llm_idempotency_total", outcome="new") == before["new"] + 1
    return responses


@pytest.mark.parametrize("stream", [True, False])
async def test_many_at_once_with_one_key_are_one_generation_and_the_same_bytes(either: House, stream: bool) -> None:
    gate, key = anyio.Event(), f"many-{stream}"
    either.answers(Canned(gates={0: gate}))

    responses = await at_once(either, CHAT, key, gate, stream=stream)
    later = await either.post(CHAT, key, stream=stream)

    assert either.asked == 1
    assert {response.status_code for response in responses} == {200}
    assert {response.content for response in responses} == {later.content}
    assert "canned" in later.text
    replayed = [response.headers.get("Idempotent-Replayed") for response in responses]
    assert (replayed.count("true"), replayed.count(None)) == (MANY - 1, 1)
    assert later.headers["Idempotent-Replayed"] == "true"
    assert {response.headers["content-type"] for response in responses} == {later.headers["content-type"]}


async def test_many_at_once_get_one_text_and_all_but_one_are_told_so(either: House) -> None:
    gate = anyio.Event()
    either.answers(Canned(gates={0: gate}))

    responses = await at_once(either, PLAIN, "many", gate)
    later = (await either.post(PLAIN, "many")).json()

    answers = [response.json() for response in responses]
    assert either.asked == 1
    assert {(answer["text"], answer["model"]) for answer in answers} == {("This is a canned answer.", "parley-test")}
    assert [answer["cached"] for answer in answers].count(True) == MANY - 1
    assert later == {"text": "This is a canned answer.", "model": "parley-test", "cached": True}


async def test_a_stream_that_is_replayed_is_whole(house: House) -> None:
    await house.post(stream=True)
    lines = (await house.post(stream=True)).text.split("\n\n")

    assert (lines[-2:], lines.count(f"data: {DONE}")) == ([f"data: {DONE}", ""], 1)
    assert house.asked == 1


async def test_without_a_key_each_request_is_answered_anew(house: House) -> None:
    first, second = [await house.client.post(CHAT, json=BODY) for _ in range(2)]
    plain = [(await house.client.post(PLAIN, json=BODY)).json() for _ in range(2)]

    assert house.asked == 4
    assert first.json()["id"] != second.json()["id"]
    assert [answer["cached"] for answer in plain] == [False, False]
    assert "Idempotent-Replayed" not in second.headers


async def test_both_names_of_the_header_are_one(house: House) -> None:
    first = await house.client.post(PLAIN, json=BODY, headers={"X-Idempotency-Key": "ses:1:9f"})
    second = await house.client.post(PLAIN, json=BODY, headers={"Idempotency-Key": "ses:1:9f"})
    both = {"X-Idempotency-Key": "ses:1:9f", "Idempotency-Key": "ses:1:9f"}
    third = await house.client.post(PLAIN, json=BODY, headers=both)

    assert [answer.json()["cached"] for answer in (first, second, third)] == [False, True, True]


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "two words"},
        {"X-Idempotency-Key": "k" * 256},
        {"Idempotency-Key": b"\xe9"},
        {"Idempotency-Key": "a", "X-Idempotency-Key": "b"},
    ],
)
@pytest.mark.parametrize("path", [CHAT, PLAIN])
async def test_a_key_that_is_none_is_refused(house: House, headers: dict[str, Any], path: str) -> None:
    response = await house.client.post(path, json=BODY, headers=headers)

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "bad_request", "Idempotency-Key")
    assert house.asked == 0


async def test_a_key_belongs_to_one_caller_and_one_path(house: House) -> None:
    callers: list[dict[str, str]] = [{}, {"Authorization": "Bearer a"}, {"Authorization": "Bearer b"}]
    responses = [
        await house.client.post(path, json=BODY, headers={"Idempotency-Key": "k", **caller})
        for path in (CHAT, PLAIN)
        for caller in callers
    ]

    assert [response.headers.get("Idempotent-Replayed") for response in responses] == [None] * 6
    assert house.asked == 6


@pytest.mark.parametrize("change", [{"stream": True}, {"temperature": 0.5}, {"messages": [HELLO[0], HELLO[0]]}])
async def test_the_key_of_another_request_is_refused(either: House, change: dict[str, Any]) -> None:
    key = f"other-{next(iter(change))}"
    before = sample("parley_llm_idempotency_total", outcome="conflict")
    first = await either.post(CHAT, key)

    other = await either.post(CHAT, key, **change)
    same = await either.post(CHAT, key, user="somebody else", metadata={"a": "b"})

    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert same.content == first.content
    assert sample("parley_llm_idempotency_total", outcome="conflict") == before + 1


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_is_not_kept(either: House, stream: bool) -> None:
    key = f"error-{stream}"
    either.answers(refuses(500, {"error": "m"}))
    failed = await either.post(CHAT, key, stream=stream)
    either.answers(Canned())
    sound = await either.post(CHAT, key, stream=stream)

    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "engine_failed")
    assert (sound.status_code, sound.headers.get("Idempotent-Replayed"), either.asked) == (200, None, 2)


async def test_an_answer_that_was_cut_is_not_kept(either: House) -> None:
    either.answers(says(delta("a")))
    cut = await either.post(CHAT, "cut", stream=True)
    either.answers(says(delta("b"), FINISH, DONE))
    sound = await either.post(CHAT, "cut", stream=True)

    assert json.loads(cut.text.split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "service_unavailable"
    assert DONE not in cut.text
    assert ('"b"' in sound.text, sound.headers.get("Idempotent-Replayed")) == (True, None)


async def test_an_answer_goes_on_for_those_who_come_back(house: House) -> None:
    gate = anyio.Event()
    house.answers(Canned(gates={1: gate}))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(house.post)
        await house.engine.until(lambda engine: engine.connections == 1)
        tasks.cancel_scope.cancel()
    gate.set()

    answer = await house.post()

    assert (answer.headers["Idempotent-Replayed"], house.asked, house.engine.cut_short) == ("true", 1, 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_nobody_waits_for_ends_after_the_grace(stream: bool) -> None:
    async with opened(idempotency_grace_s=0) as house:
        house.answers(stalls(delta("a")))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: house.post(stream=stream))
            await house.engine.until(lambda engine: engine.connections == 1)
            tasks.cancel_scope.cancel()
        await house.engine.until(lambda engine: engine.connections == 0)

    assert house.engine.cut_short == 1


@pytest.mark.parametrize("path", [CHAT, PLAIN])
async def test_a_dismissed_answer_ends_at_once(house: House, path: str) -> None:
    house.answers(stalls(delta("a")))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(house.post, path)
        await house.engine.until(lambda engine: engine.connections == 1)
        tasks.cancel_scope.cancel()
    dismissed = await house.client.delete(path, headers={"Idempotency-Key": "k"})
    await house.engine.until(lambda engine: engine.connections == 0)

    assert (dismissed.status_code, dismissed.content) == (204, b"")
    assert (await house.client.delete(path)).status_code == 400


async def test_the_service_stops_while_an_answer_runs() -> None:
    async with opened() as house:
        house.answers(stalls(delta("a")))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.post)
            await house.engine.until(lambda engine: engine.connections == 1)
            tasks.cancel_scope.cancel()

    assert house.engine.connections == 0


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
async def test_a_plain_request_out_of_bounds_is_refused(house: House, change: dict[str, Any], param: str) -> None:
    response = await house.client.post(PLAIN, json={**BODY, **change})

    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_a_plain_request_is_asked_with_what_it_says(house: House) -> None:
    seen: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange)
        await says(delta("你"), delta('"好"'), FINISH, DONE)(exchange)

    house.answers(script)
    body = {**BODY, "temperature": 0.3, "max_tokens": 7, "session_id": "s"}
    answer = await house.client.post(PLAIN, json=body)

    assert answer.json() == {"text": '你"好"', "model": "parley-test", "cached": False}
    assert (seen[0].body["temperature"], seen[0].body["max_tokens"]) == (0.3, 7)
    assert "session_id" not in seen[0].body


async def test_half_a_character_breaks_no_answer(house: House) -> None:
    house.answers(says({"choices": [{"index": 0, "delta": {"content": "a\ud83d"}, "finish_reason": "stop"}]}, DONE))

    answers = [await house.client.post(CHAT, json=BODY), await house.client.post(PLAIN, json=BODY)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].json()["text"] == "a?"


async def test_a_store_that_cannot_be_reached_refuses_requests_with_a_key() -> None:
    async with opened(redis_url="redis://127.0.0.1:1/0") as house:
        with_key = await house.post()
        without = await house.client.post(CHAT, json=BODY)
        ready = await house.client.get("/ready")

    assert (with_key.status_code, with_key.json()["error"]["code"]) == (503, "service_unavailable")
    assert (with_key.headers["Retry-After"], without.status_code, house.asked) == ("1", 200, 1)
    assert ready.json()["parts"]["answers"] == "the Redis that keeps the answers cannot be reached"
    assert ready.status_code == 503


async def test_a_store_that_can_be_reached_is_ready(either: House) -> None:
    assert (await either.client.get("/ready")).status_code == 200


@pytest.mark.parametrize("name", ["LLM_REDIS_URL", "REDIS_URL"])
def test_the_address_of_the_store_is_read_and_kept_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "redis://:s3cret@here:6379/0")
    settings = LlmSettings()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:s3cret@here:6379/0"
    assert "s3cret" not in repr(settings)

    monkeypatch.setenv(name, "http://:s3cret@here")
    with pytest.raises(ValueError, match="redis://") as raised:
        LlmSettings()
    assert "s3cret" not in str(raised.value)
