"""The tts_service whole, with the real espeak-ng: HTTP in process, and the stream beside it."""

import io
import json
import struct
import wave
from collections.abc import AsyncIterator, Generator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
from anyio.lowlevel import checkpoint
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from shared.errors import EngineFailed
from shared.threads import StopToken
from shared.wire.tts import TTS_OUT, Done, End, SegmentStarted, Start, Text, TtsReady, decode_audio
from tts_service.app import build_app
from tts_service.engines import ENGINES
from tts_service.engines.base import SynthesisRequest
from tts_service.engines.fake import FAILS, FakeEngine, FakeSlot
from tts_service.settings import TtsSettings
from tts_service.speech import INPUT_LIMIT_CHARS, UNKNOWN_LENGTH

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def espeak() -> Iterator[TestClient]:
    """A client of the service as it runs by default."""
    with TestClient(build_app(TtsSettings(slots=1))) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


@pytest.fixture
def fake() -> Iterator[TestClient]:
    """A client of the service with the tone."""
    with TestClient(build_app(TtsSettings(engine="fake")), raise_server_exceptions=False) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def speech(client: TestClient, text: str = "Hello there, this is a test.", **more: Any) -> Any:
    return client.post("/v1/audio/speech", json={"model": "tts-1", "input": text, "voice": "alloy", **more})


def test_the_service_is_live_and_ready(espeak: TestClient) -> None:
    assert espeak.get("/health").json() == {"status": "healthy"}
    assert espeak.get("/ready").json() == {"ready": True, "parts": {"engine": "ready"}}
    assert "parley_tts_ttfb_seconds" in espeak.get("/metrics").text


def test_speech_is_a_wav_that_can_be_heard(espeak: TestClient) -> None:
    response = speech(espeak)
    assert response.status_code == 200
    assert response.headers["content-type"] == "audio/wav"
    assert "content-length" not in response.headers
    head, pcm = response.content[:44], response.content[44:]
    assert head[:4] == b"RIFF"
    assert struct.unpack("<I", head[4:8])[0] == struct.unpack("<I", head[40:44])[0] == UNKNOWN_LENGTH
    with wave.open(io.BytesIO(response.content)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 24_000)
    samples = np.frombuffer(pcm, np.int16)
    assert samples.size / 24_000 > 0.5
    assert np.abs(samples.astype(np.int32)).max() > 2_000


def test_pcm_is_the_same_without_a_header(espeak: TestClient) -> None:
    response = speech(espeak, response_format="pcm")
    assert response.headers["content-type"] == "audio/pcm"
    assert response.headers["x-sample-rate"] == "24000"
    assert len(response.content) == pytest.approx(len(speech(espeak).content) - 44, rel=0.02)


def test_a_speed_of_two_takes_half_the_time(espeak: TestClient) -> None:
    usual, fast = (len(speech(espeak, speed=speed).content) for speed in (1.0, 2.0))
    assert fast == pytest.approx(usual / 2, rel=0.25)


def test_several_sentences_and_scripts_are_all_said(espeak: TestClient) -> None:
    parts = ["Hello there.", "今天天气很好。", "안녕하세요."]
    alone = sum(len(speech(espeak, part, response_format="pcm").content) for part in parts)
    together = len(speech(espeak, " ".join(parts), response_format="pcm").content)
    assert alone < together < alone + 24_000 * 2 * 1.5, "the pauses between them come on top"


def test_a_text_with_nothing_to_say_is_an_empty_wav(espeak: TestClient) -> None:
    response = speech(espeak, "🙂")
    assert response.status_code == 200
    assert len(response.content) == 44


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"response_format": "mp3"}, "unsupported", "response_format"),
        ({"stream_format": "sse"}, "unsupported", "stream_format"),
        ({"response_format": "tape"}, "invalid_message", "response_format"),
        ({"voice": "nobody"}, "invalid_message", "voice"),
        ({"speed": 9}, "invalid_message", "speed"),
        ({"input": ""}, "invalid_message", "input"),
        ({"input": "x" * (INPUT_LIMIT_CHARS + 1)}, "invalid_message", "input"),
    ],
)
def test_a_wrong_field_is_a_typed_error(espeak: TestClient, fields: dict[str, Any], code: str, param: str) -> None:
    response = espeak.post("/v1/audio/speech", json={"input": "Hello.", **fields})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")


def test_an_input_at_the_limit_is_spoken(fake: TestClient) -> None:
    words = ("word " * INPUT_LIMIT_CHARS)[:INPUT_LIMIT_CHARS]
    response = fake.post("/v1/audio/speech", json={"input": words})
    assert response.status_code == 200


class MuteEngine(FakeEngine):
    def open_slot(self) -> "MuteSlot":
        self.open_slots += 1
        return MuteSlot(self)


class MuteSlot(FakeSlot):
    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        raise EngineFailed("The tone is mute.", service="tts")
        yield b""


def test_an_engine_that_fails_before_the_first_sound_is_an_http_error() -> None:
    with TestClient(build_app(TtsSettings(engine="fake"), MuteEngine())) as client:
        while client.get("/ready").status_code != 200:
            pass
        response = client.post("/v1/audio/speech", json={"input": "Hello."})
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "engine_failed"


def test_voices_are_listed(espeak: TestClient) -> None:
    listed = espeak.get("/v1/voices").json()
    assert listed["engine"] == "espeak"
    assert listed["default"] is None
    entries = {voice["id"]: voice for voice in listed["voices"]}
    assert {"alloy", "en-us", "cmn", "ko", "ja", "de", "fr", "es"} <= set(entries)
    assert entries["en-us"] == {"id": "en-us", "name": "English (America)", "language": "en-us"}


def test_the_stream_speaks_a_reply(espeak: TestClient) -> None:
    with espeak.websocket_connect("/v1/stream") as socket:
        hello = TTS_OUT.decode(socket.receive_text())
        assert isinstance(hello, TtsReady)
        assert hello.engine == "espeak"
        for message in (
            Start(reply_id="rpl_1", voice="en-us+m3", sample_rate=16_000),
            Text(reply_id="rpl_1", delta="Hello there. 你好"),
            Text(reply_id="rpl_1", delta="，世界。"),
            End(reply_id="rpl_1"),
        ):
            socket.send_text(message.to_json())
        texts, pcm, done = [], b"", None
        while done is None:
            frame = socket.receive()
            if frame.get("bytes"):
                reply_id, more = decode_audio(frame["bytes"])
                assert reply_id == "rpl_1"
                pcm += more
                continue
            told = TTS_OUT.decode(frame["text"])
            if isinstance(told, SegmentStarted):
                texts.append(told.text)
            elif isinstance(told, Done):
                done = told
    assert texts == ["Hello there.", "你好，世界。"]
    assert done == Done(reply_id="rpl_1", outcome="completed", total_samples=len(pcm) // 2)
    assert len(pcm) / 2 / 16_000 > 1.5


def test_a_service_at_its_limit_refuses_speech_and_streams() -> None:
    with TestClient(build_app(TtsSettings(engine="fake", max_streams=1))) as client:
        while client.get("/ready").status_code != 200:
            pass
        with client.websocket_connect("/v1/stream") as socket:
            socket.receive_text()
            refused = client.post("/v1/audio/speech", json={"input": "Hello."})
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "too_many_sessions"
            assert refused.headers["retry-after"] == "1"
            with client.websocket_connect("/v1/stream") as other:
                other.receive_text()
                with pytest.raises(WebSocketDisconnect):
                    other.receive_text()
        assert client.post("/v1/audio/speech", json={"input": "Hello."}).status_code == 200


class Caller:
    """A client of one POST, seen from its server's side: every message that the service sends, as it is sent."""

    def __init__(self, text: str) -> None:
        self._body = json.dumps({"input": text}).encode()
        self._has_asked = False
        self.sent: list[dict[str, Any]] = []
        self.heard = anyio.Event()
        self.left = anyio.Event()

    async def call(self, app: FastAPI) -> None:
        scope = {
            "type": "http", "method": "POST", "path": "/v1/audio/speech", "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }  # fmt: skip
        await app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(dict(message))
        if len(self.sent) == 3:  # status, header of the file, sound
            self.heard.set()


@asynccontextmanager
async def running(engine: FakeEngine) -> AsyncIterator[FastAPI]:
    app = build_app(TtsSettings(engine="fake"), engine)
    with anyio.fail_after(20):
        async with app.router.lifespan_context(app):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tts") as client:
                while (await client.get("/ready")).status_code != 200:
                    pass
            yield app


@pytest.mark.anyio
async def test_speech_streams_from_its_first_sound_and_a_client_that_leaves_stops_the_engine() -> None:
    engine, caller = FakeEngine(), Caller("A rather long sentence.")
    engine.hold()
    async with running(engine) as app, anyio.create_task_group() as tasks:
        tasks.start_soon(caller.call, app)
        engine.let(10)
        await caller.heard.wait()
        assert [message["type"] for message in caller.sent] == ["http.response.start", *["http.response.body"] * 2]
        assert caller.sent[1]["body"][:4] == b"RIFF"
        assert engine.running == 1, "the sentence is still being made"
        caller.left.set()
        while engine.running:
            await checkpoint()


@pytest.mark.anyio
async def test_an_engine_that_fails_in_the_middle_cuts_the_body_short() -> None:
    caller = Caller(f"Hello there.\n{FAILS}.")
    async with running(FakeEngine()) as app:
        with pytest.raises(RuntimeError):  # the server closes the connection without the end of the body
            await caller.call(app)
    assert caller.heard.is_set()
    assert all(message.get("more_body", True) for message in caller.sent)


def test_every_setting_is_described_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, field in TtsSettings.model_fields.items():
        assert field.description, name
        assert field.annotation is not int or len(field.metadata) == 2, name
    monkeypatch.setenv("SEGMENT_LENGTH_THRESHOLD", "120")
    monkeypatch.setenv("TTS_SLOTS", "3")
    settings = TtsSettings.load()
    assert (settings.max_chars, settings.slots, settings.port) == (120, 3, 8003)


@pytest.mark.parametrize(("name", "bad"), [("TTS_ENGINE", "parrot"), ("TTS_SLOTS", "0"), ("TTS_MAX_CHARS", "many")])
def test_a_bad_setting_stops_the_start_with_its_name(monkeypatch: pytest.MonkeyPatch, name: str, bad: str) -> None:
    monkeypatch.setenv(name, bad)
    with pytest.raises(SystemExit, match=name):
        TtsSettings.load()


def test_the_default_engine_is_a_real_one() -> None:
    assert TtsSettings().engine in ENGINES
    assert TtsSettings().engine != "fake"
