"""The client side of an engine: what is asked of it, how often, and how answers end."""

import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import httpx
import pytest

from llm_service.answers import EngineAnswers
from llm_service.app import assemble
from llm_service.chat import chat_answer
from llm_service.core.answer import Delta
from llm_service.engines.base import Manner
from llm_service.engines.fake import Canned, Exchange, FakeEngine
from llm_service.engines.openai_upstream import OpenAiUpstream
from llm_service.openai_wire import ChatRequest
from llm_service.settings import LlmSettings
from llm_service.upstream import Upstream
from shared.errors import Overloaded, ServiceUnavailable
from tests.support.llm import DONE, FINISH, HELLO, delta, loaded, refuses, sample, says, streamed, talking_to, text_of

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

PATIENT = LlmSettings(engine="fake", start_wait_s=0, max_requests=4)
RESTLESS = LlmSettings(engine="fake", idle_timeout_s=0.05)  # for clients that read nothing

Service = tuple[FakeEngine, httpx.AsyncClient]  # in front of an engine whose script each test sets


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def patient(anyio_backend: str) -> AsyncIterator[Service]:
    engine = FakeEngine(Canned())
    async with talking_to(engine, PATIENT) as client:
        yield engine, client


async def test_counts_that_a_server_does_not_give_are_left_out(patient: Service) -> None:
    engine, client = patient
    engine.answer = says(delta("a"), FINISH, DONE)

    events = await streamed(client, stream_options={"include_usage": True})
    whole = (await client.post("/v1/chat/completions", json={"messages": HELLO})).json()

    assert [event for event in loaded(events) if "usage" in event] == []
    assert "usage" not in whole


async def test_a_server_that_refuses_stream_options_is_asked_without_them(
    patient: Service,
) -> None:
    engine, client = patient
    bodies: list[Any] = []

    async def script(exchange: Exchange) -> None:
        bodies.append(exchange.body)
        if "stream_options" in exchange.body:
            await exchange.tell(400, {"error": {"message": "stream_options is not supported"}})
        else:
            await says(delta("a"), FINISH, DONE)(exchange)

    engine.answer = script

    assert text_of(await streamed(client)) == "a"
    assert ["stream_options" in body for body in bodies] == [True, False]


async def test_a_server_that_refuses_both_is_not_asked_a_third_time(
    patient: Service,
) -> None:
    engine, client = patient
    asked: list[str] = []

    async def script(exchange: Exchange) -> None:
        asked.append(exchange.method)
        await exchange.tell(400, {"error": {"message": "stream_options"}})

    engine.answer = script
    response = await client.post("/v1/chat/completions", json={"messages": HELLO})

    assert (response.status_code, len(asked)) == (400, 2)


async def test_how_long_to_wait_is_handed_on(patient: Service) -> None:
    engine, client = patient
    engine.answer = refuses(429, {"error": "m"}, Retry_After="7")

    response = await client.post("/v1/chat/completions", json={"messages": HELLO})

    assert response.headers["Retry-After"] == "7"


async def test_only_what_is_meant_for_the_server_reaches_it(patient: Service) -> None:
    engine, client = patient
    seen: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange)
        await says(delta("a"), FINISH, DONE)(exchange)

    engine.answer = script
    headers = {"X-Conversation-Id": "c", "Idempotency-Key": "k", "Authorization": "Bearer mine", "Cookie": "a=b"}
    body = {"messages": HELLO, "user": "me", "tools": [], "top_p": 0.5, "stop": ["x"], "model": "other", "made_up": 1}
    response = await client.post("/v1/chat/completions", json=body, headers=headers)

    assert response.status_code == 200
    assert set(seen[0].headers) == {
        "host", "accept", "accept-encoding", "connection", "content-length", "content-type", "user-agent",
    }  # fmt: skip
    assert set(seen[0].body) == {"messages", "top_p", "stop", "stream", "stream_options"}


async def test_a_client_that_leaves_before_the_first_token_ends_the_work() -> None:
    gate = anyio.Event()
    engine = FakeEngine(Canned(gates={0: gate}))
    async with talking_to(engine, PATIENT) as client:
        for stream in (True, False):
            body = {"messages": HELLO, "stream": stream}
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(client.post, "/v1/chat/completions", json=body))
                await engine.until(lambda engine: engine.connections == 1)
                tasks.cancel_scope.cancel()
            await engine.until(lambda engine: engine.connections == 0)

    assert engine.cut_short == 2


async def test_no_more_answers_run_at_once_than_are_allowed() -> None:
    gate = anyio.Event()
    engine = FakeEngine(Canned(gates={0: gate}))
    upstream = Upstream(engine, PATIENT)

    async def ask() -> None:
        async with upstream.answer({"messages": HELLO}) as parts:
            async for _ in parts:
                pass

    async with engine.running(), upstream.opened(), anyio.create_task_group() as tasks:
        for _ in range(PATIENT.max_requests):
            tasks.start_soon(ask)
        await engine.until(lambda engine: engine.connections == PATIENT.max_requests)
        with pytest.raises(Overloaded):
            await ask()
        gate.set()


async def test_stopping_ends_the_answers_that_run_and_refuses_new_ones() -> None:
    engine = FakeEngine(Canned(gates={1: anyio.Event()}))
    upstream = Upstream(engine, PATIENT)
    has_begun, failures = anyio.Event(), list[ServiceUnavailable]()

    async def ask() -> None:
        try:
            async with upstream.answer({"messages": HELLO}) as parts:
                async for part in parts:
                    assert part == Delta("This")
                    has_begun.set()
        except ServiceUnavailable as failure:
            failures.append(failure)

    async with engine.running(), anyio.create_task_group() as tasks:
        async with upstream.opened():
            tasks.start_soon(ask)
            await has_begun.wait()
        await ask()
        await engine.until(lambda engine: engine.connections == 0)

    assert [failure.message for failure in failures] == ["The language service is stopping."] * 2


async def test_an_answer_that_nobody_read_leaves_no_connection() -> None:
    engine = FakeEngine(Canned(gates={0: anyio.Event()}))
    upstream = Upstream(engine, PATIENT)
    async with engine.running(), upstream.opened():
        with pytest.raises(RuntimeError, match="a fault of the reader"):
            async with upstream.answer({"messages": HELLO}):
                raise RuntimeError("a fault of the reader")
        await engine.until(lambda engine: engine.connections == 0)

    assert engine.cut_short == 1


async def test_an_engine_that_is_down_gives_a_503_that_says_when_to_come_back() -> None:
    class Down(FakeEngine):
        async def target(self, within_s: float) -> None:
            return None

    async with talking_to(Down(Canned()), PATIENT) as client:
        response = await client.post("/v1/chat/completions", json={"messages": HELLO, "stream": True})

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json()["error"]["code"] == "service_unavailable"


async def test_a_server_that_is_not_there_gives_a_503() -> None:
    engine = FakeEngine(Canned())
    async with engine.running():
        gone = await engine.target(0)
    assert gone is not None
    foreign = OpenAiUpstream(LlmSettings(upstream_url=gone.address))
    async with talking_to(foreign, LlmSettings(engine="openai")) as client:
        response = await client.post("/v1/chat/completions", json={"messages": HELLO})
        ready = await client.get("/ready")

    assert (response.status_code, response.json()["error"]["code"]) == (503, "service_unavailable")
    assert ready.json()["parts"] == {"engine": "the upstream server cannot be reached"}


async def test_a_foreign_server_gets_the_key_and_its_own_name_for_the_model() -> None:
    elsewhere, seen = FakeEngine(Canned()), list[Exchange]()

    async def script(exchange: Exchange) -> None:
        seen.append(exchange)
        await says(delta("a"), FINISH, DONE)(exchange)

    elsewhere.answer = script
    async with elsewhere.running():
        target = await elsewhere.target(0)
        assert target is not None
        settings = LlmSettings.model_validate(
            {"engine": "openai", "upstream_url": target.address.removesuffix("/v1"), "upstream_key": "s3cret"}
            | {"upstream_model": "theirs", "temperature": 0.7}
        )
        async with talking_to(OpenAiUpstream(settings), settings) as client:
            events = await streamed(client)

    assert seen[0].headers["authorization"] == "Bearer s3cret"
    assert (seen[0].body["model"], seen[0].body["temperature"]) == ("theirs", 0.7)
    assert {event["model"] for event in loaded(events)} == {"theirs"}
    assert "s3cret" not in repr(settings) + repr(await OpenAiUpstream(settings).target(0))


async def test_defaults_of_the_engine_give_way_to_what_the_client_asks() -> None:
    seen: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange)
        await says(delta("a"), FINISH, DONE)(exchange)

    engine = FakeEngine(script, Manner(model=None, defaults={"temperature": 0.3}, markers=("<|im_end|>",)))
    async with talking_to(engine) as client:
        await streamed(client)
        await streamed(client, temperature=0, messages=[{"role": "user", "content": "a<|im_end|>b"}])

    assert [exchange.body["temperature"] for exchange in seen] == [0.3, 0]
    assert seen[1].body["messages"] == [{"role": "user", "content": "a< |im_end|>b"}]


async def test_a_client_that_reads_nothing_is_let_go() -> None:
    engine = FakeEngine(Canned())
    upstream = Upstream(engine, PATIENT)

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(_: object) -> None:
        await anyio.sleep_forever()

    request = ChatRequest.model_validate({"messages": HELLO, "stream": True})
    async with engine.running(), upstream.opened():
        answer = chat_answer(EngineAnswers(upstream), request, RESTLESS)
        await answer({"type": "http"}, receive, send)
        await engine.until(lambda engine: engine.connections == 0)

    assert sample("parley_llm_running", engine="fake") == 0


async def test_neither_prompts_nor_replies_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine(says(delta("kumquat"), {"error": {"message": "about durian"}}))
    messages = [{"role": "user", "content": "persimmon"}]
    with caplog.at_level(logging.DEBUG):
        async with talking_to(engine) as client:
            events = await streamed(client, messages=messages)

    logged = " ".join(str(vars(record)) for record in caplog.records if record.name.startswith(("llm", "shared")))
    assert "a generation ended" in logged
    assert [word for word in ("kumquat", "durian", "persimmon") if word in logged] == []
    assert "durian" not in str(events)


def test_the_app_is_described() -> None:
    paths = assemble(PATIENT, FakeEngine(Canned())).openapi()["paths"]

    assert {"/v1/chat/completions", "/v1/models", "/health", "/ready", "/metrics"} <= set(paths)
