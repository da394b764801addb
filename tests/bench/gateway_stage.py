"""What a benchmark of whole turns stands on: a gateway and an asr_service as processes, and callers with a microphone.

A microphone never stops: it sends a frame of 20 ms when it is over, hiss where nobody speaks. A sample's moment is when
a microphone would have heard it, so a frame is late by its own length.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import anyio
import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from shared.clock import now_s
from tests.bench.endpointing_corpus import Utterance, corpus
from tests.support.house_processes import free_ports
from tests.support.speech import RATE
from tests.support.timed_engines import TimedLlm, TimedTts, serving

TOP = Path(__file__).parents[2]
START_LIMIT_S = 60
LOOK_EVERY_S = 0.1
FRAME_S = 0.02
FRAME_BYTES = 2 * RATE // 50
HISS = 16  # RMS of what a quiet room adds, of 32 768
BEFORE_SAMPLES = RATE // 10  # of silence in front of an utterance
Frame = dict[str, Any] | bytes


@asynccontextmanager
async def stage(asr_address: str, llm: TimedLlm, voice: TimedTts, **settings: object) -> AsyncIterator[str]:
    """The WebSocket of a gateway that is ready, between that asr_service and these engines."""
    with tempfile.TemporaryDirectory() as folder:
        async with serving(llm, voice):
            wanted = {
                "GATEWAY_ASR_URL": f"ws://{asr_address}",
                "GATEWAY_LLM_URL": f"http://127.0.0.1:{llm.port}",
                "GATEWAY_TTS_URL": f"ws://127.0.0.1:{voice.port}",
                "GATEWAY_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/parley.db",
                "GATEWAY_LOG_LEVEL": "ERROR",
                "GATEWAY_SESSIONS_DIR": f"{folder}/sessions",
            }
            with _gateway({name: str(value) for name, value in (wanted | settings).items()}) as (process, port):
                with anyio.fail_after(START_LIMIT_S):
                    await _until_ready(f"http://127.0.0.1:{port}/ready", process)
                yield f"ws://127.0.0.1:{port}/ws"


@contextmanager
def _gateway(settings: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process of a gateway with these settings alone, and its port."""
    port = free_ports(1)
    known = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    known |= {"GATEWAY_MEMORY": "false", "GATEWAY_KEEPS_AUDIO": "false"}  # whoever plays the model knows no vectors
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway"], cwd=TOP, env=known | settings | {"GATEWAY_PORT": str(port)}
    )
    try:
        yield process, port
    finally:
        process.terminate()
        process.wait(10)


async def _until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        while process.poll() is None:
            try:
                if (await http.get(url)).is_success:
                    return
            except httpx.TransportError:
                pass
            await anyio.sleep(LOOK_EVERY_S)
    raise RuntimeError("the gateway did not start")


def english(seed: int, longest_pause_ms: int) -> list[Utterance]:
    """What callers say: the English sentences of the corpus that have no longer pauses."""
    longest = longest_pause_ms * RATE // 1000
    spoken = [one for one in corpus(seed) if one.language == "en"]
    return [one for one in spoken if all(end - start <= longest for start, end in one.pauses)]


class Caller:
    """One person: a microphone, and what came over the wire with its moment."""

    def __init__(self, connection: ClientConnection, seed: int) -> None:
        self._connection = connection
        self._hiss = np.random.default_rng(seed).normal(0, HISS, RATE).astype("<i2").tobytes()
        self._speech = b""
        self._speech_began_s: float | None = None
        self.frames: list[tuple[float, Frame]] = []
        self._changed = anyio.Event()

    @classmethod
    @asynccontextmanager
    async def calling(cls, url: str, seed: int) -> AsyncIterator[Self]:
        """A caller whose microphone is on and whose session is ready."""
        async with connect(url, compression=None, proxy=None, max_size=None) as connection:
            caller = cls(connection, seed)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(caller._listen)
                tasks.start_soon(caller._send_microphone)
                await caller.see("ready")
                yield caller
                tasks.cancel_scope.cancel()

    async def say(self, utterance: Utterance) -> float:
        """Begin to say it; the moment of its first sample of speech."""
        start, end = utterance.start_samples - BEFORE_SAMPLES, utterance.end_samples + BEFORE_SAMPLES
        sound = utterance.sound[start:end]
        noise = np.resize(np.frombuffer(self._hiss, "<i2"), len(sound))
        self._speech = (sound * 32_767 + noise).clip(-32_768, 32_767).astype("<i2").tobytes()
        self._speech_began_s = None
        while self._speech_began_s is None:
            await self._changed.wait()
        return self._speech_began_s + BEFORE_SAMPLES / RATE

    @property
    def is_speaking(self) -> bool:
        return bool(self._speech)

    async def send(self, **message: object) -> None:
        """A message beside the microphone's frames."""
        await self._connection.send(json.dumps(message))

    async def see(self, kind: str, after_s: float = 0.0, is_it: Callable[[Any], bool] = lambda _: True) -> Any:
        """(moment, message) of the first that fits and came after a moment; `audio` for sound."""
        seen = 0
        while True:
            for at_s, frame in self.frames[seen:]:
                seen += 1
                name = "audio" if isinstance(frame, bytes) else frame["type"]
                if name == kind and at_s > after_s and is_it(frame):
                    return at_s, frame
            await self._changed.wait()

    async def _listen(self) -> None:
        async for frame in self._connection:
            self.frames.append((now_s(), frame if isinstance(frame, bytes) else json.loads(frame)))
            self._announce_change()

    async def _send_microphone(self) -> None:
        began_s, index = now_s(), 0
        while True:
            frame = self._next_frame(index, began_s + index * FRAME_S)
            index += 1
            await anyio.sleep_until(began_s + index * FRAME_S)
            await self._connection.send(frame)

    def _next_frame(self, index: int, at_s: float) -> bytes:
        if not self._speech:
            place = index * FRAME_BYTES % len(self._hiss)
            return self._hiss[place : place + FRAME_BYTES]
        if self._speech_began_s is None:
            self._speech_began_s = at_s
            self._announce_change()
        frame, self._speech = self._speech[:FRAME_BYTES], self._speech[FRAME_BYTES:]
        return frame.ljust(FRAME_BYTES, b"\0")

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def percentile(values: list[float], share: float) -> float | None:
    """One of the values; None where there is none."""
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 1) if values else None
