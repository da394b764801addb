"""Piper's real code under contract, with tiny voices of our own making: tones instead of speech."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tests.contract import test_tts_engines as contract
from tests.contract.test_tts_engines import SENTENCE, Case
from tests.support.piper_voices import write
from tts_service import engines
from tts_service.engines.base import Reference, Slot, SynthesisRequest
from tts_service.engines.hosted import HostedEngine
from tts_service.engines.piper import PiperEngine, described, plain
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract
pytest.importorskip("piper", reason="Piper's package is not installed")

globals().update(contract.suite())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voices")
    write(folder, "en_US-tone-low")
    write(folder, "en_US-tones-medium", speakers=("anna", "boris"))
    write(folder, "ko_KR-tone-low", rate=16_000, espeak="ko")
    return folder


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(first_share=1 / 10, abandoned=50)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[HostedEngine]:
    engine = engines.load("piper", TtsSettings(piper_voices=folder))
    assert isinstance(engine, HostedEngine)
    with closing(engine):
        engine.start()
        yield engine


def spoken(
    slot: Slot, text: str = SENTENCE, language: str = "en", voice: str | None = None, speed: float = 1.0
) -> bytes:
    return b"".join(slot.synthesise(SynthesisRequest(text, language, voice, speed), StopToken()))


def test_its_voices_and_their_speakers_are_listed(engine: HostedEngine) -> None:
    told = engine.capabilities
    assert engine.sample_rate == 22_050
    assert told.languages == ("en", "ko")
    assert [voice.name for voice in told.voices] == [
        "en_US-tone-low",
        "en_US-tones-medium",
        "en_US-tones-medium+anna",
        "en_US-tones-medium+boris",
        "ko_KR-tone-low",
    ]
    assert (told.streaming, told.has_speed, told.can_clone, told.has_instruction) == ("sentence", True, False, False)


def test_speed_is_kept_to(slot: Slot) -> None:
    usual = len(spoken(slot))
    assert len(spoken(slot, speed=2.0)) == pytest.approx(usual / 2, rel=0.01)
    assert len(spoken(slot, speed=0.5)) == pytest.approx(usual * 2, rel=0.01)


def test_each_speaker_speaks_as_himself(slot: Slot) -> None:
    alone, anna, boris = (spoken(slot, "Aaa.", voice=f"en_US-tones-medium{name}") for name in ("", "+anna", "+boris"))
    assert alone == anna != boris
    assert len(anna) == len(boris)


def test_a_language_without_a_voice_asked_for_has_its_own(slot: Slot) -> None:
    korean = spoken(slot, "안녕하세요.", "ko")
    assert korean == spoken(slot, "안녕하세요.", "ko-KR")
    assert korean == spoken(slot, "안녕하세요.", "en", voice="ko_KR-tone-low")
    assert spoken(slot, "Hello.", "de") == spoken(slot, "Hello.", "en-US")


def test_a_voice_of_another_rate_sounds_for_as_long(slot: Slot, folder: Path) -> None:
    """A phoneme has 1024 samples at the voice's rate, and as many seconds at the engine's."""
    said = spoken(slot, "Hello.", voice="ko_KR-tone-low"), spoken(slot, "Hello.", voice="en_US-tone-low")
    assert len(said[0]) % 2 == 0
    assert np.abs(np.frombuffer(said[0], np.int16).astype(int)).max() > 20_000
    with closing(
        HostedEngine(
            "piper", sys.executable, "tts_service.engines.piper", {"voices": str(folder / "ko_KR-tone-low.onnx")}
        )
    ) as alone:
        alone.start()
        assert alone.sample_rate == 16_000
        with closing(alone.open_slot()) as other:
            assert len(said[0]) == pytest.approx(len(spoken(other, "Hello.")) * 22_050 / 16_000, rel=0.01)


def test_text_is_never_read_as_phonemes(slot: Slot) -> None:
    assert plain("a [[b]] c") == "a [ [b] ] c"
    assert spoken(slot, "so [[bɹuː]] it is") != b""


def test_recordings_are_no_voices_of_it(slot: Slot, tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        slot.prepare(Reference("r", tmp_path / "voice.wav", "Hello."))


def test_a_stop_comes_after_the_sentence_that_is_being_made(folder: Path) -> None:
    engine = PiperEngine(folder)
    engine.start()
    stop = StopToken()
    blocks = engine.open_slot().synthesise(SynthesisRequest("One. Two. Three."), stop)
    assert next(blocks)
    stop.stop()
    assert list(blocks) == []


# What is no voice


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "TTS_PIPER_VOICES holds no Piper voice"),
        ({"a.onnx": ""}, "beside it"),
        ({"a.onnx": "", "a.onnx.json": "{"}, "a.onnx.json describes no Piper voice"),
        ({"a.onnx": "", "a.onnx.json": "[]"}, "a.onnx.json describes no Piper voice"),
    ],
)
def test_a_folder_without_a_voice_is_told_at_the_start(tmp_path: Path, files: dict[str, str], says: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    engine = engines.load("piper", TtsSettings(piper_voices=tmp_path))
    with pytest.raises(EngineFailed, match=says):
        engine.start()


def test_a_voice_that_would_fetch_a_dictionary_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "zh_CN-tone-low", espeak="cmn")
    description = path.with_name(f"{path.name}.json")
    description.write_text(description.read_text().replace('"phoneme_type": "espeak"', '"phoneme_type": "pinyin"'))
    engine = engines.load("piper", TtsSettings(piper_voices=path))
    with pytest.raises(EngineFailed, match=r"needs g2pW/g2pw\.onnx beside its file"):
        engine.start()


def test_a_voice_may_be_named_by_its_language_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "tone", espeak="pt-br")
    assert described(path).language == "pt-br"


def test_without_a_voice_the_setting_is_named() -> None:
    with pytest.raises(EngineFailed, match="TTS_PIPER_VOICES"):
        engines.load("piper", TtsSettings())


def test_a_python_without_the_package_says_so(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.modules[\'piper\'] = None; import runpy; '
        "sys.argv = sys.argv[2:]; runpy.run_module('tts_service.engines.host', run_name='__main__')\" \"$@\"\n"
    )
    bare.chmod(0o755)
    engine = HostedEngine("piper", bare, "tts_service.engines.piper", {"voices": str(folder)})
    with closing(engine), pytest.raises(EngineFailed, match="piper-tts is not there"):
        engine.start()
