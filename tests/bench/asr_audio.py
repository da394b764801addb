"""A dialogue to listen to: the recordings of tests/cases/speech as one caller's turns, with the silences between them.

Most turns are a sentence; some are two with a short pause between them, which an endpointer must bear. All randomness
has a seed, so every run hears the same samples.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from shared.wire.asr import Configure, Flush
from tests.support.speech import RATE, speech

TURNS = (
    ("en", "hello_how_are_you_today"),
    ("zh", "nihao jintian_tianqi_zenmeyang"),
    ("ko", "oneul_nalssi_eottaeyo"),
    ("en", "what_is_the_capital_of_france"),
    ("zh", "gei_wo_jiang_ge_gushi"),
    ("ko", "annyeonghaseyo iyagi_hana_hae_juseyo"),
    ("en", "tell_me_a_story"),
    ("zh", "jintian_tianqi_zenmeyang"),
    ("ko", "iyagi_hana_hae_juseyo"),
    ("en", "can_you_hear_me hello_how_are_you_today"),
    ("zh", "nihao"),
    ("ko", "annyeonghaseyo"),
    ("zh", "jintian_tianqi_zenmeyang gei_wo_jiang_ge_gushi"),
    ("en", "can_you_hear_me"),
)
SPEECH_SHARE = 0.45
PAUSES_MS = (250, 450)  # within a turn
UNEVENNESS, SHORTEST_SILENCE_SAMPLES = 0.4, RATE  # of the silences between turns
QUIET = 0.008  # of full scale 1; what is less at an edge is silence
HISS = 0.0005  # RMS of what a quiet room adds, full scale 1
LAST_SILENCE_SAMPLES = 2 * RATE  # long enough for the last endpoint

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Turn:
    """What the caller says at a time, and where it lies in the dialogue, half of the silence before it included."""

    language: str
    start_samples: int
    end_samples: int


@dataclass(frozen=True)
class Dialogue:
    """PCM16 mono at 16 000 Hz, and what is said in it."""

    samples: Samples
    turns: tuple[Turn, ...]
    spoken_samples: int

    @property
    def audio_s(self) -> float:
        return len(self.samples) / RATE

    @property
    def speech_share(self) -> float:
        return self.spoken_samples / len(self.samples)

    def language_at(self, samples: int) -> str:
        """What the caller speaks there, or spoke last."""
        return next((turn.language for turn in reversed(self.turns) if turn.start_samples <= samples), "en")


def dialogue(seconds: float, first: int = 0, languages: Collection[str] = ("en", "ko", "zh")) -> Dialogue:
    """As many whole turns in these languages as fill the time, from the `first` on; they come round again."""
    random = Random(first)
    known = [turn for turn in TURNS if turn[0] in languages]
    parts: list[Samples] = []
    turns: list[Turn] = []
    spoken = position = 0
    while not turns or position + LAST_SILENCE_SAMPLES < seconds * RATE:
        language, names = known[(first + len(turns)) % len(known)]
        sentences = [_sentence(name) for name in names.split()]
        spoken += sum(map(len, sentences))
        said = _with_pauses(sentences, random)
        before = _silence_before(len(said), spoken / SPEECH_SHARE - position, random)
        turns.append(Turn(language, position + before // 2, position + before + len(said)))
        parts += [np.zeros(before, np.int16), said]
        position += before + len(said)
    samples = np.concatenate([*parts, np.zeros(LAST_SILENCE_SAMPLES, np.int16)])
    hiss = np.random.default_rng(first).normal(0, HISS * 32_768, len(samples))
    return Dialogue((samples + hiss).clip(-32_768, 32_767).astype("<i2"), tuple(turns), spoken)


def script(heard: Dialogue, frame_samples: int) -> Iterator[bytes | str]:
    """The dialogue as a client sends it: frames, each turn's language before it begins, and a flush."""
    turns = iter(heard.turns)
    turn = next(turns, None)
    for start in range(0, len(heard.samples), frame_samples):
        if turn and turn.start_samples <= start:
            yield Configure(language=turn.language).to_json()
            turn = next(turns, None)
        yield heard.samples[start : start + frame_samples].tobytes()
    yield Flush().to_json()


def _sentence(name: str) -> Samples:
    """A recording without the silence around it, so that the share of speech is what it says."""
    samples = np.frombuffer(speech(name), "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET * 32_768)
    return samples[loud[0] : loud[-1] + 1]


def _with_pauses(sentences: list[Samples], random: Random) -> Samples:
    parts = [sentences[0]]
    for sentence in sentences[1:]:
        parts += [np.zeros(random.randint(*PAUSES_MS) * RATE // 1000, np.int16), sentence]
    return np.concatenate(parts)


def _silence_before(turn_samples: int, owed_samples: float, random: Random) -> int:
    """The silence before a turn. `owed_samples` is what it and the turn should take for the share of speech."""
    even = owed_samples - turn_samples
    return max(SHORTEST_SILENCE_SAMPLES, round(even * random.uniform(1 - UNEVENNESS, 1 + UNEVENNESS)))
