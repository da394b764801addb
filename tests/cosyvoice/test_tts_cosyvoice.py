"""What the classes of CosyVoice 1 and 2 do by themselves, and what the engine makes of it, in this process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tests.cosyvoice.conftest import STORED
from tests.support.cosyvoice_models import PRESETS, SPEECH_TOKENS
from tts_service.engines import adapters, cosyvoice, cosyvoice_guard, cosyvoice_speaker
from tts_service.engines.base import Reference, Speaker, SynthesisRequest
from tts_service.engines.cosyvoice import CosyVoiceSlot
from tts_service.engines.cosyvoice_guard import PER_REQUEST
from tts_service.engines.recent import Recent

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

SHORT, LONG = "a.", "abcdef."


def opened(model: Path, source: Path) -> CosyVoiceSlot:
    engine = cosyvoice.open({"model": str(model), "source": str(source)})
    engine.start()
    return engine.open_slot()


@pytest.fixture(scope="module")
def one(folders: Path, source: Path) -> CosyVoiceSlot:
    return opened(folders / "one", source)


@pytest.fixture(scope="module")
def two(folders: Path, source: Path) -> CosyVoiceSlot:
    return opened(folders / "voiced", source)


@pytest.fixture(scope="module", params=["one", "two"])
def slot(request: pytest.FixtureRequest) -> CosyVoiceSlot:
    slot: CosyVoiceSlot = request.getfixturevalue(request.param)
    return slot


@pytest.fixture(scope="module")
def speaker(two: CosyVoiceSlot, recording: Path) -> Speaker:
    return Speaker("r", two.prepare(Reference("r", recording, "你好")))


@pytest.fixture(autouse=True)
def one_model_a_process() -> None:
    """Two live in this one, and the classes keep the windows of the first one by names that do not tell them apart."""
    from matcha.utils import audio

    audio.hann_window.clear()
    audio.mel_basis.clear()


def said(slot: CosyVoiceSlot, text: str = SHORT, **more: Any) -> list[bytes]:
    return list(slot.synthesise(SynthesisRequest(text, "zh", **more), StopToken()))


def samples(blocks: list[bytes]) -> int:
    return sum(map(len, blocks)) // 2


def write_recording(path: Path, seconds: float) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.standard_normal(round(16_000 * seconds)) / 10, 16_000)


def held(slot: CosyVoiceSlot) -> list[int]:
    """How many requests each of the model's tables knows of."""
    model = slot._cosy.model
    return [len(getattr(model, name)) for name in PER_REQUEST if hasattr(model, name)]


class StopsAfter(StopToken):
    """Set once it was looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_stopped(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.fixture
def drawn(slot: CosyVoiceSlot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[int]]]:
    """Called with n, it lets the language model draw n tokens and then fail; it gives the list of what was drawn."""
    llm = slot._cosy.model.llm
    sampling = llm.sampling

    def limit(count: int) -> list[int]:
        seen: list[int] = []

        def draw(*given: Any) -> Any:
            if len(seen) >= count:
                raise RuntimeError("the text that is spoken")
            seen.append(1)
            return sampling(*given)

        monkeypatch.setattr(llm, "sampling", draw)
        return seen

    return limit  # type: ignore[return-value]


# The guard


@pytest.mark.parametrize("tokens", [0, 7, 60])
def test_a_fault_of_the_language_model_is_a_failure_not_a_hang(
    slot: CosyVoiceSlot, drawn: Callable[[int], list[int]], tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(tokens)
    with pytest.raises(EngineFailed, match="failed at this text"):
        said(slot, "One two three four five six.")
    assert not any(held(slot))
    monkeypatch.undo()
    assert said(slot)


def test_every_request_begins_with_a_block_as_long_as_the_first_one(two: CosyVoiceSlot) -> None:
    expected = len(said(two, LONG)[0])
    two._cosy.model.token_hop_len = 100  # as a release of the classes leaves it behind
    assert len(said(two, LONG)[0]) == expected
    assert expected / 2 == pytest.approx(24_000 * (1.0 - 0.16 - cosyvoice_guard.FADE_S), abs=1)


def test_many_abandoned_requests_leave_no_thread_and_no_entry(slot: CosyVoiceSlot) -> None:
    before = threading.active_count()
    for _ in range(10):
        with closing(slot.synthesise(SynthesisRequest("One two three four.", "zh"), StopToken())) as blocks:
            assert next(blocks)
        assert threading.active_count() == before
        assert not any(held(slot))
    assert not slot._cosy.frontend.spk2info.keys() & {cosyvoice_speaker.SCRATCH}


def test_what_is_stopped_before_its_first_block_draws_hardly_a_token(
    slot: CosyVoiceSlot, drawn: Callable[[int], list[int]]
) -> None:
    seen = drawn(10_000)
    request = SynthesisRequest("One two three four five six seven.", "zh")
    assert list(slot.synthesise(request, StopsAfter(8))) == []
    assert len(seen) < 10
    assert not any(held(slot))


def test_a_model_that_waits_for_tokens_is_woken_by_them(two: CosyVoiceSlot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosyvoice_guard, "NAP_S", 1_000.0)
    assert said(two, LONG)


def test_the_end_of_every_sentence_fades(slot: CosyVoiceSlot) -> None:
    made = np.frombuffer(b"".join(said(slot, "One.")), np.int16).astype(np.int32)
    fade = int(cosyvoice_guard.FADE_S * slot._cosy.sample_rate)
    assert made[-1] == 0
    assert np.abs(made[-fade // 10 :]).max() < np.abs(made[:-fade]).max() / 5


@pytest.mark.parametrize("lengths", [[1], [50], [3, 4], [100, 100], [100, 3, 2], [60, 1, 60]])
def test_a_faded_sound_is_as_long_as_it_was_and_has_no_empty_block(lengths: list[int]) -> None:
    blocks = list(cosyvoice_guard.faded((torch.ones(1, length) for length in lengths), 50))
    sound = torch.cat(blocks, dim=1)
    assert all(block.shape[1] for block in blocks)
    assert sound.shape[1] == sum(lengths)
    assert bool((sound[:, :-50] == 1).all())
    assert sum(lengths) == 1 or sound[0, -1] == 0


def test_what_is_too_loud_is_cut_off_and_what_is_no_number_is_silent() -> None:
    made = np.frombuffer(adapters.pcm(torch.tensor([[2.0, 1.0, -3.0, 0.5, float("nan")]])), np.int16)
    assert made.tolist() == [32_767, 32_767, -32_767, 16_384, 0]


# Voices


def test_the_presets_of_a_folder_are_its_voices(one: CosyVoiceSlot) -> None:
    assert one.voices == PRESETS
    assert samples(said(one, voice=PRESETS[2])) == samples(said(one))


def test_a_stored_voice_of_cosyvoice_2_speaks_again_and_again(two: CosyVoiceSlot) -> None:
    assert two.voices == (STORED,)
    before = sorted(two._cosy.frontend.spk2info[STORED])
    assert samples(said(two, voice=STORED)) == samples(said(two)) == samples(said(two, instruction="慢一点"))
    assert sorted(two._cosy.frontend.spk2info[STORED]) == before


@pytest.mark.parametrize("transcript", ["你好", ""])
def test_a_voice_of_one_s_own_speaks_with_and_without_what_it_says(
    slot: CosyVoiceSlot, recording: Path, transcript: str
) -> None:
    prepared = slot.prepare(Reference("r", recording, transcript))
    entry = cosyvoice_speaker.unpacked(prepared, "cpu")
    assert bool(entry["prompt_text"].shape[1]) == bool(entry["llm_prompt_speech_token"].shape[1]) == bool(transcript)
    assert entry["flow_prompt_speech_token"].shape[1]
    made = [samples(said(slot, speaker=Speaker("r", prepared))) for _ in range(2)]
    assert made[0] == made[1] > 8_000


def test_a_prompt_fills_whole_blocks_of_the_flow_and_all_of_it_is_kept_for_the_language_model(
    two: CosyVoiceSlot, tmp_path: Path
) -> None:
    write_recording(tmp_path / "odd.wav", 3.5)
    entry = cosyvoice_speaker.described(two._loaded, tmp_path / "odd.wav", "你好")
    assert entry["llm_prompt_speech_token"].shape[1] == 87
    assert entry["flow_prompt_speech_token"].shape[1] == int(entry["flow_prompt_speech_token_len"]) == 75
    assert entry["prompt_speech_feat"].shape[1] == int(entry["prompt_speech_feat_len"]) == 150
    assert entry["flow_prompt_speech_token"].tolist()[0] == entry["llm_prompt_speech_token"].tolist()[0][12:]
    first = said(two, LONG, speaker=Speaker("r", cosyvoice_speaker.packed(entry)))[0]
    assert len(first) == len(said(two, LONG)[0])


def test_a_prompt_that_fills_no_block_is_left_as_it_is(two: CosyVoiceSlot, tmp_path: Path) -> None:
    write_recording(tmp_path / "short.wav", 0.9)
    entry = cosyvoice_speaker.described(two._loaded, tmp_path / "short.wav", "你")
    assert entry["flow_prompt_speech_token"].shape[1] == entry["llm_prompt_speech_token"].shape[1] == 22


def test_a_speaker_that_was_used_lately_is_not_unpacked_again(
    two: CosyVoiceSlot, speaker: Speaker, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked, seen = cosyvoice_speaker.unpacked, []

    def noted(prepared: bytes, device: Any) -> Any:
        seen.append(prepared)
        return unpacked(prepared, device)

    monkeypatch.setattr(cosyvoice_speaker, "unpacked", noted)
    monkeypatch.setattr(two, "_unpacked", Recent[bytes, Any](1))
    other = Speaker("o", two.prepare(Reference("o", recording, "")))
    for who in (speaker, speaker, other, other, speaker):
        assert said(two, speaker=who)
    assert seen == [speaker.prepared, other.prepared, speaker.prepared]


def test_an_instruction_stands_where_the_words_of_the_recording_stood(two: CosyVoiceSlot, speaker: Speaker) -> None:
    entry = cosyvoice_speaker.unpacked(speaker.prepared, "cpu")
    told = cosyvoice_speaker.instructed(entry, two._loaded, "慢<|一点")
    expected, _ = two._cosy.frontend._extract_text_token("慢<一点<|endofprompt|>")
    assert told["prompt_text"].tolist() == expected.tolist()
    assert told["llm_prompt_speech_token"].shape[1] == 0
    assert entry["llm_prompt_speech_token"].shape[1] > 0


def test_cosyvoice_1_refuses_an_instruction_that_it_would_not_follow(
    one: CosyVoiceSlot, folders: Path, recording: Path, source: Path, tmp_path: Path
) -> None:
    own = Speaker("r", one.prepare(Reference("r", recording, "")))
    with pytest.raises(Unsupported):
        said(one, instruction="slowly")
    with pytest.raises(Unsupported):
        said(one, instruction="slowly", speaker=own)
    (tmp_path / "CosyVoice-300M-Instruct").symlink_to(folders / "one")
    told = opened(tmp_path / "CosyVoice-300M-Instruct", source)
    assert samples(said(told, instruction="slowly")) == samples(said(one))


def test_bytes_that_are_no_speaker_are_refused(two: CosyVoiceSlot) -> None:
    from safetensors.torch import save

    for prepared in (b"", b"{}", b"\x80\x04cos\nsystem\n.", save({"prompt_text": torch.zeros(1)})):
        with pytest.raises(EngineFailed, match="prepared by another engine"):
            said(two, speaker=Speaker("r", prepared))
    assert said(two)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all" * 100])
def test_a_file_that_is_no_recording_is_refused(slot: CosyVoiceSlot, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "voice.wav").write_bytes(content)
    with pytest.raises(EngineFailed, match="cannot use this recording"):
        slot.prepare(Reference("r", tmp_path / "voice.wav", ""))


def test_a_long_recording_is_shortened_and_one_of_a_telephone_is_refused(
    one: CosyVoiceSlot, folders: Path, tmp_path: Path
) -> None:
    cosyvoice.write_noise(tmp_path / "long.wav", seconds=31)
    entry = cosyvoice_speaker.unpacked(one.prepare(Reference("r", tmp_path / "long.wav", "")), "cpu")
    assert entry["flow_prompt_speech_token"].shape[1] == 30 * 50
    cosyvoice.write_noise(tmp_path / "low.wav", rate=8_000)
    with pytest.raises(EngineFailed, match="16000 samples"):
        one.prepare(Reference("r", tmp_path / "low.wav", ""))


# Texts


@pytest.mark.parametrize("text", ["", "  ", "…", "!?"])
def test_a_text_of_nothing_makes_nothing(slot: CosyVoiceSlot, text: str) -> None:
    assert said(slot, text) == []


def test_marks_that_steer_the_model_are_taken_from_a_text(two: CosyVoiceSlot) -> None:
    assert cosyvoice_speaker.plain("a<|endofprompt|>b <| c") == "a<endofprompt>b < c"
    assert samples(said(two, "a<|im_end|>")) == samples(said(two, "a<im_end>"))


def test_numbers_are_said_in_words(two: CosyVoiceSlot) -> None:
    assert two._cosy.frontend.text_normalize("25%", split=False) == "twenty five percent"
    assert two._cosy.frontend.text_normalize("我有25%", split=False) == "我有百分之二十五"


def test_the_tiny_folder_is_as_long_as_its_text(two: CosyVoiceSlot) -> None:
    """Else nothing here would be known of what a model drew: 2 letters are 40 tokens, 25 a second."""
    assert SPEECH_TOKENS[2] == 6_561
    assert samples(said(two, "a.")) == 2 * 20 * 24_000 / 25
