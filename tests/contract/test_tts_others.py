"""F5-TTS and Qwen3-TTS under contract, with stand-ins of their packages that make tones at once."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tests.contract import test_tts_engines as contract
from tests.contract.test_tts_engines import Case
from tests.support.stand_in_models import f5_folder, for_children, in_this_process, qwen3_folder, recording
from tts_service import engines
from tts_service.engines import adapters, f5, qwen3
from tts_service.engines.base import Reference, Speaker, SynthesisRequest
from tts_service.engines.f5 import F5Slot
from tts_service.engines.hosted import HostedEngine
from tts_service.engines.packed_voice import as_floats, packed
from tts_service.engines.qwen3 import QwenEngine, QwenSlot
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract

globals().update(contract.suite())

KINDS = ("base", "custom_voice", "voice_design")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference("r", recording(tmp_path_factory.mktemp("voice") / "voice.wav"), "A few words of mine", "en")


@pytest.fixture(scope="module", params=["f5", *KINDS])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedEngine]:
    folder = tmp_path_factory.mktemp("model") / "folder"
    if request.param == "f5":
        engine = engines.load("f5", TtsSettings(f5_model=f5_folder(folder)))
    else:
        engine = engines.load("qwen3", TtsSettings(qwen3_model=qwen3_folder(folder, request.param)))
    assert isinstance(engine, HostedEngine)
    with for_children(), closing(engine):
        engine.start()
        yield engine


@pytest.fixture(scope="module")
def case(engine: HostedEngine, reference: Reference) -> Case:
    with ExitStack() as stack:
        speaker = None
        if engine.capabilities.can_clone:
            slot = stack.enter_context(closing(engine.open_slot()))
            speaker = Speaker("r", slot.prepare(reference))
    return Case(first_share=1 / 10, abandoned=20, speaker=speaker)


@pytest.fixture
def here() -> Iterator[None]:
    with in_this_process():
        yield


def made(slot: Any, text: str, **more: Any) -> bytes:
    return b"".join(slot.synthesise(SynthesisRequest(text, **more), StopToken()))


def test_each_tells_what_it_cannot_do(engine: HostedEngine) -> None:
    able = engine.capabilities
    assert able.streaming == "whole"
    assert able.has_speed == (engine.name == "f5")
    assert not able.reads_numbers
    assert able.version


# F5-TTS


def f5_slot(tmp_path: Path, **options: str) -> F5Slot:
    folder = f5_folder(tmp_path / "f5")
    told = {"folder": str(folder), "kind": "F5TTS_v1_Base", "steps": "16", "device": "auto", **options}
    engine = f5.open(told)
    engine.start()
    return engine.open_slot()


def f5_asked() -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = sys.modules["f5_tts.infer.utils_infer"].asked
    return asked


@pytest.mark.usefixtures("here")
def test_f5_speaks_after_the_recording_and_what_is_said_in_it(tmp_path: Path, reference: Reference) -> None:
    slot = f5_slot(tmp_path)
    sound = np.frombuffer(made(slot, "Hello there, you.", speaker=Speaker("r", slot.prepare(reference))), np.int16)
    (asked,) = f5_asked()
    assert asked["said"] == "A few words of mine. "
    assert (asked["text"], asked["steps"], asked["speed"]) == ("Hello there, you.", 16, 1.0)
    assert asked["sound"] == (1, 4 * 16_000)
    assert (sound.min(), sound.max()) == (-32_767, 32_767), "what is too loud is cut off"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("text", ["Oh!", "A sentence of some length."])
def test_f5_keeps_to_a_speed_also_in_a_text_of_a_few_letters(tmp_path: Path, reference: Reference, text: str) -> None:
    slot = f5_slot(tmp_path)
    speaker = Speaker("r", slot.prepare(reference))
    usual = len(made(slot, text, speaker=speaker))
    assert len(made(slot, text, speaker=speaker, speed=2.0)) == pytest.approx(usual / 2, rel=0.05)
    assert len(made(slot, text, speaker=speaker, speed=0.5)) == pytest.approx(usual * 2, rel=0.05)


@pytest.mark.usefixtures("here")
def test_f5_cuts_a_text_that_is_too_long_for_its_recording(tmp_path: Path) -> None:
    slot = f5_slot(tmp_path)
    long = Reference("r", recording(tmp_path / "long.wav", 14.0), "Quite a few words, of mine, and some more of them.")
    blocks = list(
        slot.synthesise(SynthesisRequest("Some words. " * 20, speaker=Speaker("r", slot.prepare(long))), StopToken())
    )
    assert len(blocks) == len(f5_asked()) > 3
    assert " ".join(asked["text"] for asked in f5_asked()) == ("Some words. " * 20).strip()


@pytest.mark.usefixtures("here")
def test_f5_refuses_what_it_cannot_speak_like(tmp_path: Path, reference: Reference) -> None:
    slot = f5_slot(tmp_path)
    with pytest.raises(Unsupported, match="set as default"):
        made(slot, "Hello.")
    with pytest.raises(Unsupported, match="what is said"):
        slot.prepare(Reference("r", reference.path, " "))
    with pytest.raises(Unsupported, match="at most 15 s"):
        slot.prepare(Reference("r", recording(tmp_path / "long.wav", 15.1), "Hello."))


@pytest.mark.usefixtures("here")
def test_f5_stops_between_two_steps_of_a_sentence(tmp_path: Path, reference: Reference) -> None:
    slot = f5_slot(tmp_path)
    stop, steps = StopToken(), list[int]()

    def step(*_: object) -> None:
        steps.append(1)
        if len(steps) == 5:
            stop.stop()

    speaker = Speaker("r", slot.prepare(reference))
    hook = slot._model.ema_model.transformer.register_forward_pre_hook(step)
    assert list(slot.synthesise(SynthesisRequest("Hello there.", speaker=speaker), stop)) == []
    assert len(steps) == 5
    hook.remove()
    assert made(slot, "Hello there.", speaker=speaker), "the next request is spoken"


def test_f5_says_what_its_weights_may_be_used_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engines.load("f5", TtsSettings(f5_model=f5_folder(tmp_path / "f5")))
    assert "not for commercial use" in caplog.text


def test_what_is_said_in_a_recording_ends_as_a_sentence_does(reference: Reference) -> None:
    wav = reference.path.read_bytes()
    said = [f5.Voice(Speaker("r", packed(wav, text))).said for text in ("Hello", "Hello. ", "你好。", "Hello!")]
    assert said == ["Hello. ", "Hello. ", "你好。", "Hello!. "]


# Qwen3-TTS


def qwen3_slot(tmp_path: Path, kind: str, size: str = "1b7") -> tuple[QwenEngine, QwenSlot]:
    engine = qwen3.open({"folder": str(qwen3_folder(tmp_path / "qwen3", kind, size)), "device": "auto"})
    engine.start()
    return engine, engine.open_slot()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("transcript", ["A few words.", ""])
def test_a_base_model_speaks_like_a_recording(tmp_path: Path, reference: Reference, transcript: str) -> None:
    engine, slot = qwen3_slot(tmp_path, "base")
    assert (engine.capabilities.can_clone, engine.capabilities.has_instruction) == (True, False)
    assert engine.capabilities.voices == ()
    prepared = slot.prepare(Reference("r", reference.path, transcript))
    assert made(slot, "안녕하세요.", language="ko-KR", speaker=Speaker("r", prepared))
    (asked,) = slot._model.asked
    (item,) = asked["prompt"]
    assert asked["language"] == "korean"
    assert item.ref_text == (transcript or None)
    assert item.icl_mode == (not item.x_vector_only_mode) == bool(transcript)
    assert item.ref_code is None if not transcript else item.ref_code.tolist() == np.arange(12).reshape(3, 4).tolist()
    assert item.ref_spk_embedding.shape == (8,)


@pytest.mark.usefixtures("here")
def test_a_base_model_has_no_voice_of_its_own(tmp_path: Path) -> None:
    _, slot = qwen3_slot(tmp_path, "base")
    with pytest.raises(Unsupported, match="set as default"):
        made(slot, "Hello.")


@pytest.mark.usefixtures("here")
def test_a_model_of_custom_voices_takes_instructions(tmp_path: Path, reference: Reference) -> None:
    engine, slot = qwen3_slot(tmp_path, "custom_voice")
    assert [voice.name for voice in engine.capabilities.voices] == ["ryan", "vivian"]
    assert engine.capabilities.has_instruction
    made(slot, "Hello.", voice="vivian", instruction="kindly")
    made(slot, "Hallo.", language="de")
    assert slot._model.asked == [
        {"language": "english", "speaker": "vivian", "instruct": "kindly"},
        {"language": "auto", "speaker": "ryan", "instruct": None},
    ]
    with pytest.raises(Unsupported):
        slot.prepare(reference)


@pytest.mark.usefixtures("here")
def test_the_smallest_model_of_custom_voices_takes_none(tmp_path: Path) -> None:
    engine, _ = qwen3_slot(tmp_path, "custom_voice", "0b6")
    assert not engine.capabilities.has_instruction


@pytest.mark.usefixtures("here")
def test_a_model_of_voice_design_makes_its_voice_up(tmp_path: Path) -> None:
    engine, slot = qwen3_slot(tmp_path, "voice_design")
    assert (engine.capabilities.voices, engine.capabilities.has_instruction) == ((), True)
    made(slot, "你好。", language="zh", instruction="an old man")
    made(slot, "你好。", language="zh")
    assert [asked["instruct"] for asked in slot._model.asked] == ["an old man", ""]


@pytest.mark.usefixtures("here")
def test_qwen3_stops_between_two_steps_of_a_sentence(tmp_path: Path) -> None:
    _, slot = qwen3_slot(tmp_path, "voice_design")
    stop = StopToken()
    hook = slot._model.model.talker.register_forward_pre_hook(lambda *_: stop.stop())
    assert list(slot.synthesise(SynthesisRequest("Hello."), stop)) == []
    hook.remove()
    assert made(slot, "Hello.")
    assert slot._model.model.talker.hooks == []


@pytest.mark.usefixtures("here")
def test_an_unknown_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="no kind"):
        qwen3_slot(tmp_path, "singing")


# Both


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("f5", {}, "TTS_F5_MODEL must name"),
        ("f5", {"f5_model": "nowhere"}, "TTS_F5_MODEL must name"),
        ("qwen3", {}, "TTS_QWEN3_MODEL must name"),
    ],
)
def test_a_model_that_is_not_there_is_told_before_anything_starts(
    name: str, settings: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(EngineFailed, match=says):
        engines.load(name, TtsSettings(**settings))


@pytest.mark.parametrize("name", ["f5", "qwen3"])
def test_an_empty_folder_is_no_model(tmp_path: Path, name: str) -> None:
    engine = engines.load(name, TtsSettings(f5_model=tmp_path, qwen3_model=tmp_path))
    with for_children(), pytest.raises(EngineFailed, match=f"The folder of TTS_{name.upper()}_MODEL"):
        engine.start()


def test_a_missing_package_is_named() -> None:
    with pytest.raises(EngineFailed, match="The engine needs no_such_package, which is not there"):
        adapters.library("no_such_package.part", "The engine")


@pytest.mark.usefixtures("here")
def test_a_model_is_in_use_once(tmp_path: Path) -> None:
    engine, _ = qwen3_slot(tmp_path, "base")
    with pytest.raises(EngineFailed, match="in use"):
        engine.open_slot()


@pytest.mark.usefixtures("here")
def test_a_device_is_what_was_told_or_what_there_is() -> None:
    assert adapters.device("cuda:1") == "cuda:1"
    assert adapters.device("auto") == "cpu"


def test_the_version_follows_the_weights(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"1")
    before = adapters.version_of(tmp_path)
    (tmp_path / "note.txt").write_bytes(b"1")
    assert adapters.version_of(tmp_path) == before
    (tmp_path / "a.safetensors").write_bytes(b"2")
    assert adapters.version_of(tmp_path) != before


def test_floats_become_samples_that_are_never_wrapped() -> None:
    made = np.frombuffer(adapters.pcm(np.array([[0.0, 1.0, -1.0, 7.0, -7.0, np.nan, np.inf, 0.5]])), np.int16)
    assert made.tolist() == [0, 32_767, -32_767, 32_767, -32_767, 0, 32_767, 16_384]


def test_a_recording_becomes_floats(reference: Reference) -> None:
    sound, rate = as_floats(reference.path.read_bytes())
    assert (str(sound.dtype), sound.shape, rate) == ("float32", (64_000,), 16_000)
    assert np.abs(sound).max() == pytest.approx(8_000 / 32_768, rel=0.01)
