"""How well the endpointer ends: missed ends, false cuts and delays over a corpus of speech with known pauses.

The real endpointer and the real recognisers hear frame by frame, in the time of the stream: a reading is there as soon
as it is asked for, so the figures are those of a machine that is fast enough. A false cut is an endpoint before the
last sample of speech; it counts for the pause in which it came. The delay of an end is from the last sample of speech
to the place in the stream where the endpoint is given.
Run: python -m tests.bench.endpointing [--quick] [--seed N] [--lead MS] [--pause MS] [--cuts] [--textless]
"""

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy loads; its threads would only spin

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from asr_service import engines
from asr_service.core import endpointer as core
from asr_service.core.completeness import is_complete
from asr_service.engines.base import Recogniser, Result, Task
from asr_service.engines.silero import Silero, SileroStream
from asr_service.hearing import FRAME_SAMPLES, rms
from asr_service.settings import AsrSettings
from tests.bench.endpointing_corpus import LEAD_S, Samples, Utterance, babble, corpus, noisy
from tests.support.speech import RATE

QUICK_SHARE = 0.15
SEEDS_APART = 1_000  # each corpus has its own noise
CONDITIONS: dict[str, float | None] = {"clean": None, "20 dB": 20, "10 dB": 10, "5 dB": 5}
NOISES = ("white", "babble")  # in turns
DETECTORS = ("level", "silero")
BUCKETS_MS = (300, 500, 800, 10_000)
FRAME_BYTES = 2 * FRAME_SAMPLES
READ_SAMPLES = RATE * 3 // 10  # a partial every so often
SOON_MS = 700  # an end before that did not wait for the silence


@dataclass
class Outcome:
    """What became of one utterance."""

    utterance: Utterance
    cuts: list[tuple[int, str, str]] = field(default_factory=list)  # position, reason, text
    false_starts: int = 0  # utterances that were over before anybody spoke
    heard_from: int | None = None  # sample at which the first utterance with speech in it begins, pre-roll included
    end: tuple[int, str, str] | None = None

    @property
    def is_missed(self) -> bool:
        """Whether no endpoint came once the last words had begun; one that came before their end is a false cut."""
        last_words_samples = max([self.utterance.start_samples, *(end for _, end in self.utterance.pauses)])
        return self.end is None and all(told < last_words_samples for told, _, _ in self.cuts)

    @property
    def is_beheaded(self) -> bool:
        """Whether the first speech came before the sound that a recogniser got."""
        return self.heard_from is not None and self.heard_from > self.utterance.start_samples

    @property
    def delay_ms(self) -> float:
        assert self.end is not None
        return (self.end[0] - self.utterance.end_samples) * 1000 / RATE


class Textless:
    """A recogniser that reads nothing."""

    def start(self, task: Task) -> None:
        pass

    def hear(self, pcm: bytes) -> None:
        pass

    def read(self) -> Result:
        return Result("")

    def finish(self) -> Result:
        return Result("")

    def settle(self) -> None:
        pass

    def close(self) -> None:
        pass


class Listener:
    """One stream, without the waiting: the endpointer, a recogniser, and the audio of the utterance."""

    def __init__(
        self, params: core.EndpointerParams, recogniser: Recogniser, language: str, detector: SileroStream | None
    ) -> None:
        self._params = params
        self._endpointer = core.Endpointer(params)
        self._recogniser = recogniser
        self._language = language
        self._detector = detector
        self._frames: list[bytes] = []
        self._is_open = False
        self._waiting = b""
        self._read_from_samples = 0
        self.text = ""

    def hear(self, frame: bytes) -> Iterator[core.Endpoint]:
        """The endpoints that follow from one more frame."""
        self._frames.append(frame)
        if self._is_open:
            self._waiting += frame
        probability = None if self._detector is None else self._detector.probability(frame)
        for action in self._endpointer.handle(core.Frame(rms(frame), probability)):
            yield from self._follow(action)
        is_speaking = self._is_open and self._endpointer.state is core.EndpointerState.SPEECH
        if is_speaking and self._endpointer.position_samples >= self._read_from_samples:
            yield from self._read(is_end=False)

    def _follow(self, action: core.Action) -> Iterator[core.Endpoint]:
        match action:
            case core.SpeechStarted():
                self._recogniser.start(Task(self._language))
                self._is_open, self.text = True, ""
                self._waiting = b"".join(self._frames[action.pre_roll_from_samples // FRAME_SAMPLES :])
                self._read_from_samples = action.at_samples + READ_SAMPLES
            case core.Candidate():
                yield from self._read(is_end=True)
            case core.Resumed():
                if is_complete(self.text, self._language):
                    self._recogniser.settle()
            case core.Endpoint():
                self._is_open = False
                yield action

    def _read(self, is_end: bool) -> Iterator[core.Endpoint]:
        self._recogniser.hear(self._waiting)
        self._waiting = b""
        self.text = (self._recogniser.finish() if is_end else self._recogniser.read()).text
        self._read_from_samples = self._endpointer.position_samples + READ_SAMPLES
        heard = core.HypothesisChanged(self.text, self._endpointer.position_samples, self._language)
        for action in self._endpointer.handle(heard):
            yield from self._follow(action)

    @property
    def position_samples(self) -> int:
        return self._endpointer.position_samples

    @property
    def pre_roll_samples(self) -> int:
        return self._params.pre_roll_ms * RATE // 1000


def heard(utterance: Utterance, pcm: bytes, listener: Listener) -> Outcome:
    """Let the listener hear all of it; the first endpoint after the last sample of speech is the end."""
    outcome = Outcome(utterance)
    for start in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        for endpoint in listener.hear(pcm[start : start + FRAME_BYTES]):
            if outcome.heard_from is None and listener.position_samples >= utterance.start_samples:
                outcome.heard_from = endpoint.start_samples - listener.pre_roll_samples
            told = (listener.position_samples, endpoint.reason.value, listener.text)
            if told[0] < utterance.start_samples:
                outcome.false_starts += 1
            elif told[0] < utterance.end_samples:
                outcome.cuts.append(told)
            elif endpoint.start_samples < utterance.end_samples:
                outcome.end = told
                return outcome
    return outcome


def bucket(pause: tuple[int, int]) -> int:
    """The index of the pause's length in BUCKETS_MS."""
    length_ms = (pause[1] - pause[0]) * 1000 / RATE
    return next(index for index, most_ms in enumerate(BUCKETS_MS) if length_ms <= most_ms)


def row(outcomes: list[Outcome]) -> list[str]:
    """The figures of one condition."""
    cuts, pauses, elsewhere = [0] * len(BUCKETS_MS), [0] * len(BUCKETS_MS), 0
    for outcome in outcomes:
        left = [told for told, _, _ in outcome.cuts]
        for pause in outcome.utterance.pauses:
            within = [told for told in left if pause[0] <= told < pause[1] + RATE // 10]
            pauses[bucket(pause)] += 1
            cuts[bucket(pause)] += bool(within)
            left = [told for told in left if told not in within]
        elsewhere += len(left)
    missed = sum(outcome.is_missed for outcome in outcomes)
    figures = [f"{cut} of {number}" for cut, number in zip(cuts, pauses, strict=True)]
    complete = [one.delay_ms for one in outcomes if one.end and one.utterance.is_complete]
    broken = [one.delay_ms for one in outcomes if one.end and not one.utterance.is_complete]
    soon = sum(delay < SOON_MS for delay in broken)
    return [
        *(str(len(outcomes)), str(missed), *figures, str(elsewhere), str(sum(one.false_starts for one in outcomes))),
        str(sum(one.is_beheaded for one in outcomes)),
        *(spread(complete), spread(broken), f"{soon} of {len(broken)}"),
    ]


def spread(delays_ms: list[float]) -> str:
    """Median and 90th percentile."""
    if not delays_ms:
        return "-"
    return f"{statistics.median(delays_ms):.0f} / {float(np.percentile(delays_ms, 90)):.0f}"


class Bench:
    """The corpus and the recognisers, each of which is opened once."""

    def __init__(self, said: list[Utterance], params: core.EndpointerParams, recogniser: Recogniser, seed: int) -> None:
        self.utterances = said
        self._params = params
        self._seed = seed
        self._voices: Samples = babble(seed=seed + 1)
        self._recogniser = recogniser
        self._silero = Silero.load()

    def run(self, snr_db: float | None, detector: str) -> list[Outcome]:
        """Every utterance once."""
        outcomes = []
        for number, utterance in enumerate(self.utterances):
            pcm = noisy(utterance, snr_db, NOISES[number % 2], self._voices, SEEDS_APART * (self._seed - 1) + number)
            stream = self._silero.open() if detector == "silero" else None
            listener = Listener(self._params, self._recogniser, utterance.language, stream)
            outcomes.append(heard(utterance, pcm, listener))
        return outcomes


def table(rows: Iterable[list[str]]) -> str:
    columns = ["condition", "detector", "utterances", "ends missed"]
    columns += [f"cuts, pauses {name} ms" for name in ("≤ 300", "300-500", "500-800", "> 800")]
    columns += [
        "cuts elsewhere",
        "false starts",
        "beginnings lost",
        "delay of complete ms, p50 / p90",
        "of broken off",
        "broken off, ended early",
    ]
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def explain(outcomes: list[Outcome]) -> None:
    """What was cut, and why an end came late."""
    reasons: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        said = outcome.utterance
        if outcome.end:
            reasons[outcome.end[1]] += 1
        pauses = [((end - start) * 1000 // RATE, start * 1000 // RATE) for start, end in said.pauses]
        for told, reason, text in outcome.cuts:
            print(f"  cut at {told * 1000 // RATE} by {reason}: {text!r} of {said.text!r}, (pause, at) {pauses}")
        if outcome.end is None or (said.is_complete and outcome.delay_ms > SOON_MS):
            print(f"  late or missed: {outcome.end and (round(outcome.delay_ms), *outcome.end[1:])} for {said.text!r}")
    print("  ends:", dict(reasons))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.endpointing")
    parser.add_argument("--quick", action="store_true", help="a fifth of the corpus")
    parser.add_argument(
        "--seed", type=int, default=1, help="another corpus, in other noise; no setting was chosen by one above 3"
    )
    parser.add_argument("--lead", type=int, default=round(LEAD_S * 1000), help="ms from the stream's start to speech")
    parser.add_argument("--pause", type=int, help="another complete_pause_ms; 0 turns the rule off")
    parser.add_argument("--only", help="one condition, such as clean")
    parser.add_argument("--detector", choices=DETECTORS, help="one detector")
    parser.add_argument("--cuts", action="store_true", help="tell of every cut and late end")
    parser.add_argument("--textless", action="store_true", help="no recogniser: that pause is an end after any words")
    given = parser.parse_args()
    params = core.EndpointerParams()
    pause_ms = params.complete_pause_ms if given.pause is None else given.pause
    params = replace(params, end_silence_ms=pause_ms) if given.textless else replace(params, complete_pause_ms=pause_ms)
    began_s = time.perf_counter()
    recogniser: Recogniser = Textless() if given.textless else engines.load("embedded", AsrSettings()).open()
    said = [one.after(given.lead) for one in corpus(given.seed, QUICK_SHARE if given.quick else 1.0)]
    bench = Bench(said, params, recogniser, given.seed)
    rows = []
    for condition, snr_db in CONDITIONS.items():
        for detector in DETECTORS:
            if given.only in (None, condition) and given.detector in (None, detector):
                outcomes = bench.run(snr_db, detector)
                rows.append([condition, detector, *row(outcomes)])
                if given.cuts:
                    print(condition, detector)
                    explain(outcomes)
    print(table(rows))
    print(f"\n{time.perf_counter() - began_s:.0f} s")


if __name__ == "__main__":
    main()
