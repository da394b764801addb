"""Qwen3-TTS's classes: a tone for each text, and the arguments that they were called with."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Module, Tensor, from_numpy

TOKEN_SAMPLES = 1_920
TOKENS_A_CHAR = 1


@dataclass
class VoiceClonePromptItem:
    ref_code: Tensor | None
    ref_spk_embedding: Tensor
    x_vector_only_mode: bool
    icl_mode: bool
    ref_text: str | None = None


class Qwen3TTSModel:
    def __init__(self, model: Any, processor: Any, generate_defaults: dict[str, Any] | None = None) -> None:
        self.model = model
        self.asked: list[dict[str, Any]] = []

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, **kwargs: Any) -> "Qwen3TTSModel":
        assert set(kwargs) == {"device_map", "dtype"}
        config = json.loads((Path(pretrained_model_name_or_path) / "config.json").read_text())
        rate = SimpleNamespace(get_output_sample_rate=lambda: 24_000)
        return cls(SimpleNamespace(talker=Module(), speech_tokenizer=rate, **config), None)

    def create_voice_clone_prompt(
        self, ref_audio: Any, ref_text: Any = None, x_vector_only_mode: Any = False
    ) -> list[VoiceClonePromptItem]:
        sound, _ = ref_audio
        assert x_vector_only_mode or ref_text
        code = None if x_vector_only_mode else from_numpy(np.arange(12, dtype=np.int64).reshape(3, 4))
        embedding = from_numpy(np.full(8, sound.mean(), np.float32))
        return [VoiceClonePromptItem(code, embedding, x_vector_only_mode, not x_vector_only_mode, ref_text)]

    def generate_voice_clone(
        self,
        text: Any,
        language: Any = None,
        ref_audio: Any = None,
        ref_text: Any = None,
        x_vector_only_mode: Any = False,
        voice_clone_prompt: Any = None,
        non_streaming_mode: bool = False,
        **kwargs: Any,
    ) -> tuple[list[Any], int]:
        assert self.model.tts_model_type == "base"
        return self._spoken(text, language=language, prompt=voice_clone_prompt, **kwargs)

    def generate_voice_design(
        self, text: Any, instruct: Any, language: Any = None, non_streaming_mode: bool = True, **kwargs: Any
    ) -> tuple[list[Any], int]:
        assert self.model.tts_model_type == "voice_design"
        return self._spoken(text, language=language, instruct=instruct, **kwargs)

    def generate_custom_voice(
        self,
        text: Any,
        speaker: Any,
        language: Any = None,
        instruct: Any = None,
        non_streaming_mode: bool = True,
        **kwargs: Any,
    ) -> tuple[list[Any], int]:
        assert self.model.tts_model_type == "custom_voice"
        return self._spoken(text, language=language, speaker=speaker, instruct=instruct, **kwargs)

    def get_supported_speakers(self) -> list[str] | None:
        return ["ryan", "vivian"] if self.model.tts_model_type == "custom_voice" else []

    def get_supported_languages(self) -> list[str] | None:
        return ["auto", "chinese", "english", "korean"]

    def _spoken(self, text: str, max_new_tokens: int, **told: Any) -> tuple[list[Any], int]:
        self.asked.append(told)
        tokens = min(max_new_tokens, TOKENS_A_CHAR * len(text))
        for _ in range(tokens):
            self.model.talker()
        return [np.sin(np.arange(tokens * TOKEN_SAMPLES, dtype=np.float32) / 20)], 24_000
