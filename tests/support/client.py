"""A client of the gateway in memory: what a browser would send and see, without a network between."""

import json
from collections.abc import Callable
from typing import Any

import anyio
from starlette.types import Message
from starlette.websockets import WebSocket

Event = dict[str, Any]


class MemoryClient:
    """Both ends of one WebSocket. What the gateway sends is kept in order: messages as dicts, audio as bytes."""

    def __init__(self) -> None:
        self.frames: list[Event | bytes] = []
        self.close_code: int | None = None
        self._changed = anyio.Event()
        self._to_gateway, self._inbound = anyio.create_memory_object_stream[Message](1_000)
        self._reading = anyio.Event()
        self._reading.set()

    async def websocket(self) -> WebSocket:
        """The gateway's end, accepted."""
        self._to_gateway.send_nowait({"type": "websocket.connect"})
        websocket = WebSocket({"type": "websocket", "path": "/ws"}, self._inbound.receive, self._receive)
        await websocket.accept()
        return websocket

    def send(self, **message: object) -> None:
        """A message to the gateway."""
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        self._to_gateway.send_nowait({"type": "websocket.receive", "text": text})

    def send_audio(self, pcm: bytes) -> None:
        self._to_gateway.send_nowait({"type": "websocket.receive", "bytes": pcm})

    def leave(self, code: int = 1000) -> None:
        """Close the socket from this end; with 1006 it is cut."""
        self._to_gateway.send_nowait({"type": "websocket.disconnect", "code": code})

    def close(self) -> None:
        """The test is over."""
        self._to_gateway.close()
        self._inbound.close()

    def stop_reading(self) -> None:
        """Read nothing more, so that the gateway's sends wait."""
        self._reading = anyio.Event()

    def read_on(self) -> None:
        """Read again."""
        self._reading.set()

    async def _receive(self, message: Message) -> None:
        await self._reading.wait()
        if message["type"] == "websocket.close":
            self.close_code = message["code"]
        elif message["type"] == "websocket.send":
            text = message.get("text")
            self.frames.append(message["bytes"] if text is None else json.loads(text))
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def events(self) -> list[Event]:
        return [frame for frame in self.frames if isinstance(frame, dict)]

    @property
    def types(self) -> list[str]:
        """The types of the messages in order, `audio` for binary frames; repeats side by side are one."""
        names = ["audio" if isinstance(frame, bytes) else str(frame["type"]) for frame in self.frames]
        return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]

    async def see(self, kind: str, is_it: Callable[[Event], bool] = lambda _: True, count: int = 1) -> Event:
        """The `count`th message of a type that fits; the test's own timeout is the limit."""
        while True:
            fitting = [event for event in self.events if event["type"] == kind and is_it(event)]
            if len(fitting) >= count:
                return fitting[count - 1]
            await self._changed.wait()

    async def hear(self, frames: int = 1) -> None:
        """Until so many binary frames have come."""
        while sum(isinstance(frame, bytes) for frame in self.frames) < frames:
            await self._changed.wait()

    async def closed(self) -> int:
        """Until the gateway closed; its code."""
        while self.close_code is None:
            await self._changed.wait()
        return self.close_code
