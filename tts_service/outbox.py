"""What waits to be sent to one peer: a lane for each reply, taken in turn, and a control lane that goes before them.

It never sends and never synthesises, so that neither waits inside the other: a reply puts without waiting (and asks for
its lane to drain before it makes more), the connection's one writer takes. Laws: the items of a lane keep their order;
after a cut no audio of that lane is taken; `done` is the last thing of a lane.
"""

from collections import deque
from typing import Final

import anyio

from shared.clock import now_s
from shared.pcm import BYTES_PER_SAMPLE
from shared.wire.codec import Message
from shared.wire.tts import Done, SegmentStarted
from tts_service.core.playout import Playout

FIRST_FRAME_MS: Final = 40  # the first frame of a reply is short, so that playing begins with it
FRAME_MS: Final = 100
CONTROL_LIMIT: Final = 64

Item = tuple[str | None, Message | bytes]  # the lane's reply_id (None = control), and what to send


class OutboxFull(Exception):
    """The peer reads nothing, and causes one control message after the other."""


class Bell:
    """Wakes the one task that waits; rung while nobody waits, it is remembered once."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """A cancel loses nothing: the ring stays for the next wait."""
        await self._event.wait()
        self._event = anyio.Event()


class Lane:
    """One reply's messages and audio, in order. Positions are samples at the rate that the peer asked for."""

    def __init__(self, reply_id: str, sample_rate: int, filled: Bell) -> None:
        self.reply_id = reply_id
        self.sample_rate = sample_rate
        self.position_samples = 0  # of the next sample put
        self._waiting_samples = 0
        self._items: deque[Message | bytearray] = deque()
        self._filled = filled
        self._drained = Bell()
        self._playout = Playout(sample_rate)
        self._has_sent_audio = False
        self._is_cut = False

    @property
    def waiting_ms(self) -> float:
        """Audio that the writer has not taken."""
        return self._waiting_samples * 1000 / self.sample_rate

    @property
    def ahead_ms(self) -> float:
        """Audio that was made and that the listener has not come to, if it is played as it is sent."""
        return self._playout.ahead_ms(now_s())

    def put(self, message: Message) -> None:
        if self._is_cut and isinstance(message, SegmentStarted):
            return
        self._items.append(message)
        self._filled.ring()

    def put_audio(self, pcm: bytes) -> None:
        if self._is_cut or not pcm:
            return
        if self._items and isinstance(self._items[-1], bytearray):
            self._items[-1] += pcm
        else:
            self._items.append(bytearray(pcm))
        samples = len(pcm) // BYTES_PER_SAMPLE
        self.position_samples += samples
        self._waiting_samples += samples
        self._playout.make(samples)
        self._filled.ring()

    def cut(self) -> None:
        """Forget the segments and audio that wait, and all that come; the position is that of the audio sent."""
        self._is_cut = True
        self._items.clear()
        self.position_samples -= self._waiting_samples
        self._waiting_samples = 0
        self._drained.ring()

    async def drain(self, below_ms: float) -> None:
        """Wait until at most `below_ms` of audio waits."""
        while self.waiting_ms > below_ms:
            await self._drained.wait()

    async def play(self, below_ms: float) -> None:
        """Wait until at most `below_ms` of audio is ahead of the listener."""
        while (wait_s := self._playout.until_ahead_s(below_ms, now_s())) > 0:
            with anyio.move_on_after(wait_s):
                await self._drained.wait()

    def has_items(self) -> bool:
        return bool(self._items)

    def take(self) -> Message | bytes:
        """The next message, or the next frame of audio."""
        head = self._items[0]
        if not isinstance(head, bytearray):
            self._items.popleft()
            return head
        limit_ms = FRAME_MS if self._has_sent_audio else FIRST_FRAME_MS
        frame = bytes(head[: limit_ms * self.sample_rate // 1000 * BYTES_PER_SAMPLE])
        del head[: len(frame)]
        if not head:
            self._items.popleft()
        self._has_sent_audio = True
        self._waiting_samples -= len(frame) // BYTES_PER_SAMPLE
        self._playout.take(len(frame) // BYTES_PER_SAMPLE, now_s())
        self._drained.ring()
        return frame


class Outbox:
    """The lanes of one connection."""

    def __init__(self) -> None:
        self._control: deque[Message] = deque()
        self._lanes: dict[str, Lane] = {}  # in the order of their turns
        self._filled = Bell()

    def say(self, message: Message) -> None:
        """Put a message before all others. Raises OutboxFull."""
        if len(self._control) >= CONTROL_LIMIT:
            raise OutboxFull
        self._control.append(message)
        self._filled.ring()

    def open(self, reply_id: str, sample_rate: int) -> Lane:
        """A lane for a reply that has none."""
        assert reply_id not in self._lanes
        lane = self._lanes[reply_id] = Lane(reply_id, sample_rate, self._filled)
        return lane

    def __contains__(self, reply_id: str) -> bool:
        return reply_id in self._lanes

    def __len__(self) -> int:
        """Replies whose `done` was not taken yet."""
        return len(self._lanes)

    async def take(self) -> Item:
        """The next thing to send; its lane ends with `done`. A cancel loses nothing."""
        while True:
            if self._control:
                return None, self._control.popleft()
            for reply_id, lane in self._lanes.items():
                if lane.has_items():
                    return reply_id, self._take_from(reply_id, lane)
            await self._filled.wait()

    def _take_from(self, reply_id: str, lane: Lane) -> Message | bytes:
        item = lane.take()
        del self._lanes[reply_id]
        if not isinstance(item, Done):
            self._lanes[reply_id] = lane  # behind the others
        return item
