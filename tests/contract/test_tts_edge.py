"""The voices of Edge under contract, with a stand-in of the package that asks nobody: no text leaves this machine."""

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from shared.errors import EngineFailed
from shared.threads import StopToken
from tests.contract import test_tts_engines as contract
from tests.contract.test_tts_engines import Case
from tests.support.stand_in_models import in_this_process
from tts_service import engines
from tts_service.engines.base import Engine, Slot, SynthesisRequest
from tts_service.engines.edge import VOICES, EdgeEngine, language_of, usual_voice
from tts_service.engines.mp3_stream import Mp3Stream, NoMp3
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract

globals().update(contract.suite())

CHAR_BYTES = 2 * 1_920


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(abandoned=50)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with in_this_process():
        engine = engines.load("edge", TtsSettings(edge_allow=True))
        engine.start()
        yield engine


@pytest.fixture
def hasty(engine: Engine) -> Iterator[Slot]:
    """A slot that waits for nobody."""
    hasty = EdgeEngine(TtsSettings(upstream_first_byte_s=0.2, upstream_between_bytes_s=0.2))
    hasty.start()
    with closing(hasty.open_slot()) as slot:
        yield slot


def made(slot: Slot, text: str, **more: Any) -> bytes:
    return b"".join(slot.synthesise(SynthesisRequest(text, **more), StopToken()))


def package() -> Any:
    return sys.modules["edge_tts"]


def test_without_a_word_of_the_operator_it_does_not_load() -> None:
    with pytest.raises(EngineFailed, match="sends the text of every reply to Microsoft"):
        engines.load("edge", TtsSettings())


def test_its_start_tells_that_text_leaves_the_house(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    engine.start()
    assert "the text of every reply is sent" in caplog.text


def test_without_its_package_it_does_not_start(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edge_tts", None)
    with pytest.raises(EngineFailed, match="needs edge_tts, which is not there"):
        EdgeEngine(TtsSettings()).start()


def test_every_language_has_its_usual_voice(slot: Slot) -> None:
    for language in ("ko", "zh-TW", "en_GB", "xx"):
        made(slot, "Hello.", language=language)
    made(slot, "Hello.", voice="fi-FI-NooraNeural")
    assert [asked["voice"] for asked in package().asked[-5:]] == [
        "ko-KR-SunHiNeural",
        "zh-TW-HsiaoChenNeural",
        "en-GB-SoniaNeural",
        "en-US-AriaNeural",
        "fi-FI-NooraNeural",
    ]
    assert usual_voice("zh") == "zh-CN-XiaoxiaoNeural"
    assert language_of(VOICES[0]) == "en-us"


@pytest.mark.parametrize("name", ["en-US-AriaNeural", "zh-CN-liaoning-XiaobeiNeural", "fil-PH-AngeloNeural"])
def test_voices_that_are_not_listed_may_be_asked_for(engine: Engine, name: str) -> None:
    assert engine.has_voice(name)


@pytest.mark.parametrize("name", ["", "Aria", "en-US-Aria", "en-US-AriaNeural' x='", "en-US-AriaNeural\n"])
def test_a_name_that_is_no_voice_is_none(engine: Engine, name: str) -> None:
    assert not engine.has_voice(name)


@pytest.mark.parametrize(
    ("speed", "rate"), [(1.0, "+0%"), (1.25, "+25%"), (0.8, "-20%"), (0.25, "-50%"), (4.0, "+100%")]
)
def test_a_speed_is_asked_for_within_what_the_service_does(slot: Slot, speed: float, rate: str) -> None:
    made(slot, "Hello.", speed=speed)
    assert package().asked[-1]["rate"] == rate


def test_the_sound_is_the_tone_that_was_sent(slot: Slot) -> None:
    text = "A sentence of some length."
    sound = np.frombuffer(made(slot, text), np.int16)
    assert sound.nbytes == pytest.approx(len(text) * CHAR_BYTES, rel=0.1)
    strength = np.abs(np.fft.rfft(sound.astype(np.float64)))
    assert strength.argmax() * 24_000 / sound.size == pytest.approx(24_000 / 96, abs=2)


@pytest.mark.parametrize("size", [1, 13, 144, 10_000])
def test_mp3_is_decoded_however_it_is_cut(engine: Engine, size: int) -> None:
    file = b"".join(package().mp3(10))
    whole, cut = Mp3Stream(24_000), Mp3Stream(24_000)
    expected = whole.accept(file) + whole.finish()
    pieces = [cut.accept(file[start : start + size]) for start in range(0, len(file), size)]
    assert b"".join(pieces) + cut.finish() == expected
    assert len(expected) == pytest.approx(10 * CHAR_BYTES, rel=0.1)


def test_what_is_no_mp3_is_none() -> None:
    mp3 = Mp3Stream(24_000)
    with pytest.raises(NoMp3):
        mp3.accept(b"<html>" * 1_000)
        mp3.finish()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#silent", "The speech service of Edge is silent for too long."),
        ("#stalls", "The speech service of Edge is silent for too long."),
        ("#nothing", "The speech service of Edge sent no sound."),
        ("#raise", "The speech service of Edge failed, or cannot be reached."),
        ("#page", "The speech service of Edge sent something that is no MP3."),
        ("#endless", "The speech service of Edge speaks for longer than the text can be."),
    ],
)
def test_a_failure_is_a_sentence_that_tells_nothing_of_the_text(hasty: Slot, text: str, says: str) -> None:
    with pytest.raises(EngineFailed) as failure:
        made(hasty, text)
    assert failure.value.message == says
    assert "secret" not in "".join(traceback.format_exception(failure.value))
    assert package().closed[-1] == text
    assert made(hasty, "Hello."), "the next segment is spoken"


def test_a_stop_leaves_a_service_that_says_nothing(slot: Slot) -> None:
    stop, blocks = StopToken(), list[bytes]()
    before = len(package().asked)
    thread = threading.Thread(target=lambda: blocks.extend(slot.synthesise(SynthesisRequest("#silent"), stop)))
    thread.start()
    while len(package().asked) == before:
        pass
    stop.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert blocks == []
    assert package().closed[-1] == "#silent"
