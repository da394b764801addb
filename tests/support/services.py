"""Stand-ins for the three services: each does what a test tells it, and notes what it was told."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import anyio
import httpx
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from shared.wire import asr, tts
from tests.support.mortal import Mortal

PIECE = b"\x00\x10" * 240  # 10 ms of a level at 24 kHz


class Tally:
    """Things that happened, which a test may wait for."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._changed = anyio.Event()

    def add(self, what: str) -> None:
        self.seen.append(what)
        self._changed.set()
        self._changed = anyio.Event()

    async def wait_for(self, what: str, count: int = 1) -> None:
        """Until `what` was noted `count` times; the test's own timeout is the limit."""
        while self.seen.count(what) < count:
            await self._changed.wait()


class FakeAsr(Mortal):
    """A recogniser that hears what the test says."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.audio_bytes = 0
        self.configs: list[dict[str, object]] = []
        self.is_full = False  # refuses each stream that opens
        self._connections: set[ServerConnection] = set()

    async def say(self, *messages: asr.AsrOut) -> None:
        """Tell the gateway what was heard."""
        for connection in list(self._connections):
            for message in messages:
                await connection.send(message.to_json())

    async def utter(self, text: str, utterance_id: str, *, candidate: bool = True) -> None:
        """One whole utterance."""
        await self.say(asr.SpeechStarted(utterance_id=utterance_id, at_samples=0))
        await self.say(partial(text, utterance_id))
        if candidate:
            await self.say(asr.Candidate(utterance_id=utterance_id, text=text, at_samples=0))
        await self.say(
            asr.Endpoint(utterance_id=utterance_id, at_samples=0, reason="silence"), final(text, utterance_id)
        )

    async def _converse(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        self.tally.add("connected")
        try:
            if self.is_full:
                refusal = asr.AsrError(code="too_many_sessions", message="Every stream is taken.", retryable=True)
                await connection.send(refusal.to_json())
                return await connection.close(1013)
            await connection.send(asr.AsrReady(engine="a stand-in", languages=["en"]).to_json())
            async for frame in connection:
                if isinstance(frame, bytes):
                    self.audio_bytes += len(frame)
                    self.tally.add("audio")
                else:
                    message = json.loads(frame)
                    if message["type"] == "config":
                        self.configs.append(message)
                    self.tally.add(message["type"])
        except ConnectionClosed:
            pass
        finally:
            self._connections.discard(connection)
            self.tally.add("disconnected")


def partial(text: str, utterance_id: str) -> asr.Partial:
    return asr.Partial(utterance_id=utterance_id, text=text, committed="", language="en", at_samples=0)


def final(text: str, utterance_id: str) -> asr.Final:
    return asr.Final(
        utterance_id=utterance_id,
        text=text,
        language="en",
        segments=[],
        start_samples=0,
        end_samples=0,
        reason="silence",
    )


@dataclass
class FakeTts(Mortal):
    """A voice that makes `pieces` pieces of 10 ms for each text, and stops when told."""

    pieces: int = 3
    tally: Tally = field(default_factory=Tally)
    texts: list[str] = field(default_factory=list)
    starts: list[tts.Start] = field(default_factory=list)
    refusal: tts.TtsError | None = None  # the answer to each reply that begins,
    refuses_after: int = 0  # or to its text after so many pieces of it
    gate: anyio.Semaphore | None = None  # before each text is spoken
    is_silent: bool = False  # takes text and makes nothing, until it is told to end
    is_stuck: bool = False  # takes everything and never answers
    outcome: Literal["completed", "failed"] = "completed"
    port: int = 0
    _connections: set[ServerConnection] = field(default_factory=set)

    async def _converse(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            await self._speak(connection)
        except ConnectionClosed:
            pass
        finally:
            self._connections.discard(connection)
            self.tally.add("disconnected")

    async def _speak(self, connection: ServerConnection) -> None:
        sent, index = 0, 0
        async for frame in connection:
            message = tts.TTS_IN.decode(str(frame))
            self.tally.add(message.type)
            if self.is_stuck:
                continue
            if isinstance(message, tts.Start):
                self.starts.append(message)
                if self.refusal is not None and not self.refuses_after:
                    await connection.send(self.refusal.to_json())
            elif isinstance(message, tts.Text):
                self.texts.append(message.delta)
                if self.refusal is not None and self.refuses_after == index:
                    await connection.send(self.refusal.to_json())
                    continue
                if self.is_silent:
                    continue
                if self.gate is not None:
                    await self.gate.acquire()
                reply_id = message.reply_id
                segment = tts.SegmentStarted(
                    reply_id=reply_id, index=index, text=message.delta.strip(), start_samples=sent
                )
                await connection.send(segment.to_json())
                for _ in range(self.pieces):
                    await connection.send(tts.encode_audio(reply_id, PIECE))
                sent, index = sent + self.pieces * len(PIECE) // 2, index + 1
            elif isinstance(message, tts.End | tts.Cancel):
                outcome = self.outcome if isinstance(message, tts.End) else "cancelled"
                done = tts.Done(reply_id=message.reply_id, outcome=outcome, total_samples=sent)
                await connection.send(done.to_json())


class Body(httpx.AsyncByteStream):
    """The body of an answer that notes when its reader closed it."""

    def __init__(self, chunks: AsyncIterator[bytes], on_close: Callable[[], None]) -> None:
        self._chunks = chunks
        self._on_close = on_close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        self._on_close()


class FakeLlm(httpx.AsyncBaseTransport):
    """A language model that says `tokens`; with a gate it waits before each of them until the test lets it go on."""

    def __init__(self) -> None:
        self.tokens = ["Hello ", "there, ", "my friend."]
        self.gate: anyio.Semaphore | None = None
        self.status = 200
        self.is_down = False
        self.cuts_after: int | None = None
        self.prompts: list[list[dict[str, str]]] = []
        self.tally = Tally()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("refused")
        if request.method == "DELETE":
            self.tally.add("dismissed")
            return httpx.Response(204)
        self.prompts.append(json.loads(await request.aread())["messages"])
        self.tally.add("asked")
        return httpx.Response(self.status, stream=Body(self._events(), lambda: self.tally.add("closed")))

    async def _events(self) -> AsyncIterator[bytes]:
        for index, token in enumerate(self.tokens):
            if self.gate is not None:
                await self.gate.acquire()
            if index == self.cuts_after:
                return
            yield sse({"choices": [{"index": 0, "delta": {"content": token}}]})
        yield sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield b"data: [DONE]\n\n"


def sse(event: dict[str, object]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


@asynccontextmanager
async def services() -> AsyncIterator[tuple[FakeAsr, FakeLlm, FakeTts]]:
    """All three, started."""
    recogniser, voice = FakeAsr(), FakeTts()
    await recogniser.start()
    await voice.start()
    try:
        yield recogniser, FakeLlm(), voice
    finally:
        with anyio.CancelScope(shield=True):
            await recogniser.stop()
            await voice.stop()
