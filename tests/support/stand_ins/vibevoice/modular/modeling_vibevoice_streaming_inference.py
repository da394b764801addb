"""VibeVoice's model: a frame of a tone for each word, and more and more of them for one that it stumbles over."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import from_numpy

FRAME_SAMPLES = 3_200
STUMBLES = "er"
FAILS = "boom"


class VibeVoiceStreamingForConditionalGenerationInference:
    def __init__(self) -> None:
        scheduler = SimpleNamespace(config={}, from_config=lambda config, **more: SimpleNamespace(told=more))
        self.model = SimpleNamespace(noise_scheduler=scheduler)
        self.asked: list[dict[str, Any]] = []

    @classmethod
    def from_pretrained(cls, folder: str, **kwargs: Any) -> "VibeVoiceStreamingForConditionalGenerationInference":
        assert set(kwargs) == {"torch_dtype", "device_map", "attn_implementation"}
        return cls()

    def eval(self) -> None:
        """As a module of PyTorch has it."""

    def set_ddpm_inference_steps(self, num_steps: int | None = None) -> None:
        self.steps = num_steps

    def generate(
        self,
        inputs: Any = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Any = None,
        synced_gpus: Any = None,
        assistant_model: Any = None,
        audio_streamer: Any = None,
        negative_prompt_ids: Any = None,
        negative_prompt_attention_mask: Any = None,
        speech_tensors: Any = None,
        speech_masks: Any = None,
        speech_input_mask: Any = None,
        tts_text_ids: Any = None,
        return_speech: bool = True,
        cfg_scale: float = 1.0,
        stop_check_fn: Any = None,
        **kwargs: Any,
    ) -> None:
        words = kwargs["tokenizer"].words
        state = kwargs["all_prefilled_outputs"]
        self.asked.append({"words": words, "scale": cfg_scale, "voice": float(state["lm"].last_hidden_state[0])})
        state["lm"].last_hidden_state[0] = -1.0  # as the real one writes to what it was given
        most, made = kwargs["max_new_tokens"] - tts_text_ids.shape[1], 0
        for word in words:
            if word == FAILS:
                raise RuntimeError("a secret text")
            for _ in range(10_000 if word == STUMBLES else 2):
                if stop_check_fn() or made >= most:
                    audio_streamer.end()
                    return
                made += 1
                tone = np.sin(np.arange(FRAME_SAMPLES, dtype=np.float32) / 20)
                audio_streamer.put(from_numpy(tone)[None, None], from_numpy(np.array([0])))
        audio_streamer.end(from_numpy(np.array([0])))
