"""Voices that people bring, whole: uploaded, listed, spoken with, deleted, over HTTP and the stream, with the tone."""

import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from shared.wire.tts import TTS_OUT, Done, End, Start, Text, TtsError, TtsReady
from tests.support.uploads import encoded, wav
from tests.support.voice_client import listed, refusal, serving, upload
from tests.support.voices import FORM, Folder, Mute, everything, noisy, spoken, voice_wav
from tts_service.engines.base import Reference
from tts_service.engines.fake import FakeEngine, FakeSlot
from tts_service.voice_form import CONSENT_FAULT, FILE_LIMIT_BYTES

pytestmark = pytest.mark.service


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(tmp_path: Path, engine: FakeEngine) -> Iterator[TestClient]:
    with serving(tmp_path, engine, max_voices=4) as client:
        yield client


def test_a_voice_is_uploaded_listed_read_and_deleted(client: TestClient, tmp_path: Path) -> None:
    response = upload(client)
    assert response.status_code == 201
    anna = response.json()
    assert anna["id"].startswith("voi_")
    told = {"name": "Anna", "language": "en", "kind": "own", "usable": True, "transcript": FORM["transcript"]}
    assert told.items() <= anna.items()
    assert anna["duration_ms"] == pytest.approx(5_000, abs=250)
    entry = {"id": anna["id"], "name": "Anna", "language": "en", "kind": "own", "usable": True, "gender": ""}
    assert listed(client, "own") == [entry]
    assert client.get(f"/v1/voices/{anna['id']}").json() == anna
    deleted = client.delete(f"/v1/voices/{anna['id']}")
    assert (deleted.status_code, deleted.json()) == (200, {"id": anna["id"], "object": "voice", "deleted": True})
    assert listed(client, "own") == []
    assert everything(tmp_path / "own") == []
    assert client.get("/v1/voices/tone").json()["transcript"] is None
    for again in (client.get(f"/v1/voices/{anna['id']}"), client.delete(f"/v1/voices/{anna['id']}")):
        assert refusal(again) == (404, "not_found", "voice_id")


@pytest.mark.parametrize("name", ["flac", "mp3", "ogg", "m4a"])
def test_a_voice_may_come_in_many_formats_whatever_its_file_is_called(client: TestClient, name: str) -> None:
    assert upload(client, encoded(spoken(), name), "../../etc/passwd\0.exe").status_code == 201


def test_speech_is_spoken_by_an_uploaded_voice_which_is_prepared_once(client: TestClient, engine: FakeEngine) -> None:
    anna = upload(client).json()
    for voice in (anna["id"], "Anna", "anna"):
        said = client.post("/v1/audio/speech", json={"input": "Hello there. And more.", "voice": voice})
        assert said.status_code == 200
    assert {request.speaker.revision for request in engine.requests if request.speaker} == {anna["revision"]}
    assert {request.voice for request in engine.requests} == {None}
    (prepared,) = engine.prepared
    assert (prepared.transcript, prepared.language) == (FORM["transcript"], "en")
    assert prepared.path.is_absolute()


def test_the_stream_is_spoken_by_an_uploaded_voice(client: TestClient, engine: FakeEngine) -> None:
    upload(client)
    assert spoken_on_the_stream(client, "Anna").outcome == "completed"
    assert [request.speaker is not None for request in engine.requests] == [True]
    assert spoken_on_the_stream(client, "../../etc/passwd.wav").outcome == "failed"


def spoken_on_the_stream(client: TestClient, voice: str) -> Done:
    with client.websocket_connect("/v1/stream") as socket:
        assert isinstance(TTS_OUT.decode(socket.receive_text()), TtsReady)
        for message in (Start(reply_id="a", voice=voice), Text(reply_id="a", delta="Hello."), End(reply_id="a")):
            socket.send_text(message.to_json())
        while True:
            frame = socket.receive()
            told = TTS_OUT.decode(frame["text"]) if frame.get("text") else None
            assert not isinstance(told, TtsError) or told.code in ("invalid_message", "not_found")
            if isinstance(told, Done):
                return told


def test_a_voice_outlives_the_service_and_its_speaker_too(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        anna = upload(client).json()
        client.post("/v1/audio/speech", json={"input": "Hello.", "voice": "Anna"})
    engine = FakeEngine()
    with serving(tmp_path, engine) as client:
        assert client.get(f"/v1/voices/{anna['id']}").json() == anna
        assert client.post("/v1/audio/speech", json={"input": "Hello.", "voice": "Anna"}).status_code == 200
    assert engine.prepared == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "../../etc/passwd"}, "name"),
        ({"name": "An\x1b[31mna"}, "name"),
        ({"name": "Anna\r\nX-Evil: yes\x00"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "tone"}, "name"),
        ({"transcript": None}, "transcript"),
        ({"transcript": " … "}, "transcript"),
        ({"transcript": "x" * 1_001}, "transcript"),
        ({"language": None}, "language"),
        ({"language": "Klingon, please"}, "language"),
        ({"consent": None}, "consent"),
        ({"consent": "false"}, "consent"),
        ({"consent": "maybe"}, "consent"),
    ],
)
def test_a_field_that_is_wrong_is_named(
    client: TestClient, tmp_path: Path, fields: dict[str, str | None], param: str
) -> None:
    assert refusal(upload(client, **fields)) == (400, "invalid_message", param)
    assert everything(tmp_path / "own") == []


def test_without_consent_the_refusal_says_whose(client: TestClient) -> None:
    assert upload(client, consent="no").json()["error"]["message"] == CONSENT_FAULT
    assert upload(client, consent="TRUE").status_code == 201


def zipped() -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("sample.wav", voice_wav())
    return target.getvalue()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "The file is empty"),
        (zipped(), "understood"),
        (np.random.default_rng(7).bytes(10_000_000), "understood"),
        (voice_wav(1.5), "speak for 3 to 30 seconds"),
        (voice_wav(33), "cut it to 30 seconds"),
        (wav(bytes(200_000)), "No voice is heard"),
        (wav(noisy(spoken(), 2)), "in a quiet room"),
        (wav(spoken(8), 8_000), "too coarse"),
    ],
    ids=["empty", "zip", "noise", "short", "long", "silent", "noisy", "coarse"],
)
def test_a_poor_recording_is_refused_with_what_to_do(
    client: TestClient, tmp_path: Path, file: bytes, words: str
) -> None:
    response = upload(client, file)
    assert refusal(response) == (400, "invalid_audio", "file")
    assert words in response.json()["error"]["message"]
    assert everything(tmp_path / "own") == []


@pytest.mark.parametrize("extra_bytes", [1, 200_000, 40_000_000])
def test_too_large_a_file_is_refused(client: TestClient, extra_bytes: int) -> None:
    status, code, _ = refusal(upload(client, bytes(FILE_LIMIT_BYTES + extra_bytes)))
    assert (status, code) == (413, "message_too_large")


def test_a_recording_that_is_far_too_long_is_refused(client: TestClient) -> None:
    minutes = encoded(bytes(16_000 * 2 * 90), "flac")
    assert refusal(upload(client, minutes)) == (413, "message_too_large", "file")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "application/json"),
        (b"name=Anna&file=x", "application/x-www-form-urlencoded"),
        (b"nonsense", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
    ],
)
def test_what_is_no_form_is_refused(client: TestClient, content: bytes, kind: str) -> None:
    response = client.post("/v1/voices", content=content, headers={"content-type": kind})
    assert response.status_code == 400
    assert response.json()["error"]["code"] in ("invalid_message", "bad_request")


def test_a_form_of_many_fields_or_files_is_refused(client: TestClient) -> None:
    many = {f"field{number}": "x" for number in range(40)}
    assert client.post("/v1/voices", data=many, files={"file": ("a", b"a")}).status_code == 400
    files = [("file", ("a", voice_wav())), ("file", ("b", voice_wav()))]
    assert client.post("/v1/voices", data=FORM, files=files).status_code == 400


def test_a_name_is_given_once_and_voices_are_so_many(client: TestClient) -> None:
    assert [upload(client, name=name).status_code for name in ("Anna", "Ben", "Cem")] == [201] * 3
    assert refusal(upload(client, name="ANNA")) == (400, "invalid_message", "name")
    assert upload(client, name="Dana").status_code == 201
    assert refusal(upload(client, name="Eve")) == (429, "overloaded", None)


class Waiting(FakeEngine):
    """Prepares nobody until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.began = threading.Event(), threading.Event()

    def open_slot(self) -> "WaitingSlot":
        self.open_slots += 1
        return WaitingSlot(self)


class WaitingSlot(FakeSlot):
    def __init__(self, engine: Waiting) -> None:
        super().__init__(engine)
        self._waiting = engine

    def prepare(self, reference: Reference) -> bytes:
        self._waiting.began.set()
        assert self._waiting.gate.wait(20), "the test lets it go"
        return super().prepare(reference)


def test_two_uploads_at_once_are_both_kept(client: TestClient) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda name: upload(client, name=name), ("Anna", "Ben")))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert sorted(voice["name"] for voice in listed(client, "own")) == ["Anna", "Ben"]


def test_a_voice_that_is_deleted_while_it_is_prepared_leaves_nothing(tmp_path: Path) -> None:
    engine = Waiting()
    with serving(tmp_path, engine) as client, ThreadPoolExecutor(1) as pool:
        anna = upload(client).json()
        said = pool.submit(client.post, "/v1/audio/speech", json={"input": "Hello.", "voice": "Anna"})
        assert engine.began.wait(20)
        assert client.delete(f"/v1/voices/{anna['id']}").status_code == 200
        engine.gate.set()
        assert said.result().status_code == 200, "what was begun is spoken"
        assert client.get("/speaker_info").json()["cache"]["entries"] == 0
        assert everything(tmp_path / "speakers") == []
        gone = client.post("/v1/audio/speech", json={"input": "Hello.", "voice": "Anna"})
        assert refusal(gone) == (400, "invalid_message", "voice")


def test_a_voice_that_is_deleted_while_it_speaks_ends_with_its_segment(tmp_path: Path) -> None:
    engine = FakeEngine()
    with serving(tmp_path, engine) as client, client.websocket_connect("/v1/stream") as socket:
        anna = upload(client).json()
        engine.hold()
        socket.receive_text()
        for message in (Start(reply_id="a", voice="Anna"), Text(reply_id="a", delta="Hello.\nAnd more.\n")):
            socket.send_text(message.to_json())
        while not engine.requests:
            pass
        assert client.delete(f"/v1/voices/{anna['id']}").status_code == 200
        engine.let()
        socket.send_text(End(reply_id="a").to_json())
        told: list[object] = []
        while not (told and isinstance(told[-1], Done)):
            frame = socket.receive()
            told += [TTS_OUT.decode(frame["text"])] if frame.get("text") else []
        assert isinstance(told[-2], TtsError)
        assert (told[-2].code, told[-1].outcome) == ("not_found", "failed")
        assert len(engine.requests) == 1


def test_an_engine_that_cannot_clone_takes_no_voices_and_lists_them_as_of_no_use(tmp_path: Path) -> None:
    Folder(tmp_path).put("zh-Xinran_woman.wav")
    with serving(tmp_path) as client:
        anna = upload(client).json()
    with serving(tmp_path, Mute()) as client:
        assert refusal(upload(client)) == (400, "unsupported", "file")
        assert [voice["usable"] for kind in ("own", "folder") for voice in listed(client, kind)] == [False, False]
        said = client.post("/v1/audio/speech", json={"input": "Hello.", "voice": "Anna"})
        assert refusal(said) == (400, "unsupported", "voice")
        assert client.delete(f"/v1/voices/{anna['id']}").status_code == 200, "a person's voice goes when they say so"


def test_the_operator_s_voices_speak_by_their_path(tmp_path: Path) -> None:
    Folder(tmp_path).put("zh-Xinran_woman.wav")
    engine = FakeEngine()
    with serving(tmp_path, engine) as client:
        (xinran,) = listed(client, "folder")
        told = {"id": "zh-Xinran_woman", "name": "Xinran", "language": "zh", "gender": "woman", "usable": True}
        assert told.items() <= xinran.items()
        for voice in ("/app/voices/zh-Xinran_woman.wav", "Xinran"):
            assert client.post("/v1/audio/speech", json={"input": "Hello.", "voice": voice}).status_code == 200
        for voice in ("../../etc/passwd", "/etc/passwd", "../voices/zh-Xinran_woman.wav"):
            said = client.post("/v1/audio/speech", json={"input": "Hello.", "voice": voice})
            assert refusal(said) == (400, "invalid_message", "voice")
        assert refusal(client.delete("/v1/voices/zh-Xinran_woman")) == (400, "unsupported", "voice_id")
        assert refusal(client.delete("/v1/voices/tone")) == (400, "unsupported", "voice_id")
    assert len(engine.prepared) == 1


def test_the_speakers_are_told_with_what_is_in_memory(client: TestClient) -> None:
    anna = upload(client).json()
    before = client.get("/speaker_info").json()
    assert (before["engine"], before["default"], before["loaded"]) == ("fake", None, [])
    assert [(one["id"], one["in_memory"]) for one in before["speakers"]] == [(anna["id"], False)]
    for _ in range(2):
        client.post("/v1/audio/speech", json={"input": "Hello.", "voice": "Anna"})
    after = client.get("/speaker_info").json()
    assert (after["loaded"], after["speakers"][0]["in_memory"]) == (["Anna"], True)
    assert after["cache"] == {"entries": 1, "limit": 50, "bytes": 64, "memory": 1, "disk": 0, "prepared": 1}
    assert 'parley_tts_speakers_total{outcome="prepared"}' in client.get("/metrics").text


def test_the_upload_is_described(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]["/v1/voices"]["post"]["requestBody"]
    form = described["content"]["multipart/form-data"]["schema"]
    assert set(form["required"]) == {"file", *FORM} == set(form["properties"])
