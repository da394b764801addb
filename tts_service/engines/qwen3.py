"""Qwen3-TTS: three kinds of models in one package (`qwen-tts`, hosted.py), a sentence at a time.

A base model speaks like a recording; a model of custom voices has speakers of its own, of which all but the smallest
takes instructions; a model of voice design makes its voice up by the instruction, anew for each sentence. Which kind a
folder holds is found out as it is loaded. The package hands out a sentence when all of it is made.
"""

import io
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tts_service.engines.adapters import OneModel, device, existing, interpreter, library, pcm, stoppable, version_of
from tts_service.engines.base import Capabilities, Reference, Speaker, SynthesisRequest, Voice
from tts_service.engines.packed_voice import as_floats

if TYPE_CHECKING:
    from tts_service.engines.hosted import HostedEngine
    from tts_service.settings import TtsSettings

NAME: Final = "qwen3"
NAMES: Final = {
    "zh": "chinese", "en": "english", "ja": "japanese", "ko": "korean", "de": "german", "fr": "french",
    "ru": "russian", "pt": "portuguese", "es": "spanish", "it": "italian",
}  # fmt: skip
WHATEVER: Final = "auto"
BASE, CUSTOM, DESIGN = "base", "custom_voice", "voice_design"
PARTS: Final = ("config.json", "speech_tokenizer/config.json")
SMALLEST: Final = "0b6"  # takes no instructions
MAX_CHARS: Final = 300
TOKENS_ALWAYS, TOKENS_A_CHAR, TOKENS_MOST = 200, 25, 2_048  # a second of speech has 12 or 25


def load(settings: "TtsSettings") -> "HostedEngine":
    """The engine, not started. Raises EngineFailed when a setting is wrong."""
    from tts_service.engines.hosted import HostedEngine, Limits

    folder = existing(settings.qwen3_model, "TTS_QWEN3_MODEL", "the folder of a model of Qwen3-TTS")
    options = {"folder": folder, "device": settings.engine_device}
    limits = Limits(first_block_s=180.0)  # a whole sentence, on a CPU
    return HostedEngine(NAME, interpreter(settings), __name__, options, limits)


def open(options: Mapping[str, str]) -> "QwenEngine":  # noqa: A001 (the name that every adapter has)
    """Runs in the child."""
    return QwenEngine(options)


class QwenEngine(OneModel["QwenSlot"]):
    """The model of one process."""

    name = NAME

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self.sample_rate = 0
        self.capabilities = Capabilities((), (), MAX_CHARS, "whole")

    def start(self) -> None:
        """Raises EngineFailed."""
        package, torch = library("qwen_tts", "Qwen3-TTS"), library("torch", "Qwen3-TTS")
        folder, place = Path(self._options["folder"]), device(self._options["device"])
        if not all((folder / part).is_file() for part in PARTS):  # the package would go and fetch what is missing
            raise EngineFailed("The folder of TTS_QWEN3_MODEL holds no model, or not all of it.", service="tts")
        precision = torch.float32 if place == "cpu" else torch.bfloat16
        model = package.Qwen3TTSModel.from_pretrained(str(folder), device_map=place, dtype=precision)
        self._slot = slot = QwenSlot(model)
        self.sample_rate = int(model.model.speech_tokenizer.get_output_sample_rate())
        self.capabilities = Capabilities(
            languages=slot.languages,
            voices=tuple(Voice(name, "") for name in slot.voices),
            max_chars=MAX_CHARS,
            streaming="whole",
            can_clone=slot.kind == BASE,
            has_speed=False,
            has_instruction=slot.takes_instructions,
            version=version_of(folder),
        )


class QwenSlot:
    """Makes one request at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.kind = str(model.model.tts_model_type)
        if self.kind not in (BASE, CUSTOM, DESIGN):
            raise EngineFailed("This is no kind of Qwen3-TTS that is known.", service="tts")
        self._supported = {str(name).lower() for name in model.get_supported_languages() or ()}
        self.languages = tuple(code for code, name in NAMES.items() if name in self._supported)
        self.voices: tuple[str, ...] = tuple(model.get_supported_speakers() or ()) if self.kind == CUSTOM else ()
        is_smallest = str(model.model.tts_model_size) == SMALLEST
        self.takes_instructions = self.kind == DESIGN or (self.kind == CUSTOM and not is_smallest)

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """One block; a stop comes between two of the model's steps."""
        if stop.is_stopped():
            return
        fields: dict[str, Any] = {
            "text": request.text,
            "language": self._language(request.language),
            "max_new_tokens": min(TOKENS_MOST, TOKENS_ALWAYS + TOKENS_A_CHAR * len(request.text)),
        }
        sounds: list[Any] = []
        with stoppable(self._model.model.talker, stop):
            sounds, _ = self._spoken(request, fields)
        if not stop.is_stopped():
            for sound in sounds:
                yield pcm(sound)

    def prepare(self, reference: Reference) -> bytes:
        """The codes and the embedding of a recording. Raises Unsupported, EngineFailed."""
        if self.kind != BASE:
            raise Unsupported("This model of Qwen3-TTS has no voices but its own.", service="tts", param="voice")
        sound = as_floats(reference.path.read_bytes())
        text = reference.transcript.strip()
        (item,) = self._model.create_voice_clone_prompt(
            ref_audio=sound, ref_text=text or None, x_vector_only_mode=not text
        )
        return packed(item)

    def close(self) -> None:
        """The model goes with its process."""

    def _spoken(self, request: SynthesisRequest, fields: Mapping[str, Any]) -> Any:
        """Samples of each text, and their rate. Raises Unsupported."""
        if self.kind == DESIGN:
            return self._model.generate_voice_design(instruct=request.instruction or "", **fields)
        if self.kind == CUSTOM:
            voice = request.voice or self.voices[0]
            return self._model.generate_custom_voice(speaker=voice, instruct=request.instruction, **fields)
        if request.speaker is None:
            raise Unsupported(
                "This model has no voice: a voice of one's own must be set as default.", service="tts", param="voice"
            )
        return self._model.generate_voice_clone(voice_clone_prompt=[unpacked(request.speaker)], **fields)

    def _language(self, code: str) -> str:
        name = NAMES.get(code.lower().replace("_", "-").partition("-")[0], WHATEVER)
        return name if name in self._supported else WHATEVER


def packed(item: Any) -> bytes:
    """A prompt of the package as arrays, without a pickle."""
    import numpy as np

    arrays = {
        "embedding": item.ref_spk_embedding.detach().float().cpu().numpy(),
        "text": np.frombuffer((item.ref_text or "").encode(), np.uint8),
    }
    if item.ref_code is not None:
        arrays["code"] = item.ref_code.detach().cpu().numpy()
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpacked(speaker: Speaker) -> Any:
    """The prompt again."""
    import numpy as np
    import torch

    item = library("qwen_tts", "Qwen3-TTS").VoiceClonePromptItem
    with np.load(io.BytesIO(speaker.prepared), allow_pickle=False) as arrays:
        code = torch.from_numpy(arrays["code"]) if "code" in arrays else None
        return item(
            ref_code=code,
            ref_spk_embedding=torch.from_numpy(arrays["embedding"]),
            x_vector_only_mode=code is None,
            icl_mode=code is not None,
            ref_text=arrays["text"].tobytes().decode() or None,
        )
