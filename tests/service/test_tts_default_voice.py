"""The voice that speaks where none is asked for: prepared before the service is ready, and told where it is missing."""

from pathlib import Path

import pytest

from shared.errors import EngineFailed
from tests.support.voice_client import refusal, serving, upload
from tests.support.voices import Folder
from tts_service.engines.base import Reference
from tts_service.engines.fake import FakeEngine, FakeSlot

pytestmark = pytest.mark.service


def test_the_default_voice_is_prepared_before_the_service_is_ready(tmp_path: Path) -> None:
    Folder(tmp_path).put("en-Anna_woman.wav")
    engine = FakeEngine()
    with serving(tmp_path, engine, default_voice="Anna") as client:
        assert client.get("/ready").status_code == 200
        assert len(engine.prepared) == 1
        assert client.post("/v1/audio/speech", json={"input": "Hello."}).status_code == 200
        assert [request.speaker is not None for request in engine.requests] == [True]
        info = client.get("/speaker_info").json()
    assert info["default"] == "Anna"
    assert info["loaded"] == ["Anna"]
    assert info["cache"] == {"entries": 1, "limit": 50, "bytes": 64, "memory": 1, "disk": 0, "prepared": 1}


def test_a_default_voice_that_nobody_has_fails_those_alone_who_ask_for_none(tmp_path: Path) -> None:
    with serving(tmp_path, default_voice="Anna") as client:
        ready = client.get("/ready")
        missing = "TTS_DEFAULT_VOICE cannot speak: There is no voice called 'Anna'."
        assert (ready.status_code, ready.json()["parts"]["engine"]) == (503, missing)
        refused = client.post("/v1/audio/speech", json={"input": "Hello."})
        assert refusal(refused) == (503, "service_unavailable", None)
        assert refused.json()["error"]["message"] == missing
        assert client.post("/v1/audio/speech", json={"input": "Hello.", "voice": "tone"}).status_code == 200
        assert upload(client).status_code == 201
        assert client.get("/ready").status_code == 200, "somebody brought it"
        assert client.post("/v1/audio/speech", json={"input": "Hello."}).status_code == 200


class Unlucky(FakeEngine):
    """Fails to prepare the first voice that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = False

    def open_slot(self) -> "UnluckySlot":
        self.open_slots += 1
        return UnluckySlot(self)


class UnluckySlot(FakeSlot):
    def __init__(self, engine: Unlucky) -> None:
        super().__init__(engine)
        self._unlucky = engine

    def prepare(self, reference: Reference) -> bytes:
        if not self._unlucky.failed:
            self._unlucky.failed = True
            raise EngineFailed("It has no ear today.", service="tts")
        return super().prepare(reference)


def test_a_default_voice_that_was_not_prepared_is_told_until_it_spoke(tmp_path: Path) -> None:
    Folder(tmp_path).put("en-Anna_woman.wav")
    with serving(tmp_path, Unlucky(), default_voice="Anna") as client:
        told = client.get("/ready").json()["parts"]["engine"]
        assert told == "TTS_DEFAULT_VOICE cannot speak: It has no ear today."
        assert client.post("/v1/audio/speech", json={"input": "Hello."}).status_code == 200
        assert client.get("/ready").status_code == 200
