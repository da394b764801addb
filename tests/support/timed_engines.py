"""A language model and a voice with known delays, over real sockets, which note when they are left or told to stop.

Both answer `/ready`, so that a gateway in another process takes them for services.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.memory import MemoryObjectReceiveStream
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from shared.clock import now_s
from shared.wire import tts
from tests.support.services import sse

READ_BYTES = 65_536
PIECE_MS = 40
_HEAD = b"HTTP/1.1 %d OK\r\nConnection: close\r\nContent-Type: %s\r\n\r\n"


@dataclass
class Asked:
    """One answer that was asked for, in seconds of this process's clock."""

    question: str
    asked_s: float
    tokens: int = 0  # sent
    is_whole: bool = False
    left_s: float | None = None  # when its reader was gone


@dataclass
class TimedLlm:
    """OpenAI's chat stream: `token` so often, the first and each other one after their times."""

    first_s: float
    each_s: float
    tokens: int
    token: str = "and then "
    answers: list[Asked] = field(default_factory=list)
    port: int = 0

    async def serve_connection(self, stream: SocketStream) -> None:
        """One request, and its answer."""
        async with stream:
            try:
                head, body = await _request(stream)
                if head.startswith(b"POST"):
                    await self._answer(stream, json.loads(body)["messages"][-1]["content"])
                else:
                    await stream.send(_HEAD % (200 if head.startswith(b"GET") else 204, b"application/json"))
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                return

    async def _answer(self, stream: SocketStream, question: str) -> None:
        asked = Asked(question, now_s())
        self.answers.append(asked)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._await_leave, stream, asked, tasks.cancel_scope)
            try:
                await self._write(stream, asked)
            except anyio.BrokenResourceError:
                asked.left_s = asked.left_s or now_s()
            tasks.cancel_scope.cancel()

    async def _write(self, stream: SocketStream, asked: Asked) -> None:
        await stream.send(_HEAD % (200, b"text/event-stream"))
        for index in range(self.tokens):
            await anyio.sleep(self.each_s if index else self.first_s)
            await stream.send(sse({"choices": [{"index": 0, "delta": {"content": self.token}}]}))
            asked.tokens += 1
        await stream.send(sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n")
        asked.is_whole = True

    async def _await_leave(self, stream: SocketStream, asked: Asked, scope: anyio.CancelScope) -> None:
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            asked.left_s = now_s()
        scope.cancel()


async def _request(stream: SocketStream) -> tuple[bytes, bytes]:
    """Head and body of a request with a Content-Length."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += await stream.receive(READ_BYTES)
    head, _, body = read.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += await stream.receive(READ_BYTES)
    return head, body


@dataclass
class TimedTts:
    """A voice whose first sound comes `first_s` after the first text, and which then is faster than anybody listens."""

    first_s: float
    char_ms: int = 60  # of sound
    speed: float = 4.0  # sound made in so much less time than it takes to hear it
    cancelled_s: dict[str, float] = field(default_factory=dict)  # by reply: when a cancel came
    port: int = 0

    async def converse(self, connection: ServerConnection) -> None:
        """The replies of one connection, of which the gateway makes one for each."""
        send, receive = anyio.create_memory_object_stream[tts.Text | tts.End](1_000)
        try:
            async with send, receive, anyio.create_task_group() as tasks:
                tasks.start_soon(self._speak, connection, receive)
                async for frame in connection:
                    message = tts.TTS_IN.decode(str(frame))
                    if isinstance(message, tts.Text | tts.End):
                        await send.send(message)
                    elif isinstance(message, tts.Cancel):
                        self.cancelled_s.setdefault(message.reply_id, now_s())
                        tasks.cancel_scope.cancel()
                        with anyio.CancelScope(shield=True):
                            await connection.send(_done(message.reply_id, "cancelled", 0))
        except* ConnectionClosed:
            pass

    async def _speak(self, connection: ServerConnection, said: MemoryObjectReceiveStream[tts.Text | tts.End]) -> None:
        samples, index = 0, 0
        async for message in said:
            if isinstance(message, tts.End):
                return await connection.send(_done(message.reply_id, "completed", samples))
            if not index:
                await anyio.sleep(self.first_s)
            segment = tts.SegmentStarted(
                reply_id=message.reply_id, index=index, text=message.delta.strip(), start_samples=samples
            )
            await connection.send(segment.to_json())
            samples, index = samples + await self._sound(connection, message), index + 1

    async def _sound(self, connection: ServerConnection, text: tts.Text) -> int:
        piece = bytes(2 * tts.SPEECH_RATE * PIECE_MS // 1000)
        pieces = max(1, len(text.delta) * self.char_ms // PIECE_MS)
        for _ in range(pieces):
            await connection.send(tts.encode_audio(text.reply_id, piece))
            await anyio.sleep(PIECE_MS / 1000 / self.speed)
        return pieces * len(piece) // 2


def _done(reply_id: str, outcome: Literal["completed", "cancelled"], samples: int) -> str:
    return tts.Done(reply_id=reply_id, outcome=outcome, total_samples=samples).to_json()


def _ready(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(HTTPStatus.OK, "{}") if request.path == "/ready" else None


@asynccontextmanager
async def serving(llm: TimedLlm, voice: TimedTts) -> AsyncIterator[None]:
    """Both on ports of their own, while inside the block."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    llm.port = listener.extra(SocketAttribute.local_port)
    async with (
        serve(voice.converse, "127.0.0.1", 0, compression=None, process_request=_ready) as server,
        anyio.create_task_group() as tasks,
    ):
        voice.port = server.sockets[0].getsockname()[1]
        tasks.start_soon(listener.serve, llm.serve_connection)
        yield
        tasks.cancel_scope.cancel()
