"""CosyVoice 3, of which no package carries the classes: what the engine does with the protocol of its generators.

Where TTS_COSYVOICE_SOURCE names a checkout and TTS_COSYVOICE_MODEL a folder, of any kind, these are tried as well.
"""

import os
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tests.support import cosyvoice_3
from tests.support.cosyvoice_3 import TOKEN_SAMPLES, TOKENS_A_CHAR
from tts_service.engines import cosyvoice, cosyvoice_model, cosyvoice_speaker
from tts_service.engines.base import Reference, Speaker, SynthesisRequest
from tts_service.engines.cosyvoice import CosyVoiceSlot, abilities, write_noise
from tts_service.engines.cosyvoice_guard import FADE_S

pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore")]

PROMPT = "You are a helpful assistant.<|endofprompt|>"


@pytest.fixture
def slot(tmp_path: Path) -> CosyVoiceSlot:
    (tmp_path / "cosyvoice3.yaml").write_text("sample_rate: 24000\n")
    slot = CosyVoiceSlot(cosyvoice_model.load(sys.modules[cosyvoice_3.__name__], tmp_path))
    slot.warm_up()
    slot._cosy.model.llm.seen.clear()
    return slot


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    write_noise(tmp_path / "voice.wav")
    return Reference("r", tmp_path / "voice.wav", "我说话")


def said(slot: CosyVoiceSlot, text: str, speaker: Speaker | None, instruction: str | None = None) -> list[bytes]:
    request = SynthesisRequest(text, "zh", speaker=speaker, instruction=instruction)
    return list(slot.synthesise(request, StopToken()))


def own(slot: CosyVoiceSlot, reference: Reference) -> Speaker:
    return Speaker("r", slot.prepare(reference))


def seen(slot: CosyVoiceSlot) -> list[tuple[str, bool]]:
    return [(text, bool(speech)) for text, speech in slot._cosy.model.llm.seen]


def test_it_speaks_in_a_voice_of_one_s_own_alone(slot: CosyVoiceSlot, reference: Reference) -> None:
    with pytest.raises(Unsupported, match="a voice of one's own must be set as default"):
        said(slot, "你好", None)
    made = said(slot, "你好", own(slot, reference))
    assert sum(map(len, made)) == 2 * 2 * TOKENS_A_CHAR * TOKEN_SAMPLES


def test_its_prompt_ends_with_the_mark_that_it_asks_for(slot: CosyVoiceSlot, reference: Reference) -> None:
    said(slot, "你好", own(slot, reference))
    assert seen(slot) == [(f"{PROMPT}我说话你好", True)]


def test_a_recording_without_a_text_is_for_the_sound_alone(slot: CosyVoiceSlot, reference: Reference) -> None:
    silent = Reference("s", reference.path, " ")
    said(slot, "你好", own(slot, silent))
    assert seen(slot) == [(f"{PROMPT}你好", False)]


def test_an_instruction_is_its_prompt(slot: CosyVoiceSlot, reference: Reference) -> None:
    said(slot, "你好", own(slot, reference), "Speak slowly.")
    assert seen(slot) == [("You are a helpful assistant. Speak slowly.<|endofprompt|>你好", False)]


def test_blocks_grow_within_a_request_and_not_from_one_to_the_next(slot: CosyVoiceSlot, reference: Reference) -> None:
    speaker = own(slot, reference)
    made = [[len(block) // 2 for block in said(slot, "今天天气很好", speaker)] for _ in range(3)]
    fade = round(24_000 * FADE_S)
    assert made[0] == [25 * TOKEN_SAMPLES - fade, 50 * TOKEN_SAMPLES, 45 * TOKEN_SAMPLES, fade]
    assert made[0] == made[1] == made[2]


def test_a_prompt_without_its_mark_is_a_failure_not_a_hang(slot: CosyVoiceSlot, reference: Reference) -> None:
    entry = cosyvoice_speaker.unpacked(slot.prepare(reference), "cpu")
    entry["prompt_text"] = entry["prompt_text"][:, :3]
    with pytest.raises(EngineFailed, match="failed at this text"):
        said(slot, "你好", Speaker("r", cosyvoice_speaker.packed(entry)))
    assert said(slot, "你好", own(slot, reference))


def test_abandoned_requests_leave_no_thread_and_no_entry(slot: CosyVoiceSlot, reference: Reference) -> None:
    speaker, before = own(slot, reference), threading.active_count()
    for _ in range(20):
        with closing(slot.synthesise(SynthesisRequest("今天天气很好", speaker=speaker), StopToken())) as blocks:
            assert next(blocks)
    model = slot._cosy.model
    assert threading.active_count() == before
    assert not (model.tts_speech_token_dict or model.llm_end_dict or model.hift_cache_dict)


def test_what_it_can_do_is_told(slot: CosyVoiceSlot) -> None:
    able = abilities(slot._loaded, slot.voices)
    assert able.voices == ()
    assert able.can_clone
    assert able.has_instruction
    assert not able.reads_numbers
    assert {"zh", "en", "ko", "ja", "de"} <= set(able.languages)


@pytest.mark.timeout(600)
@pytest.mark.skipif("TTS_COSYVOICE_MODEL" not in os.environ, reason="no model is named")
def test_a_real_model_speaks_and_forgets_what_was_abandoned(source: Path, reference: Reference) -> None:
    engine = cosyvoice.open({"model": os.environ["TTS_COSYVOICE_MODEL"], "source": str(source)})
    engine.start()
    slot = engine.open_slot()
    speaker, before = own(slot, reference), threading.active_count()
    assert sum(map(len, said(slot, "今天天气很好。", speaker))) > engine.sample_rate
    with closing(slot.synthesise(SynthesisRequest("今天天气很好。", speaker=speaker), StopToken())) as blocks:
        assert next(blocks)
    assert threading.active_count() == before
    assert not slot._cosy.model.tts_speech_token_dict
