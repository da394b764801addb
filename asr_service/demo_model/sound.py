"""What the demo recogniser hears while it learns: speech in a worse room, noise without speech, and their log-mel.

The log-mel is the one of faster-whisper. Randomness comes from the caller.
"""

from random import Random

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import lfilter
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from asr_service.demo_model.model import MEL_BINS
from asr_service.demo_model.recordings import SAMPLE_RATE, Samples

HOP_SAMPLES, WINDOW_SAMPLES = 160, 400
MOST_FRAMES = 800
LONGEST_S = 7.9
NOISE_SHARE, LOW_NOISE_SHARE, ECHO_SHARE = 0.75, 0.35, 0.25
SNR_DB = (8, 40)

Sound = npt.NDArray[np.float32]
FILTERS = torch.from_numpy(
    mel_filter_bank(1 + WINDOW_SAMPLES // 2, MEL_BINS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, "slaney", "slaney").T
).float()
WINDOW = torch.hann_window(WINDOW_SAMPLES)


def log_mel(sound: Sound) -> torch.Tensor:
    """(80, frames), one frame each 10 ms, 8 s at most."""
    padded = functional.pad(torch.from_numpy(sound), (0, HOP_SAMPLES))
    waves = torch.stft(padded, WINDOW_SAMPLES, HOP_SAMPLES, window=WINDOW, return_complex=True)
    mel = torch.log10((FILTERS @ waves[:, :-1].abs() ** 2).clamp(min=1e-10))
    return ((torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0)[:, :MOST_FRAMES]


def white(number: int, random: Random) -> Sound:
    return np.random.default_rng(random.getrandbits(32)).standard_normal(number, np.float32)


def low(noise: Sound) -> Sound:
    """A rumble: low-pass noise of the same loudness."""
    rumble = lfilter([1.0], [1.0, -0.97], noise)
    return np.asarray(rumble / (rumble.std() + 1e-6), np.float32)


def in_a_room(pcm: Samples, random: Random) -> tuple[Sound, float, float]:
    """The speech with silence around, gain, noise and an echo; when it begins and ends, in s."""
    speech = pcm.astype(np.float32) / 32768
    lead_s, tail_s = random.uniform(0.02, 0.5), random.uniform(0.02, 0.9) ** 1.5
    if lead_s + tail_s + len(speech) / SAMPLE_RATE > LONGEST_S:
        lead_s = tail_s = 0.05
    lead, tail = int(lead_s * SAMPLE_RATE), int(tail_s * SAMPLE_RATE)
    sound = np.pad(speech * random.uniform(0.15, 1.0), (lead, tail)).astype(np.float32)
    draw = random.random()
    if draw < NOISE_SHARE:
        noise = white(len(sound), random)
        level = float(np.sqrt((sound * sound).mean())) * 10 ** (-random.uniform(*SNR_DB) / 20)
        sound += (low(noise) if draw < LOW_NOISE_SHARE else noise) * np.float32(level)
    if random.random() < ECHO_SHARE:
        delay = random.randint(200, 1600)
        sound[delay:] += random.uniform(0.1, 0.35) * sound[:-delay].copy()
    return sound, lead_s, lead_s + len(speech) / SAMPLE_RATE


def without_speech(random: Random) -> Sound:
    """Silence, noise or a hum."""
    samples = int(random.uniform(0.3, 4.0) * SAMPLE_RATE)
    level, draw = 10 ** random.uniform(-5.0, -1.5), random.random()
    noise = white(samples, random) * np.float32(level)
    if draw < 0.2:
        noise *= 0
    elif draw < 0.5:
        noise = low(noise) * np.float32(level)
    if random.random() < 0.3:
        hum = np.sin(np.arange(samples) * (2 * np.pi * random.uniform(50, 400) / SAMPLE_RATE))
        noise += (3 * level * hum).astype(np.float32)
    return noise


def blotted(mel: torch.Tensor, random: Random) -> torch.Tensor:
    """Louder or softer, a few bands and moments blanked."""
    mel = mel + random.uniform(-0.1, 0.1)
    for _ in range(2):
        width = random.randint(0, 10)
        at = random.randint(0, mel.shape[0] - width)
        mel[at : at + width] = mel.mean()
        width = random.randint(0, min(12, mel.shape[1] // 10))
        at = random.randint(0, mel.shape[1] - width)
        mel[:, at : at + width] = mel.mean()
    return mel
