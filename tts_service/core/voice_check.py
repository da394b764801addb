"""Whether a recording is good enough to be a voice, and which part of it is kept: decided from its levels alone.

A level is the RMS of one frame, full scale being 1. What is kept begins before the first sound and ends after the last
one, with a margin where there is one; a click does not count as sound. All is judged from the sound alone, without what
lies around it. Laws: what is kept lies within the recording, and lasts `SHORTEST_MS` to `LONGEST_MS` where its length
is no fault; silence around a recording changes nothing but where the kept part lies, and its margin.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FRAME_MS: Final = 20
SHORTEST_MS: Final = 3_000
LONGEST_MS: Final = 30_000
MARGIN_FRAMES: Final = 5  # kept around the sound
CLICK_FRAMES: Final = 3  # shorter sound at either end is none
LOUDEST_FRAMES: Final = 25  # half a second: so much is as loud as the voice is taken to be
QUIETEST_VOICE_DB: Final = -45.0
RANGE_DB: Final = 30.0  # sound is what is less than this below the voice
NO_SOUND_DB: Final = -85.0  # no microphone is so quiet: somebody cut these frames out, and they tell no noise
LOW_SHARE: Final = 0.03  # of the frames, those that the noise is heard in
HIGH_SHARE: Final = 0.9  # the voice is louder than it in a tenth of the frames
LEAST_SNR_DB: Final = 12.0  # speech without any pause has some 15
MOST_CLIPPED: Final = 0.002  # of the samples


@dataclass(frozen=True, slots=True)
class Heard:
    """The part that is kept, frames [begin, end), and what is wrong with how it sounds."""

    begin: int
    end: int
    sound_ms: int  # without the margins
    snr_db: float
    clipped_share: float

    @property
    def length_ms(self) -> int:
        return (self.end - self.begin) * FRAME_MS


def measure(rms: Sequence[float], clipped: Sequence[float]) -> Heard | None:
    """What is heard in a recording; None when there is no voice in it.

    `rms` is the level of each frame, `clipped` the share of its samples at full scale.
    """
    levels_db = [decibels(one) for one in rms]
    loudest_db = sorted(levels_db, reverse=True)[:LOUDEST_FRAMES]
    if len(loudest_db) < LOUDEST_FRAMES or loudest_db[-1] < QUIETEST_VOICE_DB:
        return None
    first, last = _sound(levels_db, loudest_db[-1] - RANGE_DB)
    margin = max(0, min(MARGIN_FRAMES, (LONGEST_MS // FRAME_MS - (last - first)) // 2))
    begin, end = max(0, first - margin), min(len(levels_db), last + margin)
    spoken = sorted(level for level in levels_db[first:last] if level > NO_SOUND_DB)
    snr_db = _at(spoken, HIGH_SHARE) - _at(spoken, LOW_SHARE)
    return Heard(begin, end, (last - first) * FRAME_MS, snr_db, sum(clipped[first:last]) / (last - first))


def length_fault(heard: Heard) -> str | None:
    """A sentence for a person when too little or too much is said."""
    if heard.sound_ms < SHORTEST_MS:
        return (
            f"Only {heard.sound_ms // 100 / 10} seconds of speech are in the recording; "
            f"speak for {SHORTEST_MS // 1000} to {LONGEST_MS // 1000} seconds."
        )
    if heard.sound_ms > LONGEST_MS:
        return (
            f"The recording has {-(-heard.sound_ms // 100) / 10} seconds of speech; "
            f"cut it to {LONGEST_MS // 1000} seconds at most."
        )
    return None


def sound_fault(heard: Heard) -> str | None:
    """A sentence for a person when it is distorted or noisy."""
    if heard.clipped_share > MOST_CLIPPED:
        return (
            "The recording is distorted because it was too loud; record again farther from the microphone, "
            "or with less gain."
        )
    if heard.snr_db < LEAST_SNR_DB:
        return (
            f"The voice is only {max(0, round(heard.snr_db))} dB louder than the noise around it; record again in a "
            "quiet room, near the microphone, without music."
        )
    return None


def first_part(heard: Heard) -> tuple[int, int]:
    """The frames that are kept of what is too long: its beginning."""
    return heard.begin, min(heard.end, heard.begin + LONGEST_MS // FRAME_MS)


def decibels(level: float) -> float:
    """A level in dB below full scale; what is no sound at all is 120 dB below it."""
    return 20 * math.log10(max(level, 1e-6))


def _sound(levels_db: Sequence[float], above_db: float) -> tuple[int, int]:
    """Where the first sound begins and the last one ends; where there are clicks alone, the first and the last."""
    loud, sounds, run = list[int](), list[int](), 0
    for place, level in enumerate(levels_db):
        run = run + 1 if level > above_db else 0
        loud += [place] if run else []
        sounds += [place - CLICK_FRAMES + 1, place] if run >= CLICK_FRAMES else []
    found = sounds or loud
    return found[0], found[-1] + 1


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
