"""How well the demo recogniser hears, through the real faster-whisper: held-out voices, known and new sentences.

Errors are counted in characters for Mandarin and Korean, in words for English. Windows are as long as the audio needs,
as in the service. Needs faster-whisper and a set of speech.py.
Run: python -m asr_service.demo_model.evaluate SPEECH.npz [--model FOLDER] [--detect] [--beam 5] [--snr 20] [--show]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # NumPy's threads spin in so small a matrix; set before it loads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel

from asr_service.demo_model import MODEL_PATH
from asr_service.demo_model.recordings import SAMPLE_RATE, Samples, load

LEAD_S, TAIL_S, GAIN, QUIET_NOISE = 0.2, 0.3, 0.7, 0.001
PAD_S, WINDOW_STEP_S, LONGEST_WINDOW_S = 0.3, 0.5, 8.0

Sound = npt.NDArray[np.float32]


class ShortWindow(WhisperModel):
    """faster-whisper whose encoder sees `frames` of 10 ms instead of 30 s."""

    frames = int(LONGEST_WINDOW_S * 100)

    def encode(self, features: Any) -> Any:
        return super().encode(features[..., : self.frames])


@dataclass
class Score:
    wrong: int = 0
    units: int = 0
    exact: int = 0
    found: int = 0
    asked: int = 0


class Ear:
    def __init__(self, model: str, beam: int) -> None:
        self.whisper, self.beam = ShortWindow(model, device="cpu", compute_type="int8", cpu_threads=1), beam

    def hear(self, sound: Sound, language: str | None) -> tuple[str, str]:
        """Text and language."""
        needed_s = math.ceil((len(sound) / SAMPLE_RATE + PAD_S) / WINDOW_STEP_S) * WINDOW_STEP_S
        self.whisper.frames = int(min(needed_s, LONGEST_WINDOW_S) * 100)
        segments, info = self.whisper.transcribe(
            sound,
            language=language,
            beam_size=self.beam,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return "".join(segment.text for segment in segments).strip(), str(info.language)


def framed(pcm: Samples, snr_db: float | None) -> Sound:
    """The speech with silence around it and a little white noise, or as much as the ratio says."""
    speech = pcm.astype(np.float32) / 32768 * GAIN
    level = QUIET_NOISE if snr_db is None else float(np.sqrt((speech**2).mean())) * 10 ** (-snr_db / 20)
    sound = np.pad(speech, (int(LEAD_S * SAMPLE_RATE), int(TAIL_S * SAMPLE_RATE)))
    noise = np.random.default_rng(0).normal(0, level, len(sound))
    return np.asarray(sound + noise, np.float32)


def units(text: str, language: str) -> list[str]:
    return text.split() if language == "en" else list(text.replace(" ", ""))


def edits(wanted: list[str], given: list[str]) -> int:
    """Insertions, deletions and replacements."""
    row = list(range(len(given) + 1))
    for index, sign in enumerate(wanted, 1):
        above, row = row, [index]
        for column, other in enumerate(given, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (sign != other)))
    return row[-1]


def measure(ear: Ear, path: Path, options: argparse.Namespace) -> None:
    scores, cpu_s = defaultdict[str, Score](Score), []
    for made in load(path):
        sound = framed(made.pcm, options.snr)
        began_s = time.process_time()
        text, language = ear.hear(sound, None if options.detect else made.language)
        cpu_s.append(time.process_time() - began_s)
        score, wanted = scores[made.language], units(made.text, made.language)
        score.wrong += edits(wanted, units(text, made.language))
        score.units += len(wanted)
        score.exact += text == made.text
        score.found += language == made.language
        score.asked += 1
        if options.show and text != made.text:
            print(f"  {made.voice}: {made.text} -> {text}")
    for language, score in sorted(scores.items()):
        share = f"error {score.wrong / score.units:.3f}, exact {score.exact}/{score.asked}"
        print(f"{path.stem} {language}: {share}, language {score.found}/{score.asked}")
    print(f"{path.stem}: {1000 * np.median(cpu_s):.1f} ms of CPU an utterance")


def silence(ear: Ear) -> None:
    random = np.random.default_rng(1)
    for name, level in (("silence", 0.0), ("soft noise", 0.001), ("noise", 0.01), ("loud noise", 0.1)):
        for language in ("zh", "ko", "en"):
            text, _ = ear.hear(random.normal(0, level, 2 * SAMPLE_RATE).astype(np.float32), language)
            print(f"{name} as {language}: {text!r}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--model", default=str(MODEL_PATH))
    parser.add_argument("--detect", action="store_true")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--snr", type=float)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    ear = Ear(options.model, options.beam)
    for path in options.sets:
        measure(ear, path, options)
    silence(ear)


if __name__ == "__main__":
    main()
