"""The audio of one reply as raw Opus packets, as a browser's decoder takes them.

The encoder goes through a reply without a break: a packet may begin in one segment and end in the next. Laws: a packet
holds `PACKET_MS`, however the audio was cut; decoded, the packets are as long as the audio, or longer by less than two
packets: the encoder's look-ahead of 6.5 ms in front, and silence that fills the last one.
"""

from typing import Final

import av
import numpy as np

from tts_service.frames import Cutter, Samples, frame_of

PACKET_MS: Final = 20
PACKET_RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)  # what Opus knows
BIT_RATE: Final = 24_000
OPTIONS: Final = {"application": "voip", "compression_level": "5", "frame_duration": str(PACKET_MS)}


class OpusPackets:
    """Some 6 ms of a core for a second of speech, and no waiting: an owner with an event loop calls it on a thread."""

    def __init__(self, sample_rate: int) -> None:
        assert sample_rate in PACKET_RATES
        self._rate = sample_rate
        self._cutter = Cutter(PACKET_MS * sample_rate // 1000)
        self._at_samples = 0
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate, self._codec.layout, self._codec.format = sample_rate, "mono", "s16"
        self._codec.bit_rate = BIT_RATE
        self._codec.options = dict(OPTIONS)

    def encode(self, pcm: bytes) -> list[bytes]:
        """The packets that are full now."""
        frames = self._cutter.accept(np.frombuffer(pcm, np.int16))
        return [packet for frame in frames for packet in self._packets(frame)]

    def finish(self) -> list[bytes]:
        """The last packets; none when there was no audio."""
        rest = self._cutter.finish()
        if not rest.size and not self._at_samples:
            return []
        packets = self._packets(rest) if rest.size else []
        return packets + [bytes(packet) for packet in self._codec.encode(None)]

    def _packets(self, samples: Samples) -> list[bytes]:
        frame = frame_of(samples, self._rate, self._at_samples)
        self._at_samples += samples.size
        return [bytes(packet) for packet in self._codec.encode(frame)]
