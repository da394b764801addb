"""Levels of made voices in bands, dB of full scale: what is played in hops of 10 ms, and what is heard in frames."""

import math
from collections.abc import Sequence
from random import Random

BANDS = 18
SILENT_DB = -97.0
NOISE_DB = -75.0
Levels = list[float]


def voice(hops: int, seed: int, loud_db: float = -30.0) -> list[Levels]:
    """Syllables, each of its own colour, and pauses between some."""
    random, said = Random(seed), list[Levels]()
    while len(said) < hops:
        is_pause = random.random() < 0.2
        colour = [SILENT_DB if is_pause else loud_db + random.uniform(-30, 10) for _ in range(BANDS)]
        said += [colour] * random.randint(6, 16)
    return said[:hops]


def silence(hops: int) -> list[Levels]:
    return [[SILENT_DB] * BANDS for _ in range(hops)]


def louder(levels: Sequence[Levels], db: float) -> list[Levels]:
    return [[level + db for level in hop] for hop in levels]


def late(levels: Sequence[Levels], hops: int) -> list[Levels]:
    """As long, but so many hops later."""
    return (silence(hops) + list(levels))[: len(levels)]


def together(*sounds: Sequence[Levels]) -> list[Levels]:
    """All at once, the noise of a quiet room beside them."""
    noise = 10 ** (NOISE_DB / 10)
    return [
        [10 * math.log10(noise + sum(10 ** (level / 10) for level in band)) for band in zip(*hops, strict=True)]
        for hops in zip(*sounds, strict=True)
    ]


def frames(levels: Sequence[Levels]) -> list[Levels]:
    """Every second hop is the end of a frame."""
    return list(levels[1::2])


def pairs(levels: Sequence[Levels]) -> list[Sequence[Levels]]:
    """The two hops of each frame."""
    return [levels[at : at + 2] for at in range(0, len(levels) - 1, 2)]
