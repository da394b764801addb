"""A client on a real socket who cuts its connection where a test wants it, while its gateway is killed, and comes back.

It does what any client may: it connects again until somebody is there, tells what it has, sends its audio again from
where the gateway lost it, and goes on.
"""

import json
from collections.abc import Collection

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from shared.clock import now_s
from tests.support.mortal_gateway import Event, MortalGateway
from tests.support.session_seen import SessionSeen

FRAME_BYTES = 640
FRAME_S = 0.002  # a tenth of what a microphone takes for it


class Wanderer(SessionSeen):
    """One session. It is cut when so many frames in all have come."""

    def __init__(self, gateway: MortalGateway, cuts: Collection[int]) -> None:
        super().__init__()
        self.refusals: list[Event] = []
        self.cuts = 0  # that came to pass
        self.resume_ms: list[float] = []  # from the attempt that reached a gateway until the session went on
        self.away_ms: list[float] = []  # from the cut until then
        self._gateway = gateway
        self._cuts = set(cuts)
        self._cut_s = 0.0
        self._unsent: list[dict[str, object]] = []
        self._spoken = bytearray()
        self._sent_bytes = 0
        self._is_there = False

    async def run(self) -> None:
        """Be connected until cancelled."""
        while True:
            async with self._gateway.connected() as connection, anyio.create_task_group() as tasks:
                reached_s = now_s()
                if await self._come_back(connection):
                    if self.cuts:
                        self.resume_ms.append(1000 * (now_s() - reached_s))
                        self.away_ms.append(1000 * (now_s() - self._cut_s))
                    tasks.start_soon(self._send, connection)
                    await self._read(connection)
                self._is_there = False
                tasks.cancel_scope.cancel()

    async def say(self, pcm: bytes) -> None:
        """Speech, frame by frame; what did not arrive is sent again over the next connection."""
        self._spoken += pcm
        self._announce_change()

    def send(self, **message: object) -> None:
        """A message, or as soon as there is a connection again."""
        self._unsent.append(message)
        self._announce_change()

    async def be_there(self) -> None:
        """Until it is connected to its session."""
        while not self._is_there:
            await self._changed.wait()

    async def _come_back(self, connection: ClientConnection) -> bool:
        """Ask for the session that was begun; whether it goes on."""
        if not self.frames:
            self._is_there = True
            return True
        try:
            await connection.recv()
            told = await self._gateway.resume(connection, **self.place)
        except ConnectionClosed:
            return False
        if told["type"] != "ready":
            self.refusals.append(told)
            self._announce_change()
            return False
        self._sent_bytes, self._is_there = told["audio_bytes"], True
        self._announce_change()
        return True

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for frame in connection:
                self.frames.append(frame if isinstance(frame, bytes) else json.loads(frame))
                if len(self.frames) in self._cuts:
                    return self._cut(connection)
                self._announce_change()
        except ConnectionClosed:
            return

    def _cut(self, connection: ClientConnection) -> None:
        """Here and now: whatever was on its way is lost."""
        self._cuts.discard(len(self.frames))
        self.cuts += 1
        self._is_there, self._cut_s = False, now_s()
        connection.transport.abort()
        self._gateway.kill()
        self._announce_change()

    async def _send(self, connection: ClientConnection) -> None:
        try:
            while True:
                if self._unsent:
                    await connection.send(json.dumps(self._unsent[0]))
                    self._unsent.pop(0)
                elif self._sent_bytes < len(self._spoken):
                    at, self._sent_bytes = self._sent_bytes, self._sent_bytes + FRAME_BYTES
                    await connection.send(bytes(self._spoken[at : self._sent_bytes]))
                    await anyio.sleep(FRAME_S)
                else:
                    await self._changed.wait()
        except ConnectionClosed:
            return
