"""How soon a reply is heard, and how soon it is over when it is cancelled: a real service, a real WebSocket, espeak-ng.

A caller sends the words of a first clause; the clock runs from the delta that completes it until the first PCM comes.
Then the rest of the text follows, and after a while of listening the caller cancels and begins another reply: the clock
runs again until `done cancelled`. Each load is run twice, with the scheduler's priorities and without: then who asked
first is served first, and everything is made at once.

- one: one caller.
- spread: sixteen callers who begin when they like.
- together: sixteen callers whose clauses are complete in the same moment.
- beside files: one caller, while eight long texts are read into files by `POST /v1/audio/speech`.

Run: python -m tests.bench.tts_first_audio [--rounds 8]. The last line is JSON. The goals on 2 cores: p95 at most 15 ms
for one, 60 ms for sixteen, 50 ms for a cancel.
"""

import argparse
import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

import anyio
import httpx
from websockets.asyncio.client import ClientConnection, connect

from shared.wire.codec import Message
from shared.wire.tts import TTS_OUT, Cancel, Done, Start, Text, TtsError
from tests.bench.tts_process import service

CLAUSES = (
    "Well, ", "Of course, ", "That is a good question, ", "As far as I know, ", "当然可以，", "안녕하세요, ",
)  # fmt: skip
SENTENCE = "there is rather more to be said about it than that. "
SENTENCES = 40
SENTENCE_EVERY_S = 0.2
LONG = "The quick brown fox jumps over the lazy dog, and nobody minds. " * 60
CALLERS = 16
FILES = 8
LISTEN_S = (0.3, 1.2)
LOADS = ("one", "spread", "together", "beside files")
GOALS_MS = {"one": 15, "spread": 60, "together": 60}
CANCEL_GOAL_MS = 50


@dataclass
class Figures:
    """Milliseconds, each of one reply."""

    first_ms: list[float] = field(default_factory=list)
    cancel_ms: list[float] = field(default_factory=list)


class Together:
    """Callers who wait for each other."""

    def __init__(self, count: int) -> None:
        self._count = self._missing = count
        self._event = anyio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        event = self._event
        if not self._missing:
            self._missing, self._event = self._count, anyio.Event()
            event.set()
        await event.wait()


class Caller:
    """One connection that begins one reply after the other."""

    def __init__(self, socket: ClientConnection, seed: int, figures: Figures, others: Together) -> None:
        self._socket = socket
        self._random = random.Random(seed)
        self._figures = figures
        self._others = others
        self._count = 0

    async def talk(self, rounds: int) -> None:
        await self._socket.recv()  # ready
        await self._reply(Figures())  # not counted
        for _ in range(rounds):
            await anyio.sleep(self._random.uniform(0, LISTEN_S[0]))
            await self._reply(self._figures)

    async def _reply(self, figures: Figures) -> None:
        self._count += 1
        name = f"r{self._count}"
        clause = self._random.choice(CLAUSES)
        await self._send(Start(reply_id=name), Text(reply_id=name, delta=clause[:-2]))
        await self._others.wait()
        began_s = perf_counter()
        await self._send(Text(reply_id=name, delta=clause[-2:] + SENTENCE[:6]))
        while not isinstance(await self._next(), bytes):
            pass
        figures.first_ms.append(1000 * (perf_counter() - began_s))
        await self._listen(name)
        began_s = perf_counter()
        await self._send(Cancel(reply_id=name))
        while not isinstance(await self._next(), Done):
            pass
        figures.cancel_ms.append(1000 * (perf_counter() - began_s))

    async def _listen(self, name: str) -> None:
        """Hear the reply for a while, in which its text goes on to come."""
        with anyio.move_on_after(self._random.uniform(*LISTEN_S)):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, name)
                while True:
                    assert not isinstance(await self._next(), Done), "the text is too short"

    async def _tell(self, name: str) -> None:
        await self._send(Text(reply_id=name, delta=SENTENCE[6:]))
        for _ in range(SENTENCES):
            await anyio.sleep(SENTENCE_EVERY_S)
            await self._send(Text(reply_id=name, delta=SENTENCE))

    async def _send(self, *messages: Message) -> None:
        for message in messages:
            await self._socket.send(message.to_json())

    async def _next(self) -> bytes | object:
        frame = await self._socket.recv()
        if isinstance(frame, bytes):
            return frame
        message = TTS_OUT.decode(frame)
        assert not isinstance(message, TtsError), message.message
        return message


@asynccontextmanager
async def files(address: str, count: int) -> AsyncIterator[None]:
    """So many long texts are being read into files, again and again."""

    async def read() -> None:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            while True:
                response = await client.post(
                    f"http://{address}/v1/audio/speech", json={"input": LONG, "response_format": "pcm"}
                )
                response.raise_for_status()

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(read)
        yield
        tasks.cancel_scope.cancel()


async def measure(address: str, load: str, rounds: int) -> Figures:
    figures = Figures()
    callers = CALLERS if load in ("spread", "together") else 1
    others = Together(callers if load == "together" else 1)
    async with files(address, FILES if load == "beside files" else 0), anyio.create_task_group() as tasks:
        for seed in range(callers):
            tasks.start_soon(_call, address, seed, figures, others, rounds if callers > 1 else 4 * rounds)
    return figures


async def _call(address: str, seed: int, figures: Figures, others: Together, rounds: int) -> None:
    async with connect(f"ws://{address}/v1/stream", compression=None, proxy=None, max_size=None) as socket:
        await Caller(socket, seed, figures, others).talk(rounds)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def row(figures: Figures) -> dict[str, float]:
    return {
        "replies": len(figures.first_ms),
        "p50_ms": round(percentile(figures.first_ms, 0.5), 1),
        "p95_ms": round(percentile(figures.first_ms, 0.95), 1),
        "cancel_p95_ms": round(percentile(figures.cancel_ms, 0.95), 1),
    }


def main(rounds: int, loads: list[str]) -> None:
    found: dict[str, dict[str, dict[str, float]]] = {load: {} for load in loads}
    for name, has_priorities, lead_ms in (("priorities", True, 2_000), ("first come", False, 60_000)):
        with service(has_priorities=has_priorities, TTS_LEAD_MS=str(lead_ms), TTS_SLOTS="2") as address:
            for load in loads:
                found[load][name] = row(anyio.run(measure, address, load, rounds))
    print(f"{'':<14}{'':<12}" + "".join(f"{column:>15}" for column in next(iter(found.values()))["priorities"]))
    for load, rows in found.items():
        for name, figures in rows.items():
            print(f"{load:<14}{name:<12}" + "".join(f"{value:>15}" for value in figures.values()))
        ratio = rows["first come"]["p95_ms"] / rows["priorities"]["p95_ms"]
        goal = f"; goal of p95 with priorities: {GOALS_MS[load]} ms" if load in GOALS_MS else ""
        print(f"{load:<14}without priorities p95 is {ratio:.1f} times as long{goal}")
    print(f"goal of each cancel: {CANCEL_GOAL_MS} ms; load of the machine: {os.getloadavg()[0]:.1f}")
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--loads", default=",".join(LOADS))
    options = parser.parse_args()
    main(options.rounds, options.loads.split(","))
