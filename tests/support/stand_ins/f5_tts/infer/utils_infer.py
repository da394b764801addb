"""F5-TTS's functions: as long a tone as the real ones would speak."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

target_sample_rate = 24_000
hop_length = 256
asked: list[dict[str, Any]] = []


def chunk_text(text: str, max_chars: int = 135) -> list[str]:
    """Pieces of sentences, of so many bytes at most where a sentence is not longer."""
    pieces = [""]
    for sentence in re.split(r"(?<=[.!?])\s+|(?<=[。！？])", text):
        if pieces[-1] and len(f"{pieces[-1]} {sentence}".encode()) > max_chars:
            pieces.append("")
        pieces[-1] = f"{pieces[-1]} {sentence}".strip()
    return [piece for piece in pieces if piece]


def infer_batch_process(
    ref_audio: Any,
    ref_text: str,
    gen_text_batches: list[str],
    model_obj: Any,
    vocoder: Any,
    mel_spec_type: str = "vocos",
    progress: Any = None,
    target_rms: float = 0.1,
    cross_fade_duration: float = 0.15,
    nfe_step: int = 32,
    cfg_strength: float = 2.0,
    sway_sampling_coef: float = -1,
    speed: float = 1,
    fix_duration: float | None = None,
    device: str | None = None,
    streaming: bool = False,
    chunk_size: int = 2048,
) -> Iterator[tuple[Any, int, Any]]:
    sound, rate = ref_audio
    (text,) = gen_text_batches
    asked.append({"said": ref_text, "text": text, "steps": nfe_step, "speed": speed, "sound": sound.shape})
    frames = int(sound.shape[-1] * target_sample_rate / rate) // hop_length
    slow = speed if len(text.encode()) >= 10 else 0.3
    if fix_duration is not None:
        whole = int(fix_duration * target_sample_rate / hop_length)
    else:
        whole = frames + int(frames / len(ref_text.encode()) * len(text.encode()) / slow)

    def step() -> Any:
        for _ in range(nfe_step):
            model_obj.transformer()
        return np.float32(1.5) * np.sin(np.arange((whole - frames) * hop_length, dtype=np.float32) / 20)

    with ThreadPoolExecutor() as executor:  # as the real one, so that whatever is raised crosses a thread
        yield executor.submit(step).result(), target_sample_rate, None
