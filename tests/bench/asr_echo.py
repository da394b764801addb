"""How well the echo guard does: interruptions by Parley's own voice, and talkers over it that are missed or found late.

The real hearing gets frame by frame what a microphone hears and, ahead of it, what is played. A start of speech while
replies are played and nobody speaks is a false interruption; `unguarded` hears the same without being told what is
played, `without echo` hears the same room in which nothing comes back, so that its starts are the noise's. The delay of
a talker is from the first sample to the place in the stream where the start is told. A talker counts who is found
without echo. `wrong words` compares what pocketsphinx reads of talkers without an echo, beside one that goes on, and
beside one that stops as an interrupted reply does.
Run: python -m tests.bench.asr_echo [--quick] [--seed N] [--read]
"""

import argparse
import json
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy loads; its threads would only spin

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from asr_service import engines
from asr_service.core import endpointer as core
from asr_service.detectors import Detectors
from asr_service.echo import Echo
from asr_service.engines.base import Recogniser, Task
from asr_service.hearing import FRAME_SAMPLES, Hearing
from asr_service.settings import AsrSettings
from tests.bench.asr_echo_corpus import Room, Scene, Stage, pcm_of
from tests.bench.endpointing_corpus import Samples
from tests.support.speech import RATE

GAINS_DB = (-6.0, -12.0, -20.0)
DELAYS_MS = (0, 60, 150, 280, 400)
USERS_DB = (-10.0, -5.0, 0.0, 5.0, 10.0)
NOISES = ("white", "babble")
SINCE_S = {"mid": (1.0, 5.0), "start": (0.0, 0.5)}  # when somebody speaks over a reply
LATE_MS = 250
LATEST_MS = 200  # after the last word, a start is of no use
STOPPED_MS = 500  # after somebody began to speak, nothing is heard of a reply that was interrupted
AHEAD_SAMPLES = 12 * FRAME_SAMPLES  # pieces in which what is played is told
FRAME_BYTES = 2 * FRAME_SAMPLES


@dataclass(frozen=True)
class Overlap:
    """What became of one talker; the delays are None where no start was told."""

    user_db: float
    noise: str
    since: str
    delay_ms: float | None
    unechoed_ms: float | None


def starts(heard: Samples, played: Samples | None) -> list[int]:
    """Where in the stream a start of speech is told."""
    hearing, told = Hearing(core.EndpointerParams(), Detectors()), []
    pcm = pcm_of(heard)
    for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        if played is not None and at // 2 % AHEAD_SAMPLES == 0 and np.any(piece := _piece(played, at // 2)):
            hearing.play(pcm_of(piece), RATE)
        if any(isinstance(action, core.SpeechStarted) for action in hearing.hear(pcm[at : at + FRAME_BYTES])):
            told.append(hearing.position_samples)
    return told


def _piece(played: Samples, at: int) -> Samples:
    return played[at : at + AHEAD_SAMPLES]


def rooms(quick: bool) -> Iterator[Room]:
    """Every gain and delay, in white noise and in babble in turns."""
    for number, (gain_db, delay_ms) in enumerate((gain, delay) for gain in GAINS_DB for delay in DELAYS_MS):
        if not quick or number % 4 == 0:
            yield Room(delay_ms, gain_db, NOISES[number % 2])


def alone(stage: Stage, quick: bool) -> dict[str, dict[str, float]]:
    """False interruptions for each noise: with the guard, without it, and where nothing comes back."""
    found: dict[str, dict[str, float]] = {}
    for room in rooms(quick):
        scene = stage.echo_alone(room)
        counts = found.setdefault(room.noise, dict.fromkeys(("minutes", "guarded", "unguarded", "without_echo"), 0.0))
        counts["minutes"] += (len(scene.heard) - scene.replies_samples) / RATE / 60
        counts["guarded"] += late(starts(scene.heard, scene.played), scene)
        counts["unguarded"] += late(starts(scene.heard, None), scene)
        counts["without_echo"] += late(starts(scene.unechoed, None), scene)
    return found


def late(told: Iterable[int], scene: Scene) -> int:
    """How many starts were told after replies began."""
    return sum(place > scene.replies_samples for place in told)


def overlaps(stage: Stage, quick: bool) -> list[Overlap]:
    """Talkers over the replies of every room, and over replies that are heard by a headset alone."""
    headsets = [Room(0, None, noise) for noise in NOISES]
    found = []
    for number, room in enumerate([*rooms(quick), *headsets]):
        for user_db in USERS_DB:
            since = "start" if number % 3 == 2 else "mid"
            scene = stage.overlap(room, user_db, SINCE_S[since])
            delays = delay_ms(starts(scene.heard, scene.played), scene), delay_ms(starts(scene.unechoed, None), scene)
            found.append(Overlap(user_db, room.noise, since, *delays))
    return found


def delay_ms(told: Iterable[int], scene: Scene) -> float | None:
    until = scene.end_samples + LATEST_MS * RATE // 1000
    return next(
        ((place - scene.start_samples) * 1000 / RATE for place in told if scene.start_samples < place < until), None
    )


def summary(found: list[Overlap]) -> dict[str, float | None]:
    """Of those that are found without echo."""
    heard = [one for one in found if one.unechoed_ms is not None]
    delays = [one.delay_ms for one in heard if one.delay_ms is not None]
    p50, p95 = np.percentile(delays, [50, 95]).round().tolist() if delays else (None, None)
    bare = [one.unechoed_ms for one in heard if one.unechoed_ms is not None]
    return {
        "talkers": len(heard),
        "missed": len(heard) - len(delays),
        "late": sum(delay > LATE_MS for delay in delays),
        "p50_ms": p50,
        "p95_ms": p95,
        "p50_without_echo_ms": float(np.median(bare).round()) if bare else None,
    }


def cost(seconds: int = 60) -> float:
    """Share of a core that the guard takes."""
    echo, frame = Echo(), np.random.default_rng(1).integers(-3_000, 3_000, FRAME_SAMPLES).astype("<i2").tobytes()
    echo.loudspeaker.play(frame * (50 * seconds), RATE)
    began_s = time.process_time()
    for _ in range(50 * seconds):
        echo.judge(frame)
    return (time.process_time() - began_s) / seconds


def read_over(seed: int) -> dict[str, float]:
    """Per cent of the words of talkers that are read wrongly, by how loud they are and what the echo does."""
    stage, recogniser = Stage(seed), engines.load("pocketsphinx", AsrSettings(engine="pocketsphinx")).open()
    wrong: dict[str, list[int]] = {}
    for user_db in USERS_DB:
        for number in range(6):
            scene = stage.overlap(Room(150, -12.0, "white"), user_db, (1.0, 3.0 + number / 6), is_recorded=True)
            part = slice(scene.start_samples - RATE // 3, scene.end_samples + RATE // 3)
            stop = scene.start_samples + STOPPED_MS * RATE // 1000
            stopped = np.concatenate([scene.heard[:stop], scene.unechoed[stop:]])
            for name, sound in (("none", scene.unechoed), ("stops", stopped), ("goes on", scene.heard)):
                text = reading(recogniser, pcm_of(sound[part]))
                tally = wrong.setdefault(f"{user_db:+.0f} dB, echo {name}", [0, 0])
                tally[0] += errors(scene.text.lower().split(), text.lower().split())
                tally[1] += len(scene.text.split())
    return {name: round(100 * bad / words, 1) for name, (bad, words) in wrong.items()}


def reading(recogniser: Recogniser, pcm: bytes) -> str:
    recogniser.start(Task("en"))
    recogniser.hear(pcm)
    return recogniser.finish().text


def errors(said: list[str], read: list[str]) -> int:
    """Words to put in, take out or replace."""
    row = list(range(len(read) + 1))
    for number, word in enumerate(said, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(read, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.asr_echo")
    parser.add_argument("--quick", action="store_true", help="a quarter of the rooms")
    parser.add_argument("--seed", type=int, default=1, help="other speech and rooms; no setting was chosen by 4 to 9")
    parser.add_argument("--read", action="store_true", help="read talkers with pocketsphinx as well")
    given = parser.parse_args()
    stage = Stage(given.seed)
    false, found = alone(stage, given.quick), overlaps(stage, given.quick)
    print(
        table(
            ["noise", *next(iter(false.values()))], [[n, *(round(x, 1) for x in c.values())] for n, c in false.items()]
        )
    )
    groups = {f"{user_db:+.0f} dB": [one for one in found if one.user_db == user_db] for user_db in USERS_DB}
    groups |= {since: [one for one in found if one.since == since] for since in SINCE_S} | {"all": found}
    figures = {name: summary(group) for name, group in groups.items()}
    print("\n" + table(["talkers", *figures["all"]], [[name, *row.values()] for name, row in figures.items()]))
    read = read_over(given.seed) if given.read else None
    whole = {
        "seed": given.seed,
        "alone": false,
        "overlap": figures,
        "core_share": round(cost(), 4),
        "wrong_words": read,
    }
    print("\n" + json.dumps(whole))


if __name__ == "__main__":
    main()
