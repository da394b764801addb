"""Replicas that die when a test wants it: as stand-ins on loopback, and as processes of the real services."""

import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx
from anyio.lowlevel import checkpoint
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from shared.wire import asr, tts
from tests.support import own_service
from tests.support.house_processes import free_ports
from tests.support.mortal import Mortal

CHAR_SAMPLES = 240
PAUSE_SAMPLES = 1_600


def spoken(text: str) -> bytes:
    """What a Narrator makes of a text: for each letter a level of its own."""
    return b"".join(ord(char).to_bytes(2, "little") * CHAR_SAMPLES for char in text if not char.isspace())


@dataclass
class Narrator(Mortal):
    """A voice that speaks sentences letter by letter, and whose connection breaks after so many frames of audio."""

    dies_after: int | None = None
    refuses: str | None = None  # the code with which each reply is refused
    hangs_up: bool = False  # orderly, in place of dying
    at_once: bool = False  # sends a sentence in one frame
    texts: list[str] = field(default_factory=list)  # whatever was said to it, by reply
    frames: int = 0
    port: int = 0
    _connections: set[ServerConnection] = field(default_factory=set)

    async def _converse(self, connection: ServerConnection) -> None:
        try:
            await self._speak(connection)
        except ConnectionClosed:
            return

    async def _speak(self, connection: ServerConnection) -> None:
        samples, index, held = 0, 0, ""
        async for frame in connection:
            message = tts.TTS_IN.decode(str(frame))
            if isinstance(message, tts.Start):
                self.texts.append("")
                if self.refuses:
                    refusal = tts.TtsError(reply_id=message.reply_id, code=self.refuses, message="No.")
                    await connection.send(refusal.to_json())
                    await connection.send(
                        tts.Done(reply_id=message.reply_id, outcome="failed", total_samples=0).to_json()
                    )
                continue
            if isinstance(message, tts.Text):
                self.texts[-1] += message.delta
                held += message.delta
            is_last = not isinstance(message, tts.Text)
            *sentences, held = re.split(r"(?<=\.)\s*", held)
            for sentence in [*sentences, held] if is_last else sentences:
                samples += await self._say(connection, message.reply_id, index, samples, sentence)
                index += 1
            if is_last:
                done = tts.Done(reply_id=message.reply_id, outcome="completed", total_samples=samples)
                await connection.send(done.to_json())

    async def _say(self, connection: ServerConnection, reply_id: str, index: int, at: int, sentence: str) -> int:
        sentence = sentence.strip()
        if not sentence:
            return 0
        segment = tts.SegmentStarted(reply_id=reply_id, index=index, text=sentence, start_samples=at)
        await connection.send(segment.to_json())
        if self.at_once:
            await connection.send(tts.encode_audio(reply_id, spoken(sentence)))
            return len(spoken(sentence)) // 2
        for char in sentence:
            if self.frames == self.dies_after:
                await self._die(connection)
            if not char.isspace():
                self.frames += 1
                await connection.send(tts.encode_audio(reply_id, spoken(char)))
        return len(spoken(sentence)) // 2

    async def _die(self, connection: ServerConnection) -> None:
        if self.hangs_up:
            await connection.close(1012)
        else:
            connection.transport.close()  # what was written leaves, without a farewell
        await connection.wait_closed()
        raise ConnectionClosed(None, None)


@dataclass
class Ears(Mortal):
    """A recogniser of numbers: a run of samples of one value is a word, zeros are silence, 0.1 s of it an end."""

    dies_at: int | None = None  # samples, of all its connections
    is_deaf: bool = False  # hears no speech
    refuses: str | None = None  # the code with which each stream is refused
    says: str | None = None  # in place of everything else
    samples: int = 0
    messages: list[str] = field(default_factory=list)  # what it was told besides audio
    port: int = 0
    _connections: set[ServerConnection] = field(default_factory=set)

    async def _converse(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            if self.refuses:
                await connection.send(asr.AsrError(code=self.refuses, message="No.", retryable=True).to_json())
                return await connection.close(1013)
            if self.says:
                await connection.send(self.says)
            await connection.send(asr.AsrReady(engine="ears", languages=["en"]).to_json())
            await self._listen(connection)
        except ConnectionClosed:
            return
        finally:
            self._connections.discard(connection)

    async def _listen(self, connection: ServerConnection) -> None:
        hearing = _Numbers(f"utt_{self.port}_{len(self.messages)}")
        async for frame in connection:
            if isinstance(frame, str):
                self.messages.append(frame)
                told = hearing.end("flush") if ASR_FLUSH in frame else []
            else:
                self.samples += len(frame) // 2
                told = [] if self.is_deaf else hearing.hear(frame)
            for message in told:
                await connection.send(message.to_json())
            if self.dies_at is not None and self.samples >= self.dies_at:
                self.dies_at = None
                connection.transport.close()
                return await connection.wait_closed()


ASR_FLUSH = asr.Flush().to_json()


class _Numbers:
    """One stream of Ears."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = self._at = self._start = self._end = 0
        self._words: list[str] = []

    @property
    def _id(self) -> str:
        return f"{self._name}_{self._count}"

    def hear(self, frame: bytes) -> list[asr.AsrOut]:
        told: list[asr.AsrOut] = []
        for place in range(0, len(frame), 2):
            word = str(int.from_bytes(frame[place : place + 2], "little"))
            self._at += 1
            if word != "0":
                told += self._take(word)
                self._end = self._at
            elif self._words and self._at - self._end == PAUSE_SAMPLES:
                told += self.end("silence")
        return told

    def _take(self, word: str) -> list[asr.AsrOut]:
        told: list[asr.AsrOut] = []
        if not self._words:
            self._start = self._at - 1
            told.append(asr.SpeechStarted(utterance_id=self._id, at_samples=self._start))
        if word not in self._words[-1:]:
            committed, self._words = " ".join(self._words), [*self._words, word]
            text = " ".join(self._words)
            told.append(
                asr.Partial(utterance_id=self._id, text=text, committed=committed, language="en", at_samples=self._at)
            )
        return told

    def end(self, reason: asr.EndpointReason) -> list[asr.AsrOut]:
        text, utterance_id = " ".join(self._words), self._id
        segment = asr.Segment(start=self._start / 16_000, end=self._end / 16_000, text=text)
        final = asr.Final(
            utterance_id=utterance_id,
            text=text,
            language="en",
            segments=[segment],
            start_samples=self._start,
            end_samples=self._end,
            reason=reason,
        )
        endpoint = asr.Endpoint(utterance_id=utterance_id, at_samples=self._end, reason=reason)
        told: list[asr.AsrOut] = [endpoint, final] if self._words else [final]
        self._words, self._count = [], self._count + 1
        return told


@asynccontextmanager
async def started(*replicas: Narrator | Ears) -> AsyncIterator[str]:
    """Their URLs, as a setting has them."""
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await replica.start()
            stack.push_async_callback(replica.stop)
        yield ",".join(replica.url for replica in replicas)


@dataclass
class ServiceReplica:
    """A service as a process of its own."""

    process: subprocess.Popen[bytes]
    address: str  # without a scheme

    async def until_ready(self) -> None:
        """Ask until it is; the test's own limit is the limit."""
        async with httpx.AsyncClient(trust_env=False) as http:
            while True:
                assert self.process.poll() is None, "the replica has ended"
                try:
                    if (await http.get(f"http://{self.address}/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    await checkpoint()

    def kill(self) -> int:
        """End it as a crash does; its exit status."""
        self.process.kill()
        return self.process.wait()


@asynccontextmanager
async def service_replicas(service: str, count: int = 2, **settings: str) -> AsyncIterator[list[ServiceReplica]]:
    """So many processes of `asr`, `llm` or `tts`, ready; killed at the end at the latest."""
    replicas = []
    with ExitStack() as stack:
        for _ in range(count):
            port = str(free_ports(1))
            process = own_service.started(f"{service}_service", {**settings, f"{service.upper()}_PORT": port})
            replicas.append(ServiceReplica(stack.enter_context(process), f"127.0.0.1:{port}"))
        async with anyio.create_task_group() as tasks:
            for replica in replicas:
                tasks.start_soon(replica.until_ready)
        yield replicas
