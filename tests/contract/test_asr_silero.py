"""Silero's detector frame by frame: what it says of speech and of other sound, and what streams share."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from faster_whisper.vad import get_vad_model
from onnx import TensorProto, helper

from asr_service.engines.silero import HOP_SAMPLES, Silero
from tests.support.speech import cut, noise, silence, speech, tone

pytestmark = pytest.mark.contract

FRAME_BYTES = 640


@pytest.fixture(scope="module")
def silero() -> Silero:
    return Silero.load()


def heard(silero: Silero, pcm: bytes, chunk_bytes: int = FRAME_BYTES) -> list[float]:
    stream = silero.open()
    return [stream.probability(frame) for frame in cut(pcm, chunk_bytes)]


def test_speech_is_likely_soon_and_silence_soon_after(silero: Silero) -> None:
    pcm = silence(500) + speech("hello_how_are_you_today") + silence(500)
    found = heard(silero, pcm)
    likely = [place * 20 for place, probability in enumerate(found) if probability > 0.5]

    assert max(found[:25]) < 0.2
    assert 500 <= likely[0] <= 800
    assert len(pcm) // 32 - 800 <= likely[-1] <= len(pcm) // 32 - 400
    assert found[-1] < 0.2


def test_neither_noise_nor_a_tone_is_speech(silero: Silero) -> None:
    for sound in (silence(1_000), noise(2_000), tone(2_000)):
        assert max(heard(silero, sound)[10:]) < 0.5


def test_the_answers_are_those_of_the_whole_recording_at_once(silero: Silero) -> None:
    pcm = speech("tell_me_a_story")
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32_768
    whole = samples[: len(samples) // HOP_SAMPLES * HOP_SAMPLES]

    hops = heard(silero, whole_bytes(whole), 2 * HOP_SAMPLES)
    at_once = np.ravel(get_vad_model()(whole.copy()))

    assert hops[:-1] == pytest.approx(at_once[:-1].tolist(), abs=1e-5)  # at once, the last hop is damaged on the way


def whole_bytes(samples: np.ndarray) -> bytes:
    return (samples * 32_768).astype("<i2").tobytes()


@pytest.mark.parametrize("chunk_bytes", [2, 320, 1_024, 6_400])
def test_the_last_answer_is_the_same_however_the_sound_was_cut(silero: Silero, chunk_bytes: int) -> None:
    pcm = speech("can_you_hear_me")[: 20_000 - 20_000 % 6_400]

    assert heard(silero, pcm, chunk_bytes)[-1] == heard(silero, pcm)[-1]


def test_between_hops_the_last_answer_holds(silero: Silero) -> None:
    found = heard(silero, speech("can_you_hear_me"))

    assert found[0] == 0.0  # 320 samples are no hop yet
    assert found[1] != 0.0
    assert found[2] == found[1] != found[3]  # 640 and 960 samples hold one hop, 1 280 hold two


def test_streams_do_not_hear_each_other(silero: Silero) -> None:
    alone = heard(silero, speech("can_you_hear_me"))
    first, other = silero.open(), silero.open()
    beside = []
    for frame in cut(speech("can_you_hear_me"), FRAME_BYTES):
        beside.append(first.probability(frame))
        other.probability(noise(20))

    assert beside == alone


def test_a_file_that_is_missing_or_damaged_or_another_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vad\.onnx is missing"):
        Silero.load(tmp_path / "vad.onnx")
    (tmp_path / "vad.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"vad\.onnx cannot be loaded"):
        Silero.load(tmp_path / "vad.onnx")
    sound = helper.make_tensor_value_info("sound", TensorProto.FLOAT, [1])
    same = helper.make_tensor_value_info("same", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["sound"], ["same"])], "other", [sound], [same])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "vad.onnx"
    )
    with pytest.raises(ValueError, match=r"vad\.onnx is another model"):
        Silero.load(tmp_path / "vad.onnx")
