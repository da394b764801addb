"""The frames that went to one client, kept for when it comes back and has missed some of them.

Messages are known by their `seq`; binary audio has none, so a client tells how many bytes of it came after its last
message. Never looks into a frame.

Laws (tests/core/test_gateway_replay.py): whatever was cut off, what a client got before and what it is sent from its
place on are together every frame, once and in order; what is kept never grows beyond its bounds; a place that is not
kept any more is told as such, and none is made up.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

MOST_FRAMES: Final = 4_096
MOST_BYTES: Final = 4 * 1024 * 1024  # more than a minute of 24 kHz audio

Frame = str | bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client goes on: at this frame, and behind so many bytes of it."""

    at: int = 0
    skip_bytes: int = 0


class Replay:
    """The newest frames. A frame's number counts from the first one that was ever sent."""

    def __init__(self, most_frames: int = MOST_FRAMES, most_bytes: int = MOST_BYTES) -> None:
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._frames: deque[tuple[int, Frame]] = deque()  # each with its seq, or 0 for binary audio
        self._bytes = 0
        self._first = 0

    @property
    def end(self) -> int:
        """The number of the next frame."""
        return self._first + len(self._frames)

    @property
    def frames(self) -> list[tuple[int, Frame]]:
        """All that are kept, each with its seq."""
        return list(self._frames)

    def add(self, frame: Frame, seq: int = 0) -> None:
        """A frame that is sent now."""
        self._frames.append((seq, frame))
        self._bytes += len(frame)
        while len(self._frames) > self._most_frames or (self._bytes > self._most_bytes and len(self._frames) > 1):
            self._bytes -= len(self._frames.popleft()[1])
            self._first += 1

    def frame(self, place: Place) -> Frame | None:
        """The frame there, or the rest of it; None when it is not sent yet."""
        if place.at >= self.end:
            return None
        frame = self._frames[place.at - self._first][1]
        return frame[place.skip_bytes :] if place.skip_bytes else frame

    def place_after(self, last_seq: int, audio_bytes: int) -> Place | None:
        """Where a client goes on that has all messages up to `last_seq`, and so much audio that came after that one.

        None when that is not known (any more): what it missed cannot be told.
        """
        at = self._after(last_seq)
        if at is None:
            return None
        for seq, frame in list(self._frames)[at - self._first :]:
            if seq or len(frame) > audio_bytes:
                return Place(at, 0 if seq else audio_bytes)
            audio_bytes -= len(frame)
            at += 1
        return Place(at)

    def _after(self, last_seq: int) -> int | None:
        """The number of the frame behind that message."""
        if last_seq == 0:
            is_whole = self._first == 0 and (not self._frames or self._frames[0][0] == 1)
            return 0 if is_whole else None
        for index, (seq, _) in enumerate(self._frames):
            if seq == last_seq:
                return self._first + index + 1
        return None
