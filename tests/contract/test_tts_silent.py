"""The engine that makes no speech: whoever shows a reply speaks it, and is told which segment comes when."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from shared.errors import Unsupported
from shared.threads import StopToken
from shared.wire.codec import Message
from shared.wire.tts import TTS_OUT, Done, End, SegmentStarted, Start, Text, TtsError, TtsReady
from tts_service import engines
from tts_service.app import build_app
from tts_service.engines.base import Reference, SynthesisRequest
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(build_app(TtsSettings(engine="none", slots=1))) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def told(client: TestClient, start: Start, text: str) -> list[Message]:
    """All messages of one reply; an assertion when there is audio among them."""
    with client.websocket_connect("/v1/stream") as socket:
        ready = TTS_OUT.decode(socket.receive_text())
        assert ready == TtsReady(engine="none", voices=[])
        for message in (start, Text(reply_id="rpl_1", delta=text), End(reply_id="rpl_1")):
            socket.send_text(message.to_json())
        messages: list[Message] = []
        while not (messages and isinstance(messages[-1], Done)):
            frame = socket.receive()
            assert not frame.get("bytes"), "there is audio"
            messages.append(TTS_OUT.decode(frame["text"]))
        return messages


def test_its_slot_makes_no_block() -> None:
    engine = engines.load("none", TtsSettings())
    engine.start()
    with closing(engine.open_slot()) as slot:
        assert list(slot.synthesise(SynthesisRequest("Hello."), StopToken())) == []
        with pytest.raises(Unsupported):
            slot.prepare(Reference("r", Path("voice.wav"), "Hello."))


def test_a_reply_is_announced_without_audio(client: TestClient) -> None:
    start = Start(reply_id="rpl_1", voice="Samantha (a browser's)")
    *segments, done = told(client, start, "Hello there. It costs $3.50. 你好，世界。")
    assert [one.text for one in segments if isinstance(one, SegmentStarted)] == [
        "Hello there.",
        "It costs $3.50.",
        "你好，世界。",
    ]
    assert {one.start_samples for one in segments if isinstance(one, SegmentStarted)} == {0}
    assert done == Done(reply_id="rpl_1", outcome="completed", total_samples=0)


def test_it_takes_no_instruction(client: TestClient) -> None:
    error, done = told(client, Start(reply_id="rpl_1", instruction="Whisper."), "Hello.")
    assert isinstance(error, TtsError)
    assert error.code == "unsupported"
    assert done == Done(reply_id="rpl_1", outcome="failed", total_samples=0)


def test_speech_over_http_is_an_empty_file(client: TestClient) -> None:
    response = client.post(
        "/v1/audio/speech", json={"input": "Hello there.", "voice": "anybody", "response_format": "pcm"}
    )
    assert response.status_code == 200
    assert response.content == b""


def test_its_voices_are_listed_by_whoever_speaks(client: TestClient) -> None:
    assert client.get("/v1/voices").json() == {"engine": "none", "default": None, "voices": []}
