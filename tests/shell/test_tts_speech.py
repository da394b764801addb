"""`POST /v1/audio/speech` on the fake engine: what is sent when, what is refused, and a client that leaves."""

import base64
import json
import logging
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from fastapi import FastAPI

from tests.support.sounds import decoded, pitch_hz
from tests.support.tts_caller import SPEECH, Caller, has_sound
from tests.support.tts_peer import report, service
from tts_service.encoders import FORMATS
from tts_service.engines.base import Capabilities, Voice
from tts_service.engines.fake import FAILS, FakeEngine
from tts_service.speech import INPUT_LIMIT_CHARS

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

TEXT = "A rather long sentence."
TONE_S = len(TEXT) * 0.04
BREAKS = f"Hello there.\n{FAILS}."


class PlainEngine(FakeEngine):
    """One that speaks at one speed and takes no instructions."""

    capabilities = Capabilities(
        languages=("en",), voices=(Voice("tone", "", "A tone"),), max_chars=1000, streaming="chunk", has_speed=False
    )


class Requests:
    """A client in the same house."""

    def __init__(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://tts")

    async def post(self, fields: dict[str, Any] | bytes, path: str = SPEECH) -> httpx.Response:
        if isinstance(fields, bytes):
            return await self._client.post(path, content=fields, headers={"content-type": "application/json"})
        return await self._client.post(path, json=fields)


async def said(engine: FakeEngine, fields: dict[str, Any] | bytes, path: str = SPEECH) -> httpx.Response:
    """The answer of a service that is ready."""
    async with service(engine) as app:
        assert await report(app) == "ready"
        return await Requests(app).post(fields, path)


def events(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\n\n")
    lines = body.decode().removesuffix("\n\n").split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize("name", FORMATS)
async def test_each_format_is_told_by_its_type_and_holds_all_that_was_said(name: str) -> None:
    answer = await said(FakeEngine(), {"input": TEXT, "response_format": name})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FORMATS[name].media_type
    assert "content-length" not in answer.headers
    if name == "pcm":
        assert len(answer.content) / 48_000 == pytest.approx(TONE_S, abs=0.01)
        return
    heard, rate = decoded(answer.content)
    assert heard.size / rate == pytest.approx(TONE_S, abs=0.1)
    assert pitch_hz(heard, rate) == pytest.approx(250, abs=3)


async def test_a_file_is_an_mp3_unless_told_otherwise() -> None:
    answer = await said(FakeEngine(), {"input": TEXT})
    assert answer.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize("name", FORMATS)
async def test_sound_is_sent_while_the_rest_is_made_and_a_client_that_leaves_stops_the_engine(name: str) -> None:
    engine, caller = FakeEngine(), Caller({"input": TEXT, "response_format": name})
    engine.hold()
    async with service(engine) as app, anyio.create_task_group() as tasks:
        assert await report(app) == "ready"
        tasks.start_soon(caller.call, app)
        engine.let(20)  # 400 ms of 920
        await caller.until(has_sound)
        assert engine.running == 1, "the sentence is still being made"
        assert caller.status == 200
        caller.left.set()
        while engine.running:
            await checkpoint()
    assert not caller.is_whole
    assert engine.blocks_made < 25


@pytest.mark.parametrize("name", ["mp3", "pcm"])
async def test_an_engine_that_fails_in_the_middle_cuts_the_body_short(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caller = Caller({"input": BREAKS, "response_format": name})
    async with service(FakeEngine()) as app:
        assert await report(app) == "ready"
        await caller.call(app)
    assert has_sound(caller.sent)
    assert not caller.is_whole
    assert told_in(caplog) == [("WARNING", "a spoken file was cut short", "engine_failed")]


def told_in(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str | None]]:
    """The log of what went wrong; no line has a traceback."""
    assert [record for record in caplog.records if record.exc_info] == []
    faults = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [(record.levelname, record.getMessage(), getattr(record, "code", None)) for record in faults]


async def test_an_engine_that_fails_before_the_first_sound_is_an_http_error() -> None:
    answer = await said(FakeEngine(), {"input": f"{FAILS}!", "stream_format": "sse", "response_format": "flac"})
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "engine_failed"


async def test_a_reply_that_is_refused_for_load_is_told_so_and_when_to_come_again() -> None:
    engine, caller = FakeEngine(), Caller({"input": TEXT})
    engine.hold()
    async with service(engine, slots=1, max_streams=1) as app, anyio.create_task_group() as tasks:
        assert await report(app) == "ready"
        tasks.start_soon(caller.call, app)
        while not engine.running:
            await checkpoint()
        refused = await Requests(app).post({"input": TEXT})
        caller.left.set()
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_sessions"
    assert refused.headers["retry-after"] == "1"


@pytest.mark.parametrize("name", ["mp3", "wav"])
async def test_events_hold_the_same_file_and_what_was_used(name: str) -> None:
    fields = {"input": TEXT, "response_format": name}
    async with service(FakeEngine()) as app:
        assert await report(app) == "ready"
        requests = Requests(app)
        file = (await requests.post(fields)).content
        answer = await requests.post({**fields, "stream_format": "sse"})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *deltas, done = events(answer.content)
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert len(deltas) > 3
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == file
    spoken = -(-round(TONE_S * 1000) // 50)
    usage = {"input_tokens": len(TEXT), "output_tokens": spoken, "total_tokens": len(TEXT) + spoken}
    assert done == {"type": "speech.audio.done", "usage": usage}


async def test_a_failure_after_the_first_event_is_the_last_event(caplog: pytest.LogCaptureFixture) -> None:
    caller = Caller({"input": BREAKS, "stream_format": "sse", "response_format": "opus"})
    async with service(FakeEngine()) as app:
        assert await report(app) == "ready"
        await caller.call(app)
    *deltas, last = events(caller.body)
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert last["type"] == "speech.audio.error"
    assert last["error"]["code"] == "engine_failed"
    assert FAILS not in json.dumps(last)
    assert caller.is_whole
    assert told_in(caplog) == [("WARNING", "a spoken file was cut short", "engine_failed")]


async def test_the_first_event_comes_while_the_rest_is_made() -> None:
    engine, caller = FakeEngine(), Caller({"input": TEXT, "stream_format": "sse"})
    engine.hold()
    async with service(engine) as app, anyio.create_task_group() as tasks:
        assert await report(app) == "ready"
        tasks.start_soon(caller.call, app)
        engine.let(20)
        await caller.until(has_sound)
        assert engine.running == 1
        caller.left.set()
    assert caller.body.startswith(b'data: {"type": "speech.audio.delta"')


@pytest.mark.parametrize("voice", ["tone", {"id": "tone"}])
async def test_a_voice_is_named_or_given_by_its_id(voice: object) -> None:
    engine = FakeEngine()
    answer = await said(engine, {"input": TEXT, "voice": voice, "instructions": "Kindly.", "speed": 1.5})
    assert answer.status_code == 200
    request = engine.requests[0]
    assert (request.voice, request.instruction, request.speed) == ("tone", "Kindly.", 1.5)


async def test_instructions_are_refused_by_an_engine_that_takes_none_unless_they_say_nothing() -> None:
    async with service(PlainEngine()) as app:
        assert await report(app) == "ready"
        refused = await Requests(app).post({"input": TEXT, "instructions": "Kindly."})
        taken = await Requests(app).post({"input": TEXT, "instructions": "  "})
    assert refused.status_code == 400
    assert (refused.json()["error"]["code"], refused.json()["error"]["param"]) == ("unsupported", "instructions")
    assert taken.status_code == 200


async def test_finer_speech_is_refused_by_a_service_that_has_none() -> None:
    answer = await said(FakeEngine(), {"input": TEXT, "tier": "hq"})
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("unsupported", "tier")


@pytest.mark.parametrize("speed", [0.25, 0.5, 2, 4])
async def test_an_engine_of_one_speed_is_made_faster_or_slower_at_its_pitch(speed: float) -> None:
    engine = PlainEngine()
    answer = await said(engine, {"input": TEXT, "speed": speed, "response_format": "flac"})
    heard, rate = decoded(answer.content)
    assert heard.size / rate == pytest.approx(TONE_S / speed, abs=0.06 / speed + 0.06)
    assert pitch_hz(heard, rate) == pytest.approx(250, abs=6)
    assert engine.requests[0].speed == 1.0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "tape"}, "response_format"),
        ({"response_format": None}, "response_format"),
        ({"stream_format": "morse"}, "stream_format"),
        ({"voice": "nobody"}, "voice"),
        ({"voice": {"id": "nobody"}}, "voice"),
        ({"voice": {"id": ["tone"]}}, "voice"),
        ({"voice": {}}, "voice"),
        ({"voice": "x" * 129}, "voice"),
        ({"voice": "\ud800"}, "voice"),
        ({"speed": 4.01}, "speed"),
        ({"speed": 0.2}, "speed"),
        ({"speed": "NaN"}, "speed"),
        ({"input": ""}, "input"),
        ({"input": None}, "input"),
        ({"input": "x" * (INPUT_LIMIT_CHARS + 1)}, "input"),
        ({"input": "字" * 3_500_000}, "input"),
        ({"input": "Hello \udc00 there"}, "input"),
        ({"instructions": "x" * (INPUT_LIMIT_CHARS + 1)}, "instructions"),
    ],
)
async def test_a_wrong_field_is_a_typed_error_that_repeats_nothing(fields: dict[str, Any], param: str) -> None:
    answer = await said(FakeEngine(), json.dumps({"input": TEXT, **fields}).encode())
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"], error["type"]) == ("invalid_message", param, "invalid_request_error")
    assert len(answer.content) < 500


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 50_000, b'"input"', b"\xff\xfe", b'{"input": NaN}'])
async def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    answer = await said(FakeEngine(), body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_control_characters_are_not_said() -> None:
    engine = FakeEngine()
    answer = await said(engine, {"input": "\x00Hel\x07lo\x1b[31m\u202e.\x00", "response_format": "pcm"})
    assert answer.status_code == 200
    assert all(request.text.isprintable() for request in engine.requests)
    assert len(engine.requests) == 1


@pytest.mark.parametrize("name", FORMATS)
async def test_a_text_with_nothing_to_say_is_a_file_all_the_same(name: str) -> None:
    answer = await said(FakeEngine(), {"input": "🙂 \x00", "response_format": name})
    assert answer.status_code == 200
    assert len(answer.content) > 0 or name == "pcm"


async def test_the_plain_way_is_a_wav_in_the_voice_of_a_file_or_the_usual_one() -> None:
    engine = FakeEngine()
    async with service(engine) as app:
        assert await report(app) == "ready"
        plain = await Requests(app).post({"text": TEXT, "cfg_scale": 1.3}, "/tts")
        named = await Requests(app).post({"text": TEXT, "speaker_voice_path": "tone"}, "/tts")
    assert (plain.status_code, named.status_code) == (200, 200)
    assert plain.headers["content-type"] == "audio/wav"
    heard, rate = decoded(plain.content)
    assert heard.size / rate == pytest.approx(TONE_S, abs=0.01)
    assert [request.voice for request in engine.requests] == [None, "tone"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text": ""}, "text"),
        ({"text": "x" * 20_001}, "text"),
        ({"cfg_scale": 0.4}, "cfg_scale"),
        ({"cfg_scale": 2.1}, "cfg_scale"),
        ({"speaker_voice_path": "/app/voices/zh-Nobody_woman.wav"}, "speaker_voice_path"),
        ({"speaker_voice_path": "/app/voices/../../etc/passwd"}, "speaker_voice_path"),
        ({"speaker_voice_path": "x" * 1_025}, "speaker_voice_path"),
    ],
)
async def test_the_plain_way_refuses_what_it_cannot_do_by_its_own_names(fields: dict[str, Any], param: str) -> None:
    answer = await said(FakeEngine(), {"text": TEXT, **fields}, "/tts")
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("invalid_message", param)
