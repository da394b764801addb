"""A client on a real socket: sends frames, keeps what comes in order, waits for what a test wants to see."""

import json
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

SPEECH = Path(__file__).parents[1] / "cases" / "speech"
FRAME_BYTES = 640  # 20 ms at 16 kHz
Event = dict[str, Any]


class LiveClient:
    """One session. `frames` are events as dicts and audio as bytes, in the order in which they came."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[Event | bytes] = []
        self._changed = anyio.Event()

    async def read(self) -> None:
        """Keep what comes until the connection closes."""
        try:
            async for frame in self.connection:
                self.frames.append(frame if isinstance(frame, bytes) else json.loads(frame))
                self._changed.set()
                self._changed = anyio.Event()
        except ConnectionClosed:
            return

    @property
    def events(self) -> list[Event]:
        return [frame for frame in self.frames if isinstance(frame, dict)]

    @property
    def audio(self) -> bytes:
        return b"".join(frame for frame in self.frames if isinstance(frame, bytes))

    async def send(self, **message: object) -> None:
        await self.connection.send(json.dumps(message))

    async def see(self, kind: str, is_it: Callable[[Event], bool] = lambda _: True) -> Event:
        """The first message of a type that fits; the test's own timeout is the limit."""
        while True:
            for event in self.events:
                if event["type"] == kind and is_it(event):
                    return event
            await self._changed.wait()

    async def hear(self, count: int) -> None:
        """Until so many bytes of audio have come."""
        while len(self.audio) < count:
            await self._changed.wait()

    async def speak(self, recording: str, silence_ms: int = 1_500) -> None:
        """A recording of tests/cases/speech in real time, as a microphone sends it, and silence after it."""
        pcm = read_pcm(recording) + bytes(32 * silence_ms)
        began_s = anyio.current_time()
        for index, at in enumerate(range(0, len(pcm), FRAME_BYTES)):
            await self.connection.send(pcm[at : at + FRAME_BYTES])
            await anyio.sleep_until(began_s + (index + 1) * 0.02)


def read_pcm(recording: str) -> bytes:
    """PCM16 mono at 16 kHz of a committed recording."""
    with wave.open(str(SPEECH / f"{recording}.wav")) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 16_000)
        return bytes(wav.readframes(wav.getnframes()))


@asynccontextmanager
async def open_client(url: str, path: str = "/ws") -> AsyncIterator[LiveClient]:
    """A session with a running gateway."""
    address = url.replace("http", "ws", 1) + path
    async with connect(address, compression=None, proxy=None, max_size=None) as connection:
        client = LiveClient(connection)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.read)
            await client.see("ready")
            yield client
            tasks.cancel_scope.cancel()
