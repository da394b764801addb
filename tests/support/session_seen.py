"""What came of one session, over one connection after the other, and where its client would go on."""

from typing import Any

import anyio

from tests.support.client import Event


class SessionSeen:
    """The frames of a session in the order in which they came: messages as dicts, audio as bytes."""

    def __init__(self) -> None:
        self.frames: list[Event | bytes] = []
        self._changed = anyio.Event()

    async def see(self, kind: str, count: int = 1) -> Event:
        """The `count`th message of this type; the test's own timeout is the limit."""
        while len(found := [event for event in self.events if event["type"] == kind]) < count:
            await self._changed.wait()
        return found[count - 1]

    async def hear(self, audio_bytes: int) -> None:
        """Until so much audio has come."""
        while len(self.audio) < audio_bytes:
            await self._changed.wait()

    @property
    def events(self) -> list[Event]:
        return [frame for frame in self.frames if isinstance(frame, dict)]

    @property
    def audio(self) -> bytes:
        return b"".join(frame for frame in self.frames if isinstance(frame, bytes))

    @property
    def place(self) -> dict[str, Any]:
        """What its client tells of where it was."""
        ready, last = self.events[0], max(at for at, one in enumerate(self.frames) if isinstance(one, dict))
        audio_bytes = sum(len(frame) for frame in self.frames[last + 1 :] if isinstance(frame, bytes))
        named = {"session_id": ready["session_id"], "token": ready["token"]}
        return {"last_seq": self.events[-1]["seq"], "audio_bytes": audio_bytes, **named}

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
