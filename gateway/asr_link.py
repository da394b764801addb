"""One session's ears: a connection to the asr_service that comes back by itself.

Audio goes through unread, in the rate in which it came; what comes before the first connection waits for it. While a
connection is lost audio is dropped and counted: speech that was cut cannot be understood later, and the person is told
at once.
"""

from collections.abc import Awaitable, Callable

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from gateway.core import events as on
from gateway.core.events import ConversationEvent, Stage, StageFailed
from shared import metrics
from shared.errors import AudioOverrun, ParleyError
from shared.pcm import samples_of
from shared.wire import asr

PIECE_BYTES = 4_096
QUEUE_PIECES = 64  # at 16 kHz about 8 s of audio
OVERRUN_S = 5.0
CLOSE_TIMEOUT_S = 1.0
BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)

_GONE = "Speech recognition cannot be reached; listening goes on as soon as it is back."

Listener = Callable[[asr.AsrOut | StageFailed], Awaitable[None]]


class AsrLink:
    """Send audio, tell a listener what was heard."""

    def __init__(self, url: str, config: asr.Configure, listener: Listener, connect_timeout_s: float) -> None:
        self._url = f"{url}/v1/stream"
        self._config = config
        self._listener = listener
        self._connect_timeout_s = connect_timeout_s
        self._is_open = True  # audio is taken: from the start, and again with each connection
        self._failures = 0  # connections in a row that came to nothing
        self.heard_s = 0.0  # of audio, in the stream that is open
        self._send_queue, self._queue = anyio.create_memory_object_stream[bytes | str](QUEUE_PIECES)

    async def hear(self, pcm: bytes) -> None:
        """Pass on audio; waits while the service is behind, and raises AudioOverrun when it does not catch up."""
        for at in range(0, len(pcm), PIECE_BYTES):
            if not self._is_open:
                metrics.STALE.labels("gateway", "audio_without_asr").inc()
                return
            piece = pcm[at : at + PIECE_BYTES]
            self.heard_s += samples_of(piece) / (self._config.sample_rate or asr.STREAM_RATE)
            await self._enqueue(piece)

    async def configure(self, config: asr.Configure) -> None:
        """New settings, now and after each reconnect."""
        self._config = config
        await self._tell(config)

    async def flush(self) -> None:
        await self._tell(asr.Flush())

    async def clear(self) -> None:
        await self._tell(asr.Clear())

    async def _tell(self, message: asr.AsrIn) -> None:
        if self._is_open:
            await self._enqueue(message.to_json())

    async def _enqueue(self, frame: bytes | str) -> None:
        try:
            with anyio.fail_after(self._connect_timeout_s + OVERRUN_S):
                await self._send_queue.send(frame)
        except TimeoutError:
            raise AudioOverrun("Audio comes faster than it can be understood.", service="asr") from None

    async def run(self) -> None:
        """Keep a connection until cancelled; an outage is told once, and again only after the service was back."""
        with self._send_queue, self._queue:
            while True:
                connection = await self._connect()
                if connection is not None:
                    await self._converse(connection)
                self._let_go()
                if self._failures == 0:
                    await self._listener(StageFailed(Stage.ASR, "service_unavailable", _GONE, True))
                await anyio.sleep(BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)])
                self._failures += 1

    async def _connect(self) -> ClientConnection | None:
        try:
            with anyio.fail_after(self._connect_timeout_s):
                return await connect(self._url, compression=None, proxy=None, max_size=None)
        except (OSError, TimeoutError, WebSocketException):
            return None

    async def _converse(self, connection: ClientConnection) -> None:
        """Both directions of one connection, until it ends."""
        try:
            self._is_open = True  # before the settings leave: others that come meanwhile follow them
            await connection.send(self._config.to_json())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send, connection)
                await self._receive(connection)
                tasks.cancel_scope.cancel()
        except ConnectionClosed:
            pass
        finally:
            self._let_go()
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_TIMEOUT_S):
                await connection.close()
            connection.transport.abort()  # a service that hangs keeps no connection; nothing happens to a closed one

    async def _send(self, connection: ClientConnection) -> None:
        try:
            async for frame in self._queue:
                await connection.send(frame)
        except ConnectionClosed:
            return  # _receive sees it too, and ends the conversation

    async def _receive(self, connection: ClientConnection) -> None:
        try:
            async for frame in connection:
                if isinstance(frame, str):
                    await self._take(asr.ASR_OUT.decode(frame))
        except (ConnectionClosed, ParleyError):
            return  # closed, or it speaks something else: either way a new connection is due

    async def _take(self, message: asr.AsrOut) -> None:
        """A stream that becomes ready ends an outage; until then the reasons of each refusal are not told again."""
        if isinstance(message, asr.AsrReady):
            self._failures = 0
        if self._failures == 0 or not isinstance(message, asr.AsrError):
            await self._listener(message)

    def _let_go(self) -> None:
        """Take no more, and forget what waits: it belongs to a stream that is over."""
        self._is_open, self.heard_s = False, 0.0
        while True:
            try:
                self._queue.receive_nowait()
            except anyio.WouldBlock:
                return


def event_of(message: asr.AsrOut) -> ConversationEvent | None:
    """What a message of the recogniser means for the conversation; None for what only the link needs."""
    match message:
        case asr.SpeechStarted():
            return on.SpeechStarted(message.utterance_id)
        case asr.Partial():
            return on.PartialHeard(message.utterance_id, message.text, message.committed, message.language)
        case asr.Candidate():
            return on.CandidateHeard(message.utterance_id, message.text)
        case asr.Resumed():
            return on.SpeechResumed(message.utterance_id)
        case asr.Endpoint():
            return on.EndpointReached(message.utterance_id)
        case asr.Final():
            segments = tuple(on.SegmentHeard(one.start, one.end, one.text) for one in message.segments)
            return on.FinalHeard(message.utterance_id, message.text, message.language, segments)
        case asr.AsrReady() | asr.AsrError():  # an error of the recogniser costs no turn: its final comes all the same
            return None
