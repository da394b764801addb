"""How often the text at the pause is the text of the final, and how soon the final follows the endpoint.

The corpus of `endpointing_corpus`, in a quiet room and in white noise, through a whole stream with the embedded
recognisers: from frames of 20 ms to messages. It is sent as fast as the stream takes it. Prints a table and a line of
JSON. Run: python -m tests.bench.asr_candidates [--quick] [--seed N]
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy loads; its threads would only spin

import argparse
import json
import time
from dataclasses import dataclass

import anyio
import numpy as np

from asr_service import engines
from asr_service.scheduler import DecodeScheduler
from asr_service.settings import AsrSettings
from shared.wire.asr import Candidate, Configure, Endpoint, Final, Flush
from shared.wire.codec import Message
from tests.bench.endpointing_corpus import Utterance, babble, corpus, noisy
from tests.support.asr import MemoryPeer, running, stream
from tests.support.speech import cut

FRAME_BYTES = 640
CONDITIONS: dict[str, float | None] = {"clean": None, "20 dB": 20.0, "10 dB": 10.0}
QUICK_SHARE = 0.15


@dataclass
class Tally:
    """What was seen in one condition."""

    finals: int = 0
    foretold: int = 0  # whose last candidate had their text
    speeches: int = 0  # `speech_started`s
    waits_ms: list[float] | None = None

    @property
    def share(self) -> float:
        return self.foretold / self.finals if self.finals else 1.0

    def row(self, condition: str) -> str:
        waits = self.waits_ms or [0.0]
        figures = (condition, self.speeches, self.finals, f"{self.share:.1%}")
        delays = (f"{np.median(waits):.1f}", f"{np.percentile(waits, 95):.1f}", f"{max(waits):.1f}")
        return f"| {' | '.join(map(str, (*figures, *delays)))} |"


class TimedPeer(MemoryPeer):
    """Notes when each message came."""

    def __init__(self) -> None:
        super().__init__()
        self.times_s: list[float] = []

    async def send(self, text: str) -> None:
        await super().send(text)
        self.times_s.append(time.perf_counter())


async def heard(scheduler: DecodeScheduler, utterance: Utterance, pcm: bytes, tally: Tally) -> None:
    """One utterance of the corpus, in a stream of its own."""
    peer = TimedPeer()
    async with stream(scheduler, language=utterance.language, peer=peer):
        asked: list[Message] = [Configure(language=utterance.language)]
        peer.say(*asked, *cut(pcm, FRAME_BYTES), Flush())
        await peer.until_flushed()
    candidate, ended_s = "", 0.0
    for message, told_s in zip(peer.told, peer.times_s, strict=True):
        match message:
            case Candidate():
                candidate = message.text
            case Endpoint():
                ended_s = told_s
                tally.speeches += 1
            case Final() if message.reason != "flush":
                tally.finals += 1
                if candidate == message.text:
                    tally.foretold += 1
                    assert tally.waits_ms is not None
                    tally.waits_ms.append((told_s - ended_s) * 1000)
                candidate = ""


async def measure(said: list[Utterance]) -> dict[str, Tally]:
    voices, tallies = babble(), {}
    async with running(engines.load("embedded", AsrSettings()), capacity=1) as scheduler:
        for condition, snr_db in CONDITIONS.items():
            tallies[condition] = tally = Tally(waits_ms=[])
            for number, utterance in enumerate(said):
                await heard(scheduler, utterance, noisy(utterance, snr_db, "white", voices, number), tally)
    return tallies


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.asr_candidates")
    parser.add_argument("--quick", action="store_true", help="a fifth of the corpus")
    parser.add_argument("--seed", type=int, default=1, help="another corpus")
    given = parser.parse_args()
    tallies = anyio.run(measure, corpus(given.seed, QUICK_SHARE if given.quick else 1.0))
    columns = "condition | begun | finals | candidate was the final | final after endpoint ms, p50 | p95 | most"
    print(f"| {columns} |\n|{' --- |' * 7}")
    for condition, tally in tallies.items():
        print(tally.row(condition))
    finals, foretold = (sum(getattr(one, name) for one in tallies.values()) for name in ("finals", "foretold"))
    waits = [wait for one in tallies.values() for wait in one.waits_ms or ()]
    print(
        json.dumps(
            {
                "candidate_is_final": round(foretold / max(1, finals), 4),
                "final_ms_p95": round(float(np.percentile(waits or [0.0], 95)), 2),
                "finals": finals,
            }
        )
    )


if __name__ == "__main__":
    main()
