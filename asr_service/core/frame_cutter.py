"""Frame cutter: turns chunks of any length into frames of one length.

It decides nothing about sound: bytes go in as a sender happened to deliver them, whole frames come out, and what is
left waits for the next chunk. It never pads, drops or reorders a byte.

Laws: the frames do not depend on how the bytes were cut into chunks; the frames followed by the rest are the bytes
that came in; the rest is shorter than a frame.
"""


class FrameCutter:
    """Re-chunks one stream; one instance a stream."""

    __slots__ = ("_frame_bytes", "_rest")

    def __init__(self, frame_bytes: int) -> None:
        """`frame_bytes` is the length of each frame; ValueError if it is not above 0."""
        if frame_bytes <= 0:
            raise ValueError(f"frame_bytes must be above 0, not {frame_bytes}")
        self._frame_bytes = frame_bytes
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """Bytes that wait for the rest of their frame; an odd number of them is fine."""
        return self._rest

    def add(self, pcm: bytes) -> list[bytes]:
        """Take a chunk of any length, also an odd or empty one; return the frames it completes, oldest first."""
        whole = self._rest + pcm
        end = len(whole) - len(whole) % self._frame_bytes
        self._rest = whole[end:]
        return [whole[start : start + self._frame_bytes] for start in range(0, end, self._frame_bytes)]
