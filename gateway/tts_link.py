"""The speech of one reply: a connection to the tts_service that lives as long as the reply is being spoken.

A connection of its own for each reply gives each its own back-pressure (docs/adr/0005): a reply that waits for playout
never holds up the next one. Leaving the block cancels what is still being made, and waits until the engine has stopped.

Where there are several replicas, the least busy ready one speaks. If it cannot be reached, will not take the reply, or
its connection breaks in the middle of it, another one goes on, at most `MOVES` times: it is told what is not spoken
yet, from the beginning of the segment that was cut, and as many samples of its rendering are left out as were handed on
(core/speech_progress.py). What had come over the broken connection is handed on first. A single replica's failure is
the reply's.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from gateway.core.speech_progress import SpeechProgress
from gateway.replicas import Replicas
from shared.errors import EngineFailed, InvalidMessage, Overloaded, ParleyError, ServiceUnavailable, TooManySessions
from shared.pcm import BYTES_PER_SAMPLE, samples_of
from shared.wire import tts

CANCEL_TIMEOUT_S = 1.0
# A reply that waits for playout reads nothing, so only writing tells that the service died. No pong is waited for.
PING_S = 0.4
MOVES = 3  # times that one reply goes on elsewhere
_PLAIN: dict[str, Any] = {"compression": None, "proxy": None, "max_size": None}
_GONE = "The speech service cannot be reached."


@dataclass(frozen=True, slots=True)
class Speech:
    """PCM16 of the last segment."""

    pcm: bytes


class SpokenReply:
    """Text in, segments and speech out, of one reply."""

    def __init__(
        self, replicas: Replicas, start: tts.Start, connect_timeout_s: float, begun: SpeechProgress | None = None
    ) -> None:
        self._replicas = replicas
        self._start = start
        self._reply_id = start.reply_id
        self._connect_timeout_s = connect_timeout_s
        self._connection: ClientConnection | None = None
        self._address: str | None = None  # taken
        self._progress = begun or SpeechProgress()
        self._is_again = begun is not None  # what comes may have come before
        self._is_text_complete = False
        self._is_cancelled = False
        self._lock = anyio.Lock()  # around what is sent: text follows what another replica is told first
        self._failed: set[str] = set()
        self._moves = 0
        self._moved = anyio.Event()
        self.is_over = False

    async def open(self) -> None:
        """Begin, at the first replica that can be reached. Raises ServiceUnavailable when there is none."""
        self._connection = await self._connect(self._replicas.take())
        await self._begin()

    async def say(self, text: str) -> None:
        """More text. A cancel leaves it sent or unsent, never in part."""
        async with self._lock:
            self._progress.add_text(text)
            await self._send(tts.Text(reply_id=self._reply_id, delta=text))

    async def finish(self) -> None:
        """No more text comes."""
        async with self._lock:
            self._is_text_complete = True
            await self._send(tts.End(reply_id=self._reply_id))

    async def close(self) -> None:
        """Stop, wait until the service says that the engine has stopped, and hang up."""
        self._is_cancelled = True
        if self._connection is None:
            return
        if not self.is_over:
            with suppress(ParleyError):  # it failed or is gone already: there is nothing left to stop
                await self._send(tts.Cancel(reply_id=self._reply_id))
                async for _ in self.output():
                    pass
        await self._connection.close()

    def leave(self) -> None:
        """Without another word: a service that hangs keeps no connection; nothing happens to a closed one."""
        if self._connection is not None:
            self._connection.transport.abort()
        if self._address is not None:
            self._replicas.give(self._address)
        self._address = None

    async def watch(self) -> None:
        """Until the speech is over or cannot go on, which is noticed here also while nobody reads."""
        while not self.is_over:
            connection, moved = self._open_connection, self._moved
            await connection.wait_closed()
            if self.is_over:
                return
            if connection is self._connection:
                if not self._may_move():
                    self._note_failure(connection.protocol.close_rcvd is None)
                    raise ServiceUnavailable(_GONE, service="tts")
                await moved.wait()  # whoever reads moves it on when what had come is read

    async def output(self) -> AsyncIterator[tts.SegmentStarted | Speech]:
        """Segments and their speech until all is spoken; raises ServiceUnavailable or EngineFailed."""
        while not self.is_over:
            try:
                frame = await self._open_connection.recv()
            except ConnectionClosed as closed:
                await self._move(ServiceUnavailable(_GONE, service="tts"), is_lost=closed.rcvd is None)
                continue
            news = self._speech_in(frame) if isinstance(frame, bytes) else await self._take(tts.TTS_OUT.decode(frame))
            if news is not None:
                yield news

    def _speech_in(self, frame: bytes) -> Speech | None:
        """What of the audio was not handed on before."""
        audio = tts.decode_audio(frame)[1]
        left_out = self._progress.take_audio(samples_of(audio))
        return Speech(audio[left_out * BYTES_PER_SAMPLE :]) if left_out * BYTES_PER_SAMPLE < len(audio) else None

    async def _take(self, message: tts.TtsOut) -> tts.SegmentStarted | None:
        """What of a segment was not announced before; what else it means is done."""
        if isinstance(message, tts.SegmentStarted):
            announced = self._progress.take_segment(message.text)
            if not self._is_again or announced is None:
                return None if self._is_again else message
            return message.model_copy(update={"text": announced.text, "start_samples": announced.start_samples})
        if isinstance(message, tts.TtsError):
            failure = _failure(message)
            if not isinstance(failure, ServiceUnavailable | Overloaded):
                raise failure
            await self._move(failure, is_lost=False)
        elif isinstance(message, tts.Done):
            self.is_over = True
            if message.outcome == "failed":
                raise EngineFailed("The speech engine failed.", service="tts")
        return None

    def _may_move(self) -> bool:
        return len(self._replicas) > 1 and self._moves < MOVES and not self._is_cancelled

    async def _move(self, failure: ParleyError, *, is_lost: bool) -> None:
        """Go on at another replica. Raises the failure when there is none. A cancel leaves it to be closed."""
        async with self._lock:
            self._note_failure(is_lost)
            self.leave()
            address = self._replicas.take(self._failed) if self._may_move() else None
            if address is None:
                raise failure
            self._connection = await self._connect(address)
            self._moves += 1
            self._is_again = True
            self._replicas.note_move()
            self._moved.set()
            self._moved = anyio.Event()
            await self._begin()

    async def _begin(self) -> None:
        """Tell a replica what is to be spoken, as far as that is known."""
        await self._send(self._start)
        if self._is_again and (text := self._progress.begin_again()):
            await self._send(tts.Text(reply_id=self._reply_id, delta=text))
        if self._is_text_complete:
            await self._send(tts.End(reply_id=self._reply_id))

    async def _connect(self, address: str | None) -> ClientConnection:
        """A connection to that replica, or to another one that can be reached; whose it is stays taken."""
        while address is not None:
            self._address = address
            try:
                with anyio.fail_after(self._connect_timeout_s):
                    return await connect(f"{address}/v1/stream", ping_interval=PING_S, ping_timeout=None, **_PLAIN)
            except (OSError, TimeoutError, WebSocketException):
                self._note_failure(is_lost=True)
                self._replicas.give(address)
                self._address = None
            address = self._replicas.take(self._failed)
        raise ServiceUnavailable(_GONE, service="tts")

    def _note_failure(self, is_lost: bool) -> None:
        if self._address is not None:
            self._failed.add(self._address)
            (self._replicas.lose if is_lost else self._replicas.refuse)(self._address)

    @property
    def _open_connection(self) -> ClientConnection:
        assert self._connection is not None, "the speech was not opened"
        return self._connection

    async def _send(self, message: tts.TtsIn) -> None:
        """What cannot be sent over a broken connection is sent over the next one, if one may follow."""
        try:
            await self._open_connection.send(message.to_json())
        except ConnectionClosed:
            if not self._may_move():
                raise ServiceUnavailable(_GONE, service="tts") from None


def _failure(error: tts.TtsError) -> ParleyError:
    if error.code in (Overloaded.code, TooManySessions.code):
        return Overloaded("The speech service can speak no more answers now.", service="tts")
    if error.code == ServiceUnavailable.code:
        return ServiceUnavailable("The speech service is not ready.", service="tts")
    if error.code == InvalidMessage.code:  # a voice that it does not have: its own sentence names it
        return InvalidMessage(error.message, service="tts")
    return EngineFailed("The speech engine failed.", service="tts")


@asynccontextmanager
async def speak(
    service: str | Replicas, start: tts.Start, connect_timeout_s: float, begun: SpeechProgress | None = None
) -> AsyncIterator[SpokenReply]:
    """Open the speech of a reply, or of the rest of one. Raises ServiceUnavailable when the service is not there."""
    spoken = SpokenReply(Replicas.of("tts_service", service), start, connect_timeout_s, begun)
    try:
        await spoken.open()
        yield spoken
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CANCEL_TIMEOUT_S):
            await spoken.close()
        spoken.leave()
