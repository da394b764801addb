"""MP3 that comes piece by piece, as PCM16 mono as soon as it can be: a frame of it waits for the next one."""

from collections.abc import Iterable
from typing import Any

import av


class NoMp3(Exception):
    """The stream is none."""


class Mp3Stream:
    """Give it every piece, cut anywhere, then finish it."""

    def __init__(self, sample_rate: int) -> None:
        decoder = av.CodecContext.create("mp3float", "r")
        assert isinstance(decoder, av.AudioCodecContext), "it is a codec of sound"
        self._decoder = decoder
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)

    def accept(self, piece: bytes) -> bytes:
        """What can be heard of it already. Raises NoMp3."""
        try:
            return self._decoded(self._decoder.parse(piece))
        except av.FFmpegError:
            raise NoMp3 from None

    def finish(self) -> bytes:
        """What is left. Raises NoMp3."""
        try:
            rest = self._decoded([*self._decoder.parse(b""), None])
            return rest + b"".join(_pcm(frame) for frame in self._resampler.resample(None))
        except (av.FFmpegError, ValueError):  # the latter from a resampler that was given nothing
            raise NoMp3 from None

    def _decoded(self, packets: "Iterable[av.Packet[Any] | None]") -> bytes:
        frames = [frame for packet in packets for frame in self._decoder.decode(packet)]
        return b"".join(_pcm(made) for frame in frames for made in self._resampler.resample(frame))


def _pcm(frame: av.AudioFrame) -> bytes:
    return bytes(frame.to_ndarray().tobytes())
