"""VibeVoice's processor: a number for each word."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import from_numpy


class VibeVoiceStreamingProcessor:
    def __init__(
        self,
        tokenizer: Any = None,
        audio_processor: Any = None,
        speech_tok_compress_ratio: int = 3200,
        db_normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, **kwargs: Any) -> "VibeVoiceStreamingProcessor":
        if not (Path(pretrained_model_name_or_path) / "cached").is_file():
            raise OSError("it would be fetched")
        return cls(SimpleNamespace(words=[]))

    def process_input_with_cached_prompt(
        self,
        text: str | None = None,
        cached_prompt: dict[str, Any] | None = None,
        padding: Any = True,
        truncation: Any = False,
        max_length: int | None = None,
        return_tensors: Any = None,
        return_attention_mask: bool = True,
        **kwargs: Any,
    ) -> dict[str, Any]:
        self.tokenizer.words = (text or "").rstrip(".").split()
        return {"tts_text_ids": from_numpy(np.arange(len(self.tokenizer.words))[None]), "speech_tensors": None}
