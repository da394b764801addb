"""What hearing costs: CPU seconds per second of audio, by this service and by two plain uses of faster-whisper.

`naive`: the last 8 s are transcribed every 250 ms, in silence too, as simple streaming servers do. `stock`: each
utterance is transcribed once, at its end; that is no live text at all, and where utterances end is told for free.
`ours`: a real stream of this service with all it does: resampling, endpointing, partials, candidates, finals, JSON.
All three hear the same audio in one run, with the same weights and one thread, and are given the language; the plain
ones decode greedily, without timestamps and without second tries, which is the least that they can cost.

Two models: the demo model (the plain uses need it with positions for 30 s), and random weights of whisper-tiny's size,
which read nothing. There every decode of all three takes the same number of tokens.

Run: python -m tests.bench.asr_cost. The last line is JSON.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import anyio
import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel

from asr_service import engines
from asr_service.app import endpointing
from asr_service.detectors import Detectors
from asr_service.engines.base import Engine
from asr_service.hearing import Hearing
from asr_service.settings import DEMO_MODEL, AsrSettings
from asr_service.stream import Stream
from shared.wire.asr import ASR_OUT, AsrOut, Final
from tests.bench import skipped_idle
from tests.bench.asr_audio import Dialogue, dialogue, script
from tests.bench.asr_meter import Meter, metering
from tests.bench.whisper_weights import random_tiny, stretched
from tests.support.asr import running
from tests.support.speech import RATE

AUDIO_S = 60.0
WINDOW_SAMPLES, EVERY_SAMPLES = 8 * RATE, RATE // 4  # of the naive way
FRAME_SAMPLES = RATE // 50  # 20 ms, as the page sends them
TOKENS = 5  # of a decode of random weights; the demo model's decodes have about as many on average
PLAIN = {"beam_size": 1, "temperature": 0.0, "without_timestamps": True, "condition_on_previous_text": False}
WARM_UP = np.zeros(RATE, np.float32)

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cost:
    """What one way of hearing took, for the whole audio."""

    cpu_s: float
    meter: Meter


class Caller:
    """The other end of a stream: says the dialogue as a microphone does, and keeps what it is told."""

    def __init__(self, heard: Dialogue) -> None:
        self.told: list[AsrOut] = []
        self._script = script(heard, FRAME_SAMPLES)
        self._step_s = FRAME_SAMPLES / RATE
        self._due_s: float | None = None
        self._is_over = anyio.Event()

    async def receive(self) -> bytes | str | None:
        frame = next(self._script, None)
        if frame is None:
            await self._is_over.wait()
        elif isinstance(frame, bytes):
            self._due_s = (self._due_s or anyio.current_time()) + self._step_s
            await anyio.sleep_until(self._due_s)
        return frame

    async def send(self, text: str) -> None:
        message = ASR_OUT.decode(text)
        self.told.append(message)
        if isinstance(message, Final) and message.reason == "flush":
            self._is_over.set()


async def stream(engine: Engine, settings: AsrSettings, caller: Caller, meter: Meter) -> Cost:
    """The service's own path, from the socket's frames to its messages; what happens before is not counted."""
    async with running(engine) as scheduler:
        hearing = Hearing(endpointing(settings), Detectors())
        served = Stream(caller, scheduler, hearing, scheduler.recognisers.language)
        meter.reset()
        began_s = process_time()
        await served.run()
        return Cost(process_time() - began_s, replace(meter))


def ours(model: Path, heard: Dialogue, tokens: int | None) -> tuple[Cost, list[Final]]:
    """This service; also the finals, flush aside."""
    settings = AsrSettings(engine="faster-whisper", model_path=model)
    meter = Meter()
    with metering(meter, tokens):
        engine = engines.load(settings.engine, settings)
    caller = Caller(heard)
    cost = skipped_idle.run(stream, engine, settings, caller, meter)
    return cost, [message for message in caller.told if isinstance(message, Final) and message.reason != "flush"]


class Plain:
    """faster-whisper as it comes."""

    def __init__(self, model: Path, tokens: int | None) -> None:
        self._meter = Meter()
        with metering(self._meter, tokens):
            self._whisper = WhisperModel(str(model), "cpu", compute_type="int8", cpu_threads=1, local_files_only=True)

    def cost(self, windows: list[tuple[Samples, str]]) -> Cost:
        """Of transcribing the windows, each in its language, one after the other."""
        self._transcribe(WARM_UP, "en")
        self._meter.reset()
        began_s = process_time()
        for samples, language in windows:
            self._transcribe(samples, language)
        return Cost(process_time() - began_s, replace(self._meter))

    def _transcribe(self, samples: Samples, language: str) -> None:
        segments, _ = self._whisper.transcribe(samples, language=language, **PLAIN)
        for _ in segments:
            pass


def naive_windows(heard: Dialogue) -> list[tuple[Samples, str]]:
    """The last 8 s, every 250 ms."""
    whole = full_scale_1(heard)
    places = range(EVERY_SAMPLES, len(whole) + 1, EVERY_SAMPLES)
    return [(whole[max(0, end - WINDOW_SAMPLES) : end], heard.language_at(end)) for end in places]


def utterance_windows(heard: Dialogue, finals: list[Final]) -> list[tuple[Samples, str]]:
    """Each utterance that our endpointer found."""
    whole = full_scale_1(heard)
    return [(whole[final.start_samples : final.end_samples], heard.language_at(final.end_samples)) for final in finals]


def full_scale_1(heard: Dialogue) -> Samples:
    return heard.samples.astype(np.float32) / np.float32(32_768)


def measure(name: str, short: Path, long: Path, tokens: int | None, heard: Dialogue) -> dict[str, Any]:
    """All three ways with one model; prints them, and tells the figures of the JSON line."""
    own, finals = ours(short, heard, tokens)
    plain = Plain(long, tokens)
    costs = {
        "naive": plain.cost(naive_windows(heard)),
        "stock": plain.cost(utterance_windows(heard, finals)),
        "ours": own,
    }
    for way, cost in costs.items():
        print(row(name, way, cost, costs, heard.audio_s), flush=True)
    per_s = {way: cost.cpu_s / heard.audio_s for way, cost in costs.items()}
    return {
        "cost_vs_naive": round(own.cpu_s / costs["naive"].cpu_s, 5),
        "cost_vs_stock": round(own.cpu_s / costs["stock"].cpu_s, 4),
        "model": name,
        "audio_s": round(heard.audio_s, 2),
        "speech_share": round(heard.speech_share, 3),
        "utterances": len(finals),
        **{f"{way}_cpu_s_per_s": round(spent, 5) for way, spent in per_s.items()},
        **{f"{way}_decodes": cost.meter.decodes for way, cost in costs.items()},
        **({"tokens_per_decode": tokens} if tokens else {}),
    }


COLUMNS = ("model", "way", "CPU s per s", "of naive", "decodes", "window s", "tokens", "encode", "decode", "rest")


def row(name: str, way: str, cost: Cost, costs: dict[str, Cost], audio_s: float) -> str:
    """A line of the table; the last three columns say what the CPU time went to."""
    meter, spent_s = cost.meter, cost.cpu_s
    shares = (meter.encode_s, meter.decode_s, spent_s - meter.encode_s - meter.decode_s)
    cells = (
        name,
        way,
        f"{spent_s / audio_s:.4f}",
        f"{spent_s / costs['naive'].cpu_s:.4f}",
        str(meter.decodes),
        f"{meter.positions / 50 / max(1, meter.encodes):.1f}",
        f"{meter.tokens / max(1, meter.decodes):.1f}",
        *(f"{share / spent_s:.0%}" for share in shares),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=AUDIO_S, help="least length of the dialogue")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of each decode with random weights")
    parser.add_argument("--trained-only", action="store_true", help="leave the random weights out")
    asked = parser.parse_args()
    heard = dialogue(asked.seconds)
    print(f"{heard.audio_s:.1f} s of audio, {len(heard.turns)} turns, {heard.speech_share:.0%} speech, one thread\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        line: dict[str, Any] = {}
        if not asked.trained_only:
            tiny = random_tiny(Path(folder, "tiny"))
            line["random_tiny"] = measure("random-tiny", tiny, tiny, asked.tokens, heard)
        long = stretched(Path(folder, "stretched"))
        trained = measure("whisper-demo", DEMO_MODEL, long, None, heard)
    print(json.dumps(trained | line))


if __name__ == "__main__":
    main()
