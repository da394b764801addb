"""The tts_service whole, with the real espeak-ng: HTTP in process, and the stream beside it."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from shared.wire.tts import TTS_OUT, Done, End, SegmentStarted, Start, Text, TtsReady, decode_audio
from tts_service.app import build_app
from tts_service.engines import ENGINES
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def espeak() -> Iterator[TestClient]:
    """A client of the service as it runs by default."""
    with TestClient(build_app(TtsSettings(slots=1))) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def test_the_service_is_live_and_ready(espeak: TestClient) -> None:
    assert espeak.get("/health").json() == {"status": "healthy"}
    assert espeak.get("/ready").json() == {"ready": True, "parts": {"engine": "ready"}}
    assert "parley_tts_ttfb_seconds" in espeak.get("/metrics").text


def test_voices_are_listed(espeak: TestClient) -> None:
    listed = espeak.get("/v1/voices").json()
    assert listed["engine"] == "espeak"
    assert listed["default"] is None
    entries = {voice["id"]: voice for voice in listed["voices"]}
    assert {"alloy", "en-us", "cmn", "ko", "ja", "de", "fr", "es"} <= set(entries)
    told = {"id": "en-us", "name": "English (America)", "language": "en-us"}
    assert told.items() <= entries["en-us"].items()
    assert (entries["en-us"]["kind"], entries["en-us"]["usable"]) == ("engine", True)


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
