"""A peer of the tts_service's stream, in memory: it decides when it reads."""

import math
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
from fastapi import FastAPI

from shared.wire.codec import Message
from shared.wire.tts import TTS_OUT, Done, End, Start, Text, TtsReady, decode_frame
from tts_service.app import build_app
from tts_service.engines.fake import FakeEngine
from tts_service.settings import TtsSettings

LOADING = "The speech engine is loading."
SENTENCE = "This is a sentence of some length. "
Received = Message | tuple[str, bytes]


class Peer:
    """The other end of a WebSocket; the service waits in its `send` once `room` frames are unread."""

    def __init__(self, app: FastAPI, room: float) -> None:
        self.app = app
        self._to_app, self._app_in = anyio.create_memory_object_stream[dict[str, Any]](math.inf)
        self.has_endless_room = False
        self.overflow: list[MutableMapping[str, Any]] = []
        self._app_out, self._from_app = anyio.create_memory_object_stream[MutableMapping[str, Any]](room)

    async def run(self) -> None:
        self._to_app.send_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": "/v1/stream", "query_string": b"", "headers": [], "subprotocols": []}
        with self._app_in, self._app_out:
            await self.app(scope, self._app_in.receive, self._hear)

    async def _hear(self, message: MutableMapping[str, Any]) -> None:
        try:
            if self.has_endless_room:
                self.overflow.append(message)
            else:
                await self._app_out.send(message)
        except anyio.BrokenResourceError:
            raise OSError from None  # as a server tells that the connection is lost

    def hang_up(self) -> None:
        """Hear nothing more, without a word."""
        self._from_app.close()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._to_app.close()
        self._from_app.close()

    async def accepted(self) -> None:
        assert (await self._from_app.receive())["type"] == "websocket.accept"

    def send(self, *messages: Message | str | bytes) -> None:
        for message in messages:
            text = message.to_json() if isinstance(message, Message) else message
            self._to_app.send_nowait(
                {"type": "websocket.receive", "bytes" if isinstance(text, bytes) else "text": text}
            )

    def say(self, reply_id: str, text: str, **more: Any) -> None:
        self.send(
            Start(reply_id=reply_id, **{"sample_rate": 16_000, **more}),
            Text(reply_id=reply_id, delta=text),
            End(reply_id=reply_id),
        )

    def is_open(self) -> bool:
        """Whether the service still holds the connection."""
        return self._app_in.statistics().open_receive_streams > 0

    def leave(self) -> None:
        if self.is_open():
            self._to_app.send_nowait({"type": "websocket.disconnect", "code": 1001})

    async def receive(self) -> Received:
        frame = await self._from_app.receive()
        assert frame["type"] == "websocket.send", frame
        return decode_frame(frame["bytes"]) if frame.get("bytes") else TTS_OUT.decode(frame["text"])

    async def closed(self) -> int:
        """The close code, after everything that was sent before."""
        while (frame := await self._from_app.receive())["type"] != "websocket.close":
            assert frame["type"] == "websocket.send"
        return int(frame["code"])

    async def until_done(self, *reply_ids: str) -> list[Received]:
        waiting, received = set(reply_ids), list[Received]()
        while waiting:
            received.append(await self.receive())
            last = received[-1]
            if isinstance(last, Done):
                waiting.discard(last.reply_id)
        return received


@asynccontextmanager
async def service(engine: FakeEngine, **settings: Any) -> AsyncIterator[FastAPI]:
    """A running service that loads its engine, or has done so."""
    app = build_app(TtsSettings(engine="fake", **settings), engine)
    with anyio.fail_after(20):
        async with app.router.lifespan_context(app):
            yield app
    assert engine.running == 0
    assert engine.open_slots == 0


async def report(app: FastAPI) -> str:
    """What /ready says of the engine, once it does not load any more."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tts") as client:
        while True:
            found: str = (await client.get("/ready")).json()["parts"]["engine"]
            if found != LOADING:
                return found


@asynccontextmanager
async def peer_of(app: FastAPI, room: float = math.inf) -> AsyncIterator[Peer]:
    """A peer whose connection is open; leaving the block ends it."""
    with Peer(app, room) as peer:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(peer.run)
            await peer.accepted()
            try:
                yield peer
            finally:
                peer.leave()


@asynccontextmanager
async def connected(engine: FakeEngine, room: float = math.inf, **settings: Any) -> AsyncIterator[Peer]:
    """A peer of a service that is ready."""
    async with service(engine, **settings) as app:
        assert await report(app) == "ready"
        async with peer_of(app, room) as peer:
            assert isinstance(await peer.receive(), TtsReady)
            yield peer


def audio_of(received: list[Received], reply_id: str) -> bytes:
    return b"".join(item[1] for item in received if isinstance(item, tuple) and item[0] == reply_id)


def dones(received: list[Received]) -> dict[str, str]:
    return {item.reply_id: item.outcome for item in received if isinstance(item, Done)}
