"""A language model and a voice that mark all they make with the attempt that it is made for, and that come late.

Each request to the model is an attempt with a number. Every token holds it (`#12`), and every sample of its speech is
it. Tokens and pieces of audio are held up by chance, and a cancelled voice goes on for a while before it says that it
has stopped. `check` finds on a client's wire whatever does not belong to the reply that was announced, or to the
question that this reply answers.
"""

import json
import re
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import anyio
import httpx
from anyio.lowlevel import checkpoint
from websockets.asyncio.server import ServerConnection

from gateway.core.words import joined, normalised
from shared.wire import tts
from tests.support.client import Event
from tests.support.services import Body, FakeAsr, FakeLlm, FakeTts, sse

PIECE_SAMPLES = 240  # 10 ms at 24 kHz
DELAYS = (0, 0, 0, 1, 2, 5, 15, 60)  # rounds of the event loop
_MARK = re.compile(r"#(\d+)")


async def drift(chance: Random) -> None:
    """Let everybody else go on for a while."""
    for _ in range(chance.choice(DELAYS)):
        await checkpoint()


class MarkedLlm(FakeLlm):
    """Answers in marked tokens, each late by chance."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = Random(f"llm {seed}")
        self.asked: list[str] = []  # the question of each attempt

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(204)
        question = json.loads(await request.aread())["messages"][-1]["content"].splitlines()[-1]
        self.asked.append(question)
        return httpx.Response(200, stream=Body(self._answer(len(self.asked)), lambda: self.tally.add("closed")))

    async def _answer(self, attempt: int) -> AsyncIterator[bytes]:
        for word in ("Yes, ", "well. ", "So ", "it is. ")[: self._chance.randint(1, 4)]:
            await drift(self._chance)
            yield sse({"choices": [{"index": 0, "delta": {"content": f"#{attempt} {word}"}}]})
        await drift(self._chance)
        yield sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield b"data: [DONE]\n\n"


class MarkedTts(FakeTts):
    """Speaks in samples that are the mark of the text, late by chance, and some more of them after a cancel."""

    def __init__(self, seed: int, most_pieces: int = 3) -> None:
        super().__init__()
        self._chance = Random(f"tts {seed}")
        self.most_pieces = most_pieces
        self.made_bytes = 0  # of audio that the gateway was sent

    async def _speak(self, connection: ServerConnection) -> None:
        samples, index, audio = 0, 0, b""
        async for frame in connection:
            message = tts.TTS_IN.decode(str(frame))
            if isinstance(message, tts.Text):
                (mark,) = set(_MARK.findall(message.delta))
                audio = array("h", [int(mark)] * PIECE_SAMPLES).tobytes()
                said = {"reply_id": message.reply_id, "text": message.delta.strip(), "start_samples": samples}
                await connection.send(tts.SegmentStarted(index=index, **said).to_json())
                samples, index = samples + await self._send(connection, message.reply_id, audio), index + 1
            elif isinstance(message, tts.End | tts.Cancel):
                if isinstance(message, tts.Cancel) and audio:
                    samples += await self._send(connection, message.reply_id, audio)
                outcome = "completed" if isinstance(message, tts.End) else "cancelled"
                done = tts.Done(reply_id=message.reply_id, outcome=outcome, total_samples=samples)
                await connection.send(done.to_json())

    async def _send(self, connection: ServerConnection, reply_id: str, audio: bytes) -> int:
        pieces = self._chance.randint(1, self.most_pieces)
        for _ in range(pieces):
            await drift(self._chance)
            await connection.send(tts.encode_audio(reply_id, audio))
            self.made_bytes += len(audio)
        return pieces * PIECE_SAMPLES


@asynccontextmanager
async def marked_services(seed: int = 1, most_pieces: int = 3) -> AsyncIterator[tuple[FakeAsr, MarkedLlm, MarkedTts]]:
    """A recogniser that hears what the test says, and the two that mark; all started."""
    recogniser, voice = FakeAsr(), MarkedTts(seed, most_pieces)
    await recogniser.start()
    await voice.start()
    try:
        yield recogniser, MarkedLlm(seed), voice
    finally:
        with anyio.CancelScope(shield=True):
            await recogniser.stop()
            await voice.stop()


@dataclass
class Wire:
    """What one client was sent, read in its order."""

    asked: list[str]  # the question of each attempt
    said: dict[str, str] = field(default_factory=dict)  # what was understood in each turn so far
    question: dict[str, str] = field(default_factory=dict)  # that each announced reply answers
    attempt: dict[str, int] = field(default_factory=dict)  # that each reply's tokens and audio were made in
    over: set[str] = field(default_factory=set)
    interrupted: set[str] = field(default_factory=set)
    voice: str = ""  # whose audio comes
    audio_bytes: int = 0
    tokens: int = 0

    def check(self, frames: list[Event | bytes]) -> None:
        """Every token and every sample belongs to the reply that was announced and is not over, and to its question."""
        for frame in frames:
            if isinstance(frame, bytes):
                self._check_audio(frame)
            else:
                self._check_event(frame)

    def _check_event(self, event: Event) -> None:
        match event["type"]:
            case "final":
                self.said[event["turn_id"]] = joined(self.said.get(event["turn_id"], ""), event["text"])
            case "reply_started":
                assert event["reply_id"] not in self.question, event
                self.question[event["reply_id"]] = self.said[event["turn_id"]]
            case "token" | "segment" as kind:
                self._check_marks(event["reply_id"], set(map(int, _MARK.findall(event["text"]))), event)
                self.tokens += kind == "token"
                self.voice = event["reply_id"] if kind == "segment" else self.voice
            case "interrupted" | "reply_done" as kind:
                self.over.add(event["reply_id"])
                if kind == "interrupted":
                    self.interrupted.add(event["reply_id"])

    def _check_audio(self, audio: bytes) -> None:
        self.audio_bytes += len(audio)
        self._check_marks(self.voice, set(array("h", audio)), f"audio of {self.voice}")

    def _check_marks(self, reply_id: str, marks: set[int], what: object) -> None:
        assert reply_id in self.question and reply_id not in self.over, what
        assert marks == {self.attempt.setdefault(reply_id, min(marks))}, (marks, what)
        asked = self.asked[self.attempt[reply_id] - 1]
        assert normalised(asked) == normalised(self.question[reply_id]), (asked, self.question[reply_id], what)
