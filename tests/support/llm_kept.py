"""A model's server that keeps its connections, and ends one of them where a test wants it."""

import json
import socket
import struct
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from llm_service.engines.base import Manner, Target
from shared.health import READY
from tests.support.llm import DONE, FINISH, delta

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: a close that resets


@dataclass
class KeptServer:
    """An engine that counts requests from 0, and instead of answering those of `ends` it ends their connection."""

    manner: Manner
    ends: Container[int] = ()
    is_reset: bool = False  # else the end is a plain one
    answer: bytes = b""  # a JSON body; else a chat that says "hi"
    last_words: bytes = b""  # sent before such an end
    asked: list[int] = field(default_factory=list)  # for each request the number of its connection
    name: str = "kept"
    _target: Target | None = None
    _connections: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside the block."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve)
            self._target = Target(f"http://127.0.0.1:{port}/v1", {})
            yield
            tasks.cancel_scope.cancel()

    async def target(self, within_s: float) -> Target | None:
        """Where it answers."""
        return self._target

    async def readiness(self) -> str:
        """Always ready."""
        return READY

    async def _serve(self, stream: SocketStream) -> None:
        number, self._connections = self._connections, self._connections + 1
        buffered = BufferedByteReceiveStream(stream)
        async with stream:
            while await _is_asked(buffered):
                self.asked.append(number)
                if len(self.asked) - 1 in self.ends:
                    if self.last_words:
                        await stream.send(self.last_words)
                    if self.is_reset:
                        bare = stream.extra(SocketAttribute.raw_socket)
                        bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    return
                await stream.send(_as_json(self.answer) if self.answer else _chat())


async def _is_asked(buffered: BufferedByteReceiveStream) -> bool:
    """Read one request; False when the client has left."""
    try:
        head = (await buffered.receive_until(b"\r\n\r\n", 2**16)).decode("latin-1").lower()
        await buffered.receive_exactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
    except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
    return True


def _as_json(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _chat() -> bytes:
    events = "".join(f"data: {one}\n\n" for one in (json.dumps(delta("hi")), json.dumps(FINISH), DONE)).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(events)}\r\n\r\n"
    return head.encode() + events
