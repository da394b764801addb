"""The engine that asks a server elsewhere, in front of a real one, Parley's own; and what it sends to any."""

import base64
import logging
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tests.contract import test_tts_engines as contract
from tests.contract.test_tts_engines import CHINESE, Case
from tests.support import own_service
from tests.support.tts_upstreams import KEY, PCM, STALL, Reply, StandIn
from tts_service import engines
from tts_service.app import build_app
from tts_service.engines.base import Engine, Reference, Slot, Speaker, SynthesisRequest
from tts_service.engines.openai_upstream import REFERENCE_LIMIT_BYTES, UpstreamEngine
from tts_service.engines.packed_voice import packed, unpacked
from tts_service.engines.wav_head import NoWav, WavHead
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract

globals().update(contract.suite())


def opened(url: str, **more: Any) -> UpstreamEngine:
    engine = UpstreamEngine(TtsSettings(upstream_base=url, upstream_key=KEY, upstream_model="voice-9", **more))
    engine.start()
    return engine


def made(slot: Slot, text: str = "Hello.", **more: Any) -> bytes:
    return b"".join(slot.synthesise(SynthesisRequest(text, **more), StopToken()))


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.fixture(scope="module")
def own_url() -> Iterator[str]:
    with own_service.ready("tts_service", "TTS", TTS_ENGINE="espeak") as url:
        yield url


@pytest.fixture(scope="module", params=["pcm", "wav"])
def engine(own_url: str, request: pytest.FixtureRequest) -> Engine:
    engine = engines.load("openai", TtsSettings(upstream_base=own_url, upstream_format=request.param))
    engine.start()
    return engine


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn().running() as running:
        yield running


def test_the_other_service_is_told_the_language_and_the_speed(own_url: str) -> None:
    engine = opened(own_url, upstream_language=True)
    with closing(engine.open_slot()) as slot:
        assert len(made(slot, CHINESE, language="zh")) / 2 / 24_000 == pytest.approx(4.0, abs=0.8)
        usual = len(made(slot, "A sentence of some length."))
        assert len(made(slot, "A sentence of some length.", speed=2.0)) == pytest.approx(usual / 2, rel=0.2)
        german, english = (len(made(slot, "zwei Stunden", language=language)) for language in ("de", "en"))
        assert german != english


def test_a_service_speaks_through_the_other(own_url: str) -> None:
    settings = TtsSettings(engine="openai", upstream_base=own_url, slots=1)
    with TestClient(build_app(settings)) as client:
        while client.get("/ready").status_code != 200:
            pass
        asked = {"input": "Hello there. How are you?", "voice": "nova", "response_format": "pcm"}
        spoken = client.post("/v1/audio/speech", json=asked)
    assert spoken.status_code == 200
    assert 24_000 < len(spoken.content) / 2 < 4 * 24_000


# What is sent


def test_a_request_has_the_fields_that_every_server_knows_and_no_more(server: StandIn) -> None:
    with closing(opened(server.url).open_slot()) as slot:
        assert made(slot, language="ko", instruction="kindly") == PCM * 2
    (asked,) = server.asked
    assert (asked.path, asked.key) == ("/v1/audio/speech", f"Bearer {KEY}")
    assert asked.body == {"model": "voice-9", "input": "Hello.", "voice": "alloy", "response_format": "pcm"}


def test_what_the_settings_know_of_the_server_is_sent_too(server: StandIn) -> None:
    engine = opened(server.url, upstream_language=True, upstream_instructions=True, upstream_voice="")
    with closing(engine.open_slot()) as slot:
        made(slot, language="ko", instruction="kindly", speed=1.5)
    assert server.asked[0].body == {
        "model": "voice-9",
        "input": "Hello.",
        "response_format": "pcm",
        "language": "ko",
        "instructions": "kindly",
        "speed": 1.5,
    }


def test_a_speed_is_not_asked_of_a_server_that_does_not_keep_to_it(server: StandIn) -> None:
    engine = opened(server.url, upstream_speed=False)
    assert not engine.capabilities.has_speed
    with closing(engine.open_slot()) as slot:
        made(slot, speed=1.5, voice="nova")
    assert "speed" not in server.asked[0].body
    assert server.asked[0].body["voice"] == "nova"


def test_the_voices_are_those_that_the_settings_tell(server: StandIn) -> None:
    engine = opened(server.url, upstream_voice="vivian", upstream_voices=" ryan, vivian ,,")
    assert [voice.name for voice in engine.capabilities.voices] == ["vivian", "ryan"]
    assert not engine.has_voice("alloy")
    assert not engine.capabilities.can_clone


def test_a_recording_is_sent_with_what_is_said_in_it(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(b"RIFF and so on")
    engine = opened(server.url, upstream_clones=True)
    with closing(engine.open_slot()) as slot:
        for transcript in ("你好。", ""):
            prepared = slot.prepare(Reference("r", tmp_path / "voice.wav", transcript))
            made(slot, speaker=Speaker("r", prepared))
    assert engine.capabilities.can_clone
    told, untold = (asked.body for asked in server.asked)
    assert base64.b64decode(told["ref_audio"].removeprefix("data:audio/wav;base64,")) == b"RIFF and so on"
    assert told["ref_text"] == "你好。"
    assert "ref_text" not in untold
    assert "voice" not in told


def test_a_recording_is_refused_by_a_server_without_clones_and_when_it_is_too_large(
    server: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "voice.wav").write_bytes(bytes(REFERENCE_LIMIT_BYTES + 1))
    reference = Reference("r", tmp_path / "voice.wav", "Hello.")
    with closing(opened(server.url).open_slot()) as slot, pytest.raises(Unsupported):
        slot.prepare(reference)
    with closing(opened(server.url, upstream_clones=True).open_slot()) as slot, pytest.raises(EngineFailed):
        slot.prepare(reference)


def test_what_was_packed_comes_out_again() -> None:
    assert unpacked(packed(b"\x00\xff", "你好")) == (b"\x00\xff", "你好")


def test_how_the_server_streams_is_told_once(server: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), closing(opened(server.url).open_slot()) as slot:
        made(slot)
        made(slot)
    told = [record for record in caplog.records if record.message == "the upstream's first answer"]
    assert len(told) == 1
    assert 0 <= told[0].first_ms <= told[0].whole_ms  # type: ignore[attr-defined]


# What is read


@pytest.mark.parametrize("size", [1, 3, 479, 959, 961, 4_000])
def test_samples_that_were_cut_in_two_are_whole(server: StandIn, size: int) -> None:
    sound = bytes(range(256)) * 20
    server.reply = Reply(pieces=[sound[start : start + size] for start in range(0, len(sound), size)])
    with closing(opened(server.url).open_slot()) as slot:
        blocks = list(slot.synthesise(SynthesisRequest("Hello."), StopToken()))
    assert all(len(block) % 2 == 0 for block in blocks)
    assert b"".join(blocks) == sound


def test_half_a_sample_at_the_end_is_dropped(server: StandIn) -> None:
    server.reply = Reply(pieces=[PCM, b"\x01"])
    with closing(opened(server.url).open_slot()) as slot:
        assert made(slot) == PCM


def test_the_first_block_comes_while_the_server_goes_on(server: StandIn) -> None:
    server.reply = Reply(pieces=[PCM, STALL])
    with closing(opened(server.url).open_slot()) as slot:
        with closing(slot.synthesise(SynthesisRequest("Hello."), StopToken())) as blocks:
            assert next(blocks) == PCM
        assert server.left.wait(10), "the connection is closed as soon as nobody reads"


def wav_header(rate: int, channels: int = 1) -> bytes:
    fields = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", len(fields)) + fields + b"data\xff\xff\xff\xff"


EXTRA = b"JUNK" + struct.pack("<I", 3) + b"abc\0"


@pytest.mark.parametrize("size", [1, 7, 44, 45, 10_000])
@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, len(PCM)])
def test_the_head_of_a_wav_is_taken_off(size: int, length: int) -> None:
    head = wav_header(24_000)
    file = head[:12] + EXTRA + head[12:40] + struct.pack("<I", length) + PCM + (EXTRA if length == len(PCM) else b"")
    wav = WavHead(24_000)
    assert b"".join(wav.accept(file[start : start + size]) for start in range(0, len(file), size)) == PCM
    assert not wav.is_cut


@pytest.mark.parametrize(
    "head",
    [
        b"ID3\x04 and so on",
        b"RIFF\0\0\0\0AVI LIST",
        wav_header(22_050),
        wav_header(24_000)[:12] + b"data\x10\0\0\0",
        wav_header(24_000)[:12] + b"fmt \x04\0\0\0\x01\0\x01\0",
        wav_header(24_000)[:12] + b"JUNK\xff\xff\xff\x7f",
        wav_header(24_000, channels=2),
    ],
)
def test_another_head_is_none(head: bytes) -> None:
    with pytest.raises(NoWav):
        WavHead(24_000).accept(head)


def test_a_wav_that_ends_too_soon_is_cut() -> None:
    head = wav_header(24_000)[:40] + struct.pack("<I", 100)
    wav = WavHead(24_000)
    assert wav.is_cut
    wav.accept(head + bytes(99))
    assert wav.is_cut
