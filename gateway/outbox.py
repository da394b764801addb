"""What waits to be sent to one client, in two lanes: messages overtake audio, and audio waits for a slow reader.

Bounds: a full message lane is a client that does not read: `overrun` is set, and the session ends; a full audio lane
makes its producer wait. Audio of a reply is dropped, or kept back, in one step: no frame of it can follow what is
posted after that.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from shared.wire.codec import Message
from shared.wire.native import SegmentStarted, Token

MESSAGES_LIMIT = 512
MEDIA_LIMIT = 16


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """PCM16 of a reply, at the rate that the client asked for."""

    reply_id: str
    pcm: bytes


Media = AudioFrame | SegmentStarted


class Outbox:
    """Two bounded lanes with one reader."""

    def __init__(self, accepts: Callable[[str], bool]) -> None:
        self._accepts = accepts
        self._messages: deque[Message] = deque()
        self._media: deque[Media] = deque()
        self._kept_back = ""
        self._news = anyio.Event()
        self._room = anyio.Event()
        self.overrun = anyio.Event()

    @property
    def waits_to_tell(self) -> bool:
        """Whether messages wait."""
        return bool(self._messages)

    def post(self, message: Message) -> None:
        """Queue a message; tokens side by side become one. A full lane drops it and sets `overrun`."""
        last = self._messages[-1] if self._messages else None
        if isinstance(message, Token) and isinstance(last, Token) and last.reply_id == message.reply_id:
            self._messages[-1] = last.model_copy(update={"text": last.text + message.text})
        elif len(self._messages) >= MESSAGES_LIMIT:
            self.overrun.set()
        else:
            self._messages.append(message)
        self._news.set()

    async def put(self, media: Media) -> None:
        """Queue audio (or the segment it belongs to) when there is room. A cancel while waiting loses this piece."""
        while len(self._media) >= MEDIA_LIMIT:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()
        self._media.append(media)
        self._news.set()

    def drop(self, reply_id: str) -> int:
        """Forget the audio of a reply that waits here; how many pieces that were."""
        kept = [media for media in self._media if media.reply_id != reply_id]
        dropped = len(self._media) - len(kept)
        self._media = deque(kept)
        self._room.set()
        return dropped

    def keep_back(self, reply_id: str) -> None:
        """Let no audio of this reply out until `let_out`; it stays where it is, in its order."""
        self._kept_back = reply_id

    def let_out(self) -> None:
        """Audio leaves again."""
        self._kept_back = ""
        self._news.set()

    async def take(self) -> Message | AudioFrame:
        """The next thing to send: messages first. Audio that is no longer accepted is passed over."""
        while True:
            if self._messages:
                return self._messages.popleft()
            while self._media and self._media[0].reply_id != self._kept_back:
                media = self._media.popleft()
                self._room.set()
                if self._accepts(media.reply_id):
                    return media
            self._news = anyio.Event()
            await self._news.wait()
