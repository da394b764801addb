"""Speech and sound for tests: PCM16 mono at 16 000 Hz."""

import wave
from pathlib import Path

import numpy as np

RATE = 16_000  # Hz
FOLDER = Path(__file__).parent.parent / "cases" / "speech"


def speech(name: str) -> bytes:
    """What `tests/cases/speech/<name>.wav` says."""
    with wave.open(str(FOLDER / f"{name}.wav"), "rb") as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
        return file.readframes(file.getnframes())


def silence(ms: int, rate: int = RATE) -> bytes:
    """Nothing at all."""
    return bytes(2 * (ms * rate // 1000))


def tone(ms: int, rate: int = RATE) -> bytes:
    """A tone that an endpointer takes for speech: loud, and of the same shape at any rate."""
    times_s = np.arange(ms * rate // 1000) / rate
    return (8_000 * np.sin(2 * np.pi * 300 * times_s)).astype("<i2").tobytes()


def noise(ms: int, seed: int = 1) -> bytes:
    """White noise that is loud enough to be taken for speech, the same for each seed."""
    samples = np.random.default_rng(seed).normal(0, 2_000, ms * RATE // 1000)
    return samples.clip(-32_768, 32_767).astype("<i2").tobytes()


def cut(pcm: bytes, chunk_bytes: int) -> list[bytes]:
    """`pcm` as a sender may deliver it."""
    return [pcm[start : start + chunk_bytes] for start in range(0, len(pcm), chunk_bytes)]
