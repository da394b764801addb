"""A client whose connection is cut where a test wants it, and who comes back to its session each time."""

import json
from collections.abc import Awaitable, Callable, Collection

from anyio.abc import TaskGroup
from starlette.types import Message

from gateway.client_socket import ClientSocket
from tests.support.client import Event, MemoryClient
from tests.support.gateway_house import TestHouse
from tests.support.session_seen import SessionSeen

CUT = 1006
FRAME_BYTES = 640


class Wire(MemoryClient):
    """One connection. What comes goes to its traveller, as long as it is not cut."""

    def __init__(self, take: Callable[["Wire", Event | bytes], None]) -> None:
        super().__init__()
        self._take = take

    async def _receive(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            text = message.get("text")
            self._take(self, message["bytes"] if text is None else json.loads(text))
        await super()._receive(message)


class Traveller(SessionSeen):
    """One session over several connections: each is cut when so many frames in all have come."""

    def __init__(
        self, house: TestHouse, tasks: TaskGroup, cuts: Collection[int], between: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__()
        self.refusals: list[Event] = []
        self._house = house
        self._tasks = tasks
        self._cuts = set(cuts)
        self._between = between
        self._wire: Wire | None = None
        self._is_back = False
        self._unsent: list[dict[str, object]] = []
        self._spoken = bytearray()

    async def call(self) -> None:
        """A connection, and another one each time that it is cut."""
        self._wire, self._is_back = Wire(self._take), not self.frames
        self._house.clients.append(self._wire)
        socket = ClientSocket(await self._wire.websocket())
        self._house.tasks.start_soon(self._house.lobby.receive, socket, "somebody")

    def send(self, **message: object) -> None:
        """A message, or as soon as there is a connection again."""
        self._unsent.append(message)
        self._flush()

    def send_audio(self, pcm: bytes) -> None:
        """Audio; what did not arrive is sent again over the next connection."""
        self._spoken += pcm
        if self._is_back and self._wire:
            self._wire.send_audio(pcm)

    def leave(self) -> None:
        """For good."""
        if self._wire:
            self._wire.leave()

    def _flush(self) -> None:
        while self._unsent and self._is_back and self._wire:
            self._wire.send(**self._unsent.pop(0))

    def _take(self, wire: Wire, frame: Event | bytes) -> None:
        if wire is not self._wire:
            return
        if self._is_back:
            self._keep(frame)
        elif isinstance(frame, dict) and frame["type"] == "ready" and not frame["resumed"]:
            wire.send(type="resume", **self.place)
        elif isinstance(frame, dict) and frame["type"] == "ready":
            assert (frame["session_id"], frame["seq"]) == (self.events[0]["session_id"], self.events[-1]["seq"])
            self._is_back = True
            for at in range(frame["audio_bytes"], len(self._spoken), FRAME_BYTES):
                wire.send_audio(bytes(self._spoken[at : at + FRAME_BYTES]))
            self._flush()
        else:
            assert isinstance(frame, dict), "audio came before the session was found"
            self.refusals.append(frame)
        self._announce_change()

    def _keep(self, frame: Event | bytes) -> None:
        self.frames.append(frame)
        if len(self.frames) in self._cuts:
            self._cuts.discard(len(self.frames))
            gone, self._wire, self._is_back = self._wire, None, False
            if gone:
                self._tasks.start_soon(self._come_again, gone)

    async def _come_again(self, gone: Wire) -> None:
        gone.leave(CUT)
        await self._between()
        await self.call()
