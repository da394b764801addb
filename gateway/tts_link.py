"""The speech of one reply: a connection to the tts_service that lives as long as the reply is being spoken.

A connection of its own for each reply gives each its own back-pressure (docs/adr/0005): a reply that waits for playout
never holds up the next one. Leaving the block cancels what is still being made, and waits until the engine has stopped.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from shared.errors import EngineFailed, InvalidMessage, Overloaded, ParleyError, ServiceUnavailable
from shared.wire import tts

CANCEL_TIMEOUT_S = 1.0
# A reply that waits for playout reads nothing, so only writing tells that the service died. No pong is waited for.
PING_S = 0.4
_PLAIN: dict[str, Any] = {"compression": None, "proxy": None, "max_size": None}
_GONE = "The speech service cannot be reached."


@dataclass(frozen=True, slots=True)
class Speech:
    """PCM16 of the last segment."""

    pcm: bytes


class SpokenReply:
    """Text in, segments and speech out, of one reply."""

    def __init__(self, connection: ClientConnection, reply_id: str) -> None:
        self._connection = connection
        self._reply_id = reply_id
        self.is_over = False

    async def start(self, start: tts.Start) -> None:
        await self._send(start)

    async def say(self, text: str) -> None:
        """More text. A cancel leaves it sent or unsent, never in part."""
        await self._send(tts.Text(reply_id=self._reply_id, delta=text))

    async def finish(self) -> None:
        """No more text comes."""
        await self._send(tts.End(reply_id=self._reply_id))

    async def cancel(self) -> None:
        """Stop, and wait until the service says that the engine has stopped."""
        await self._send(tts.Cancel(reply_id=self._reply_id))
        async for _ in self.output():
            pass

    async def watch(self) -> None:
        """Until the speech is over or its connection breaks, which is noticed here also while nobody reads."""
        await self._connection.wait_closed()
        if not self.is_over:
            raise ServiceUnavailable(_GONE, service="tts")

    async def output(self) -> AsyncIterator[tts.SegmentStarted | Speech]:
        """Segments and their speech until all is spoken; raises ServiceUnavailable or EngineFailed."""
        while not self.is_over:
            try:
                frame = await self._connection.recv()
            except ConnectionClosed:
                raise ServiceUnavailable(_GONE, service="tts") from None
            if isinstance(frame, bytes):
                yield Speech(tts.decode_audio(frame)[1])
                continue
            message = tts.TTS_OUT.decode(frame)
            if isinstance(message, tts.SegmentStarted):
                yield message
            elif isinstance(message, tts.TtsError):
                raise _failure(message)
            elif isinstance(message, tts.Done):
                self.is_over = True
                if message.outcome == "failed":
                    raise EngineFailed("The speech engine failed.", service="tts")

    async def _send(self, message: tts.TtsIn) -> None:
        try:
            await self._connection.send(message.to_json())
        except ConnectionClosed:
            raise ServiceUnavailable(_GONE, service="tts") from None


def _failure(error: tts.TtsError) -> ParleyError:
    if error.code in (ServiceUnavailable.code, Overloaded.code):
        return ServiceUnavailable("The speech service is not ready.", service="tts")
    if error.code == InvalidMessage.code:  # a voice that it does not have: its own sentence names it
        return InvalidMessage(error.message, service="tts")
    return EngineFailed("The speech engine failed.", service="tts")


@asynccontextmanager
async def speak(url: str, start: tts.Start, connect_timeout_s: float) -> AsyncIterator[SpokenReply]:
    """Open the speech of a reply. Raises ServiceUnavailable when the service is not there."""
    try:
        with anyio.fail_after(connect_timeout_s):
            connection = await connect(f"{url}/v1/stream", ping_interval=PING_S, ping_timeout=None, **_PLAIN)
    except (OSError, TimeoutError, WebSocketException):
        raise ServiceUnavailable(_GONE, service="tts") from None
    spoken = SpokenReply(connection, start.reply_id)
    try:
        await spoken.start(start)
        yield spoken
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CANCEL_TIMEOUT_S):
            await _end(spoken, connection)
        connection.transport.abort()  # a service that hangs keeps no connection; nothing happens to a closed one


async def _end(spoken: SpokenReply, connection: ClientConnection) -> None:
    if not spoken.is_over:
        with suppress(ParleyError):  # it failed or is gone already: there is nothing left to stop
            await spoken.cancel()
    await connection.close()
