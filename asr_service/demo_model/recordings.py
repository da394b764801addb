"""Sets of utterances on disk: one NumPy archive of labels and of PCM16 at 16 kHz, end to end."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000

Samples = npt.NDArray[np.int16]


class Utterance(NamedTuple):
    language: str
    text: str
    phonemes: str  # one character each
    voice: str
    pcm: Samples


def save(path: Path, utterances: list[Utterance]) -> None:
    rows = list(zip(*utterances, strict=True))
    np.savez(
        path,
        labels=np.array(rows[:4]),
        ends=np.cumsum([len(pcm) for pcm in rows[4]]),
        pcm=np.concatenate(rows[4]),
    )


def load(path: Path) -> list[Utterance]:
    with np.load(path) as kept:
        pieces = np.split(kept["pcm"], kept["ends"][:-1])
        return [
            Utterance(str(language), str(text), str(phonemes), str(voice), pcm)
            for language, text, phonemes, voice, pcm in zip(*kept["labels"], pieces, strict=True)
        ]
