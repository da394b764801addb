"""Many callers at once: how late partials and finals come, and what each stream takes of memory and CPU.

The service runs as a process of its own on loopback, with one model; callers in this process speak to it in real time,
each a dialogue of its own. A partial's delay counts from when the audio that it has heard was sent; a final's from its
endpoint message. Callers and service share the machine, so delays are those of a machine that is busy with both.

Run: python -m tests.bench.asr_streams [--engine pocketsphinx]. The last line is JSON.
"""

import argparse
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial as bind
from time import process_time
from typing import Any

import anyio
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from shared.wire.asr import ASR_OUT, AsrOut, Candidate, Endpoint, Final, Partial
from tests.bench.asr_audio import Dialogue, dialogue, script
from tests.bench.asr_process import Service, machine_cpu_s, service
from tests.support.speech import RATE

COUNTS = (1, 4, 16)
LANGUAGES = {"faster-whisper": ("en", "ko", "zh"), "pocketsphinx": ("en",)}
STREAM_S = 24.0
FRAME_MS = 20
SAMPLE_S = 0.25  # how often memory is looked at
MIB = 1024 * 1024


@dataclass
class Call:
    """One caller: when it had sent each frame, and what it was told when, in seconds of this process's clock."""

    heard: Dialogue
    frame_samples: int
    sent_s: list[float] = field(default_factory=list)
    told: list[tuple[float, AsrOut]] = field(default_factory=list)

    async def run(self, address: str, delay_s: float) -> None:
        """Speak from `delay_s` on, and listen until all is said."""
        await anyio.sleep(delay_s)
        url = f"ws://{address}/v1/stream"
        async with connect(url, compression=None, proxy=None) as connection, anyio.create_task_group() as tasks:
            tasks.start_soon(self._speak, connection)
            await self._listen(connection)

    async def _speak(self, connection: ClientConnection) -> None:
        due_s = anyio.current_time()
        for frame in script(self.heard, self.frame_samples):
            if isinstance(frame, bytes):
                due_s += self.frame_samples / RATE
                await anyio.sleep_until(due_s)
                self.sent_s.append(anyio.current_time())
            await connection.send(frame)

    async def _listen(self, connection: ClientConnection) -> None:
        async for text in connection:
            message = ASR_OUT.decode(str(text))
            self.told.append((anyio.current_time(), message))
            if isinstance(message, Final) and message.reason == "flush":
                return

    def of(self, kind: type[Any]) -> Iterable[tuple[float, Any]]:
        return ((at_s, message) for at_s, message in self.told if isinstance(message, kind))

    def partial_delays_s(self) -> Iterable[float]:
        """From the frame that holds the last sample a partial has heard to the partial."""
        for at_s, message in self.of(Partial):
            yield at_s - self.sent_s[(message.at_samples - 1) // self.frame_samples]

    def finals(self) -> Iterable[tuple[float, bool]]:
        """Of each utterance, how long its final came after its endpoint, and whether the last candidate was right."""
        ended_s = {message.utterance_id: at_s for at_s, message in self.of(Endpoint)}
        proposed = {message.utterance_id: message.text for _, message in self.of(Candidate)}
        for at_s, message in self.of(Final):
            if message.utterance_id in ended_s:
                yield at_s - ended_s[message.utterance_id], proposed.get(message.utterance_id) == message.text


async def peak_memory(running: Service, work: Callable[[], Awaitable[None]]) -> int:
    """The most memory that the service had while the work was done, bytes."""
    most = running.memory_bytes

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, running.memory_bytes)
            await anyio.sleep(SAMPLE_S)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await work()
        tasks.cancel_scope.cancel()
    return most


async def talk(running: Service, calls: list[Call]) -> None:
    """All calls, each begun a part of a second after the one before."""
    async with anyio.create_task_group() as tasks:
        for number, call in enumerate(calls):
            tasks.start_soon(call.run, running.address, number / len(calls))


def measure(running: Service, count: int, engine: str, seconds: float, frame_ms: int) -> dict[str, Any]:
    """The figures of so many streams at once."""
    calls = [Call(dialogue(seconds, number, LANGUAGES[engine]), frame_ms * RATE // 1000) for number in range(count)]
    before, cpu_s, others_s = running.figures(), running.cpu_s, cpu_of_others_s(running)
    memory = anyio.run(peak_memory, running, bind(talk, running, calls))
    after = running.figures()
    wall_s = max(at_s for call in calls for at_s, _ in call.told) - min(call.sent_s[0] for call in calls)
    partials = [delay_s for call in calls for delay_s in call.partial_delays_s()]
    finals = [final for call in calls for final in call.finals()]
    spent = {name: after[name] - before.get(name, 0) for name in after}
    return {
        "streams": count,
        "partials": len(partials),
        "partial_p50_ms": percentile_ms(partials, 50),
        "partial_p95_ms": percentile_ms(partials, 95),
        "utterances": len(finals),
        "final_p95_ms": percentile_ms([delay_s for delay_s, _ in finals], 95),
        "candidate_was_final": round(sum(was for _, was in finals) / max(1, len(finals)), 3),
        "final_p95_ms_if_candidate": percentile_ms([delay_s for delay_s, was in finals if was], 95),
        "cpu_share": round((running.cpu_s - cpu_s) / wall_s, 3),
        "others_cpu_share": round((cpu_of_others_s(running) - others_s) / wall_s, 2),
        "memory_mib": round(memory / MIB, 1),
        "decodes": round(spent.get("parley_asr_decode_seconds_count", 0)),
        "stale_dropped": round(spent.get("parley_stale_dropped_total", 0)),
    }


def cpu_of_others_s(running: Service) -> float:
    """CPU time of all that is neither the service nor the callers: what else the machine was busy with."""
    return machine_cpu_s() - running.cpu_s - process_time()


def percentile_ms(delays_s: list[float], percent: int) -> float | None:
    return round(float(np.percentile(delays_s, percent)) * 1000, 1) if delays_s else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=tuple(LANGUAGES), default="faster-whisper")
    parser.add_argument("--streams", type=int, nargs="+", default=COUNTS, help="how many at once, one run each")
    parser.add_argument("--seconds", type=float, default=STREAM_S, help="least length of each dialogue")
    parser.add_argument("--frame-ms", type=int, default=FRAME_MS, help="length of the frames that are sent")
    asked = parser.parse_args()
    most = max(asked.streams)
    with service(ASR_ENGINE=asked.engine, ASR_MAX_STREAMS=str(most), ASR_DECODERS=str(most)) as running:
        idle = running.memory_bytes
        runs = []
        for count in asked.streams:
            runs.append(measure(running, count, asked.engine, asked.seconds, asked.frame_ms))
            if len(runs) == 1:
                print(f"| {' | '.join(runs[0])} |\n|{' --- |' * len(runs[0])}")
            print(f"| {' | '.join(str(cell) for cell in runs[-1].values())} |", flush=True)
        loads = round(running.figures()["bench_model_loads_total"])
    grown_mib = runs[-1]["memory_mib"] - idle / MIB
    line = {
        "engine": asked.engine,
        "frame_ms": asked.frame_ms,
        "model_loads": loads,
        "idle_mib": round(idle / MIB, 1),
        "mib_per_stream": round(grown_mib / asked.streams[-1], 2),
        "mib_per_further_model": round(grown_mib / (loads - 1), 1) if loads > 1 else None,
        "runs": runs,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
