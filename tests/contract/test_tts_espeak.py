"""What espeak-ng alone promises, and what becomes of its child processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.errors import EngineFailed
from shared.metrics import ENGINE_RESTARTS
from shared.threads import StopToken
from tests.contract.test_tts_engines import CHINESE, LONG, PIPE_BYTES, SENTENCE, children
from tts_service.engines.base import Slot, SynthesisRequest
from tts_service.engines.espeak import EspeakEngine, EspeakSlot
from tts_service.engines.espeak_voices import OPENAI, VoiceBook, legible_runs

pytestmark = pytest.mark.contract


@pytest.fixture
def espeak() -> Iterator[EspeakSlot]:
    with closing(EspeakSlot()) as slot:
        yield slot


def spoken(slot: Slot, text: str, language: str = "en", voice: str | None = None, speed: float = 1.0) -> bytes:
    return b"".join(slot.synthesise(SynthesisRequest(text, language, voice, speed), StopToken()))


def test_chinese_is_spoken_by_the_mandarin_voice_whatever_voice_was_asked_for(espeak: EspeakSlot) -> None:
    mandarin = len(spoken(espeak, CHINESE, "zh", "cmn"))
    assert len(spoken(espeak, CHINESE, "en")) == pytest.approx(mandarin, rel=0.02)
    assert len(spoken(espeak, CHINESE, "en", "en-us")) == pytest.approx(mandarin, rel=0.02)
    # An English voice reads "Chinese letter" for each character, which takes several times as long.
    assert mandarin / 2 / 22_050 == pytest.approx(4.2, abs=0.8)


def test_a_mixed_text_says_both_parts(espeak: EspeakSlot) -> None:
    both = len(spoken(espeak, "我喜欢 Python programming", "zh"))
    parts = len(spoken(espeak, "我喜欢", "zh")) + len(spoken(espeak, "Python programming", "en"))
    assert both == pytest.approx(parts, rel=0.1)


def test_speed_makes_speech_shorter(espeak: EspeakSlot) -> None:
    usual = len(spoken(espeak, LONG))
    assert len(spoken(espeak, LONG, speed=2.0)) == pytest.approx(usual / 2, rel=0.2)
    assert len(spoken(espeak, LONG, speed=4.0)) < usual / 3
    assert len(spoken(espeak, LONG, speed=0.5)) > usual * 1.6


def test_a_variant_sounds_different(espeak: EspeakSlot) -> None:
    assert spoken(espeak, SENTENCE, voice="en-us+f2") != spoken(espeak, SENTENCE, voice="en-us")


def test_a_cancelled_child_makes_a_small_part_of_the_speech(espeak: EspeakSlot) -> None:
    spoken(espeak, LONG)
    whole = espeak.blocks_read
    with closing(espeak.synthesise(SynthesisRequest(LONG), StopToken())) as blocks:
        next(blocks)
    # What the pipe held, and the block in hand.
    assert espeak.blocks_read - whole < whole / 10


def test_a_killed_child_fails_its_segment_and_the_next_one_is_spoken(espeak: EspeakSlot) -> None:
    restarts = ENGINE_RESTARTS.labels("tts", "espeak")._value.get()
    blocks = espeak.synthesise(SynthesisRequest(LONG), StopToken())
    next(blocks)
    assert espeak.pid
    os.kill(espeak.pid, signal.SIGKILL)
    with pytest.raises(EngineFailed) as caught:
        for _ in blocks:
            pass
    assert caught.value.retryable
    assert len(spoken(espeak, SENTENCE)) > 44_100
    assert ENGINE_RESTARTS.labels("tts", "espeak")._value.get() == restarts + 1


def test_a_child_that_died_between_two_segments_is_replaced_unnoticed(espeak: EspeakSlot) -> None:
    assert espeak.pid
    os.kill(espeak.pid, signal.SIGKILL)
    os.waitid(os.P_PID, espeak.pid, os.WEXITED | os.WNOWAIT)
    assert len(spoken(espeak, SENTENCE)) > 44_100


def test_a_child_that_dies_again_and_again_is_left_alone_for_longer_and_longer() -> None:
    now_s = 100.0
    with closing(EspeakSlot(lambda: now_s)) as slot:
        waits_ms = []
        for _ in range(3):
            blocks = slot.synthesise(SynthesisRequest(LONG), StopToken())
            next(blocks)
            assert slot.pid
            os.kill(slot.pid, signal.SIGKILL)
            with pytest.raises(EngineFailed):
                list(blocks)
            waits_ms.append(wait_ms(slot))
            now_s += waits_ms[-1] / 1000
        assert waits_ms == [0, 250, 500]
        assert len(spoken(slot, SENTENCE)) > 44_100
        assert wait_ms(slot) == 0


def wait_ms(slot: EspeakSlot) -> int:
    """How long the slot refuses to try; it speaks nothing for the answer."""
    stop = StopToken()
    stop.stop()
    try:
        list(slot._speak("Hi.", "en-us", 175, stop))
    except EngineFailed as failure:
        return failure.retry_after_ms or 0
    return 0


@pytest.mark.parametrize("script", ["pass", "print('hello, I am no espeak')", "import time; time.sleep(60)"])
def test_a_child_that_does_not_come_up_is_a_failure_not_a_hang(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr("tts_service.engines.espeak.COMMAND", (sys.executable, "-c", script))
    monkeypatch.setattr("tts_service.engines.espeak.START_LIMIT_S", 0.5)
    before = children()
    with pytest.raises(EngineFailed):
        EspeakEngine().start()
    with pytest.raises(EngineFailed):
        EspeakEngine().open_slot()
    assert children() == before


def test_a_child_that_does_not_come_up_again_is_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    with closing(EspeakSlot(lambda: now_s)) as slot:
        assert slot.pid
        os.kill(slot.pid, signal.SIGKILL)
        os.waitid(os.P_PID, slot.pid, os.WEXITED | os.WNOWAIT)
        with monkeypatch.context() as patch:
            patch.setattr("tts_service.engines.espeak.COMMAND", (sys.executable, "-c", "pass"))
            with pytest.raises(EngineFailed):
                spoken(slot, SENTENCE)
        assert slot.pid is None
        assert wait_ms(slot) == 250
        now_s += 0.25
        assert len(spoken(slot, SENTENCE)) > 44_100


def test_a_child_that_hangs_is_ended_when_it_is_cancelled(espeak: EspeakSlot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tts_service.engines.espeak.CANCEL_LIMIT_S", 0.0)
    blocks = espeak.synthesise(SynthesisRequest(LONG), StopToken())
    next(blocks)
    assert espeak.pid
    os.kill(espeak.pid, signal.SIGSTOP)
    blocks.close()
    assert espeak.pid is None
    assert len(spoken(espeak, SENTENCE)) > 44_100


def test_a_voice_that_espeak_refuses_fails_the_segment_only(espeak: EspeakSlot) -> None:
    with pytest.raises(EngineFailed):
        list(espeak._speak("Hi.", "nobody", 175, StopToken()))
    before = espeak.pid
    assert spoken(espeak, "Hi.")
    assert espeak.pid == before


def test_a_closed_slot_speaks_no_more() -> None:
    slot = EspeakSlot()
    slot.close()
    with pytest.raises(EngineFailed):
        spoken(slot, "Hi.")


def test_a_child_ends_in_the_middle_of_a_text_when_its_stdin_ends() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tts_service.engines.espeak_child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin and child.stdout
    request = {"id": 1, "voice": "en-us", "text": " ".join([LONG] * 50), "rate": 175, "pitch": 50}
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()
    assert child.stdout.read(PIPE_BYTES)  # it speaks, and will wait for its reader in a moment
    child.stdin.close()
    assert child.wait() == 0
    child.stdout.close()


def test_the_library_is_loaded_by_the_child_alone(espeak: EspeakSlot) -> None:
    assert spoken(espeak, "Hi.")
    assert "libespeak" not in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert "libespeak" in Path(f"/proc/{espeak.pid}/maps").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def started() -> EspeakEngine:
    engine = EspeakEngine()
    engine.start()
    return engine


def test_every_voice_that_is_listed_can_be_chosen_by_espeak(started: EspeakEngine, espeak: EspeakSlot) -> None:
    for voice in started.capabilities.voices:
        assert spoken(espeak, "1", voice=voice.name), voice.name


@pytest.mark.parametrize(
    ("voice", "language", "expected"),
    [
        (None, "en", "en-us"),
        (None, "en-GB", "en"),
        (None, "zh", "cmn"),
        (None, "zh-TW", "cmn"),
        (None, "zh-HK", "yue"),
        (None, "ko", "ko"),
        (None, "ja", "ja"),
        (None, "de", "de"),
        (None, "fr-FR", "fr"),
        (None, "pt-BR", "pt-br"),
        (None, "xx", "en-us"),
        ("en-gb", "en", "en"),
        ("EN-US", "en", "en-us"),
        ("en-us+m3", "en", "en-us+m3"),
        ("en-us+M3", "zh", "cmn+m3"),
        ("cmn", "zh", "cmn"),
        ("cmn", "en", "en-us"),
        ("yue", "zh", "yue"),
        ("de", "de", "de"),
        ("alloy", "en", f"en-us+{OPENAI['alloy']}"),
        ("alloy", "ko", f"ko+{OPENAI['alloy']}"),
    ],
)
def test_a_voice_and_a_language_choose_the_speaker(
    espeak: EspeakSlot, voice: str | None, language: str, expected: str
) -> None:
    book: VoiceBook = espeak._book
    chosen = book.find(voice or "en-us")
    assert chosen
    if voice is None:
        chosen = type(chosen)(None, "")
    assert book.speaker(chosen, language) == expected


@pytest.mark.parametrize("name", ["", "nobody", "en-us+nobody", "+m3", "en-us+", "alloy+m3"])
def test_an_unknown_voice_is_not_found(started: EspeakEngine, name: str) -> None:
    assert not started.has_voice(name)


def test_every_name_of_openai_stands_for_a_variant_that_exists(started: EspeakEngine) -> None:
    assert all(started.has_voice(f"en-us+{variant}") for variant in OPENAI.values())


def test_japanese_is_cut_where_espeak_can_only_read_it_as_chinese() -> None:
    assert list(legible_runs("今日はいい天気。", "ja")) == [("zh", "今日"), ("ja", "はいい"), ("zh", "天気")]


def test_a_region_is_kept_for_its_own_language_alone() -> None:
    assert list(legible_runs("Hello 世界", "en-GB")) == [("en-GB", "Hello "), ("zh", "世界")]
