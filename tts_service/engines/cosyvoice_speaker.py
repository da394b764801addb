"""What CosyVoice knows of a voice of one's own: its entry, made of a reference, packed as bytes, and used by a request.

An entry is a dict of tensors as the classes keep it in `spk2info`. They have three ways to use one, and in all of them
the language model is given the tokens of `prompt_text`, those of the text and then those of the prompt's speech: what
was said and how (zero-shot), neither (cross-lingual), or an instruction and no speech. So the entry decides, and every
request is a zero-shot one; of an instruction, the classes themselves would take no notice beside a stored voice.

The classes change the entry that a request uses, so each request gets a copy. Packed, it is in the safetensors format,
which cannot carry code.
"""

from pathlib import Path
from typing import Any, Final

from shared.errors import EngineFailed
from tts_service.engines.cosyvoice_model import Loaded
from tts_service.engines.cosyvoice_source import read_wav

END_OF_PROMPT: Final = "<|endofprompt|>"
ASSISTANT: Final = "You are a helpful assistant."  # how every prompt of CosyVoice 3 begins
TOKENS_A_HOP: Final = 25
SCRATCH: Final = "parley"  # the name of the entry that the request at hand uses
NEEDED: Final = frozenset(
    {"prompt_text", "llm_prompt_speech_token", "flow_prompt_speech_token", "prompt_speech_feat"}
    | {"llm_embedding", "flow_embedding"}
)

Entry = dict[str, Any]


def plain(text: str) -> str:
    """A text without the marks by which the model is steered."""
    return text.replace("<|", "<").replace("|>", ">")


def described(loaded: Loaded, path: Path, transcript: str) -> Entry:
    """The entry of a recording (WAV) and what is said in it, which may be ""."""
    cosy = loaded.cosy
    said = cosy.frontend.text_normalize(plain(transcript), split=False) if transcript.strip() else ""
    if loaded.kind == 3:
        said = ASSISTANT + END_OF_PROMPT + said
    prompt = str(path) if loaded.takes_paths else read_wav(path, 16_000)
    try:
        cosy.add_zero_shot_spk(said, prompt, SCRATCH)
        entry = {name: value for name, value in cosy.frontend.spk2info[SCRATCH].items() if not name.startswith("text")}
    finally:
        cosy.frontend.spk2info.pop(SCRATCH, None)
    if not transcript.strip():
        entry = speechless(entry)
    return entry if loaded.kind == 1 else aligned(entry, cosy.model)


def aligned(entry: Entry, model: Any) -> Entry:
    """The entry whose prompt fills whole blocks of the flow, so that the first block of speech is not a long one.

    What is left out is the beginning of the recording, and for the flow alone: the language model needs all of it, or
    it would say what it misses.
    """
    tokens, frames = entry["flow_prompt_speech_token"], entry["prompt_speech_feat"]
    extra = tokens.shape[1] % TOKENS_A_HOP
    if tokens.shape[1] < TOKENS_A_HOP or not extra:
        return entry
    cut = extra * model.flow.token_mel_ratio
    return {
        **entry,
        "flow_prompt_speech_token": tokens[:, extra:],
        "flow_prompt_speech_token_len": entry["flow_prompt_speech_token_len"] - extra,
        "prompt_speech_feat": frames[:, cut:],
        "prompt_speech_feat_len": entry["prompt_speech_feat_len"] - cut,
    }


def speechless(entry: Entry) -> Entry:
    """The entry without the speech that would have to be what its prompt text says."""
    return {
        **entry,
        "llm_prompt_speech_token": entry["llm_prompt_speech_token"][:, :0],
        "llm_prompt_speech_token_len": entry["llm_prompt_speech_token_len"] * 0,
    }


def packed(entry: Entry) -> bytes:
    """The entry as bytes."""
    from safetensors.torch import save

    return bytes(save({name: value.detach().cpu().clone().contiguous() for name, value in entry.items()}))


def unpacked(prepared: bytes, device: Any) -> Entry:
    """The entry that was packed. Raises EngineFailed when these bytes are none."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        entry = {name: value.to(device) for name, value in load(prepared).items()}
    except (SafetensorError, ValueError):
        entry = {}
    if not entry.keys() >= NEEDED:
        raise EngineFailed("This voice was prepared by another engine.", service="tts")
    return entry


def instructed(entry: Entry, loaded: Loaded, instruction: str) -> Entry:
    """The entry with an instruction in the place of what its recording says, which the classes would take instead."""
    told = plain(instruction) + END_OF_PROMPT
    frontend = loaded.cosy.frontend
    tokens, length = frontend._extract_text_token(f"{ASSISTANT} {told}" if loaded.kind == 3 else told)
    return {**speechless(entry), "prompt_text": tokens, "prompt_text_len": length}
