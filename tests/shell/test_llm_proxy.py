"""What the client sees of upstreams that misbehave, and what is left afterwards: one typed error, nothing open."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from llm_service.engines.fake import Canned, FakeEngine, Script
from llm_service.settings import LlmSettings
from tests.support.llm import (
    DONE,
    FINISH,
    HELLO,
    delta,
    loaded,
    refuses,
    sample,
    says,
    sends,
    stalls,
    streamed,
    talking_to,
    text_of,
)

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

PATIENT = LlmSettings(engine="fake")
HASTY = LlmSettings(engine="fake", first_token_timeout_s=0.05, idle_timeout_s=600)  # for servers that never begin
RESTLESS = LlmSettings(engine="fake", idle_timeout_s=0.05)  # for servers that fall silent
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


Service = tuple[FakeEngine, httpx.AsyncClient]  # in front of an engine whose script each test sets


@pytest.fixture(scope="module")
async def patient(anyio_backend: str) -> AsyncIterator[Service]:
    engine = FakeEngine(Canned())
    async with talking_to(engine, PATIENT) as client:
        yield engine, client


@pytest.fixture(scope="module")
async def hasty(anyio_backend: str) -> AsyncIterator[Service]:
    engine = FakeEngine(Canned())
    async with talking_to(engine, HASTY) as client:
        yield engine, client


@pytest.fixture(scope="module")
async def restless(anyio_backend: str) -> AsyncIterator[Service]:
    engine = FakeEngine(Canned())
    async with talking_to(engine, RESTLESS) as client:
        yield engine, client


BAD_START: dict[str, tuple[Script, int, str]] = {
    "closes without an answer": (sends(), 503, "service_unavailable"),
    "sends an empty stream": (says(), 503, "service_unavailable"),
    "sends only done": (says(DONE), 503, "service_unavailable"),
    "sends no HTTP": (sends(b"\x00\x01\x02\r\n\r\n"), 503, "service_unavailable"),
    "sends broken JSON": (says('{"choices":['), 502, "engine_failed"),
    "sends an error line": (says({"error": {"message": "m", "code": 500}}), 502, "engine_failed"),
    "sends a flat error line": (says({"code": "oops", "error": "m"}), 502, "engine_failed"),
    "sends an old error line": (sends(CHUNKED[:-30], b'\r\n\r\nerror: {"code":500}\n\n'), 502, "engine_failed"),
    "sends an error body with 200": (refuses(200, {"error": "m"}), 502, "engine_failed"),
    "sends a line without an end": (sends(CHUNKED[:-30], b"\r\n\r\ndata: ", b"x" * 2**21), 502, "engine_failed"),
    "finds out late that the prompt is long": (
        says({"error": {"code": 400, "type": "exceed_context_size_error"}}), 400, "context_length_exceeded",
    ),
    "refuses the request": (refuses(400, {"error": {"message": "m"}}), 400, "bad_request"),
    "refuses the key": (refuses(401, {"error": {"message": "m"}}), 503, "service_unavailable"),
    "has no such path": (refuses(404, {"detail": "Not Found"}), 502, "engine_failed"),
    "has no room": (refuses(429, {"error": "m"}), 429, "overloaded"),
    "fails": (refuses(500, {"error": "m"}), 502, "engine_failed"),
    "is loading": (refuses(503, {"error": {"message": "Loading model"}}), 503, "service_unavailable"),
}  # fmt: skip

BAD_MIDDLE: dict[str, tuple[Script, str]] = {
    "is cut": (says(delta("a")), "service_unavailable"),
    "is cut inside a chunk": (
        sends(CHUNKED, b"ff\r\ndata: " + json.dumps(delta("a")).encode() + b"\n\n"), "service_unavailable",
    ),
    "ends with done alone": (says(delta("a"), DONE), "service_unavailable"),
    "turns to garbage": (says(delta("a"), "{garbage", delta("b")), "engine_failed"),
    "fails": (says(delta("a"), {"error": {"message": "m", "code": 500}}), "engine_failed"),
    "fails and says done": (says(delta("a"), {"error": {"message": "m"}}, DONE), "engine_failed"),
    "fails flat": (says(delta("a"), {"code": "oops", "error": "m"}), "engine_failed"),
    "fails after its end": (says(delta("a"), FINISH, {"error": "m"}), "engine_failed"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_START)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_server_that_fails_before_its_first_token_gives_a_status_and_a_typed_error(
    patient: Service, case: str, stream: bool
) -> None:
    engine, client = patient
    engine.answer, status, code = BAD_START[case]
    before = sample("parley_errors_total", service="llm", code=code)

    response = await client.post("/v1/chat/completions", json={"messages": HELLO, "stream": stream})

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert sample("parley_errors_total", service="llm", code=code) == before + 1
    await engine.until(lambda engine: engine.connections == 0)
    assert sample("parley_llm_running", engine="fake") == 0


@pytest.mark.parametrize("case", BAD_MIDDLE)
async def test_a_server_that_fails_later_gives_one_error_event_as_the_last(patient: Service, case: str) -> None:
    engine, client = patient
    engine.answer, code = BAD_MIDDLE[case]
    before = sample("parley_errors_total", service="llm", code=code)

    events = await streamed(client)

    assert [event["error"]["code"] for event in loaded(events) if "error" in event] == [code]
    assert "error" in loaded(events)[-1]
    assert DONE not in events
    assert text_of(events[:-1]) == "a"
    assert sample("parley_errors_total", service="llm", code=code) == before + 1
    await engine.until(lambda engine: engine.connections == 0)


@pytest.mark.parametrize("case", BAD_MIDDLE)
async def test_a_server_that_fails_later_gives_no_half_answer_as_a_whole_one(patient: Service, case: str) -> None:
    engine, client = patient
    engine.answer, code = BAD_MIDDLE[case]

    response = await client.post("/v1/chat/completions", json={"messages": HELLO})

    assert response.json()["error"]["code"] == code
    assert response.status_code >= 500


@pytest.mark.parametrize("events", [[], [{"choices": [{"delta": {"role": "assistant"}}]}]], ids=["nothing", "role"])
async def test_a_server_that_never_begins_is_left_after_a_while(hasty: Service, events: list[object]) -> None:
    engine, client = hasty
    engine.answer = stalls(*events)

    response = await client.post("/v1/chat/completions", json={"messages": HELLO, "stream": True})

    assert (response.status_code, response.json()["error"]["code"]) == (504, "service_timeout")
    await engine.until(lambda engine: engine.connections == 0)


async def test_a_server_that_falls_silent_is_left_after_a_while(restless: Service) -> None:
    engine, client = restless
    engine.answer = stalls(delta("a"))

    events = await streamed(client)

    assert loaded(events)[-1]["error"]["code"] == "service_timeout"
    assert text_of(events[:-1]) == "a"
    await engine.until(lambda engine: engine.connections == 0)


@pytest.mark.parametrize("script", [says(delta("a"), FINISH), stalls(delta("a"), FINISH)], ids=["ends", "stays open"])
async def test_the_missing_last_event_is_added(restless: Service, script: Script) -> None:
    engine, client = restless
    engine.answer = script

    events = await streamed(client)

    assert (text_of(events), events[-1], events.count(DONE)) == ("a", DONE, 1)
    await engine.until(lambda engine: engine.connections == 0)


async def test_a_body_above_the_limit_that_is_set_is_refused() -> None:
    async with talking_to(FakeEngine(Canned()), LlmSettings(engine="fake", body_limit_bytes=1024)) as client:
        answer = await client.post("/v1/chat/completions", json={"messages": HELLO, "user": "x" * 1024})

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "message_too_large")
