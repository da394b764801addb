"""edge-tts's class, which asks nobody: a tone as MP3 for each text, and on demand what a service may do by accident.

A text with `#word` in it is an order: see `stream`.
"""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import anyio
import av
import numpy as np

RATE = 24_000
CHAR_SAMPLES = 1_920
asked: list[dict[str, str]] = []
closed: list[str] = []


class NoAudioReceived(Exception):
    pass


class Communicate:
    def __init__(
        self,
        text: str,
        voice: str = "en-US-EmmaMultilingualNeural",
        *,
        rate: str = "+0%",
        volume: str = "+0%",
        pitch: str = "+0Hz",
        boundary: str = "SentenceBoundary",
        connector: Any = None,
        proxy: str | None = None,
        connect_timeout: int | None = 10,
        receive_timeout: int | None = 60,
    ) -> None:
        self.text = text
        self.speed = 1 + int(rate.removesuffix("%")) / 100
        asked.append({"text": text, "voice": voice, "rate": rate})

    async def stream(self) -> AsyncGenerator[dict[str, Any], None]:
        try:
            async for chunk in self._answer():
                yield chunk
        finally:
            closed.append(self.text)

    async def _answer(self) -> AsyncGenerator[dict[str, Any], None]:
        yield {"type": "SentenceBoundary", "offset": 0.0, "duration": 1.0, "text": self.text}
        match self.text:
            case "#silent":
                await anyio.sleep_forever()
            case "#nothing":
                return
            case "#raise":
                raise NoAudioReceived("a secret text")
            case "#page":
                yield {"type": "audio", "data": b"<html>" * 1_000}
        count = 10_000_000 if self.text == "#endless" else round(len(self.text) / self.speed)
        for number, piece in enumerate(mp3(count)):
            if self.text == "#stalls" and number == 3:
                await anyio.sleep_forever()
            await anyio.lowlevel.checkpoint()
            yield {"type": "audio", "data": piece}


def mp3(chars: int) -> Iterator[bytes]:
    """A tone for so many characters, in pieces of a prime number of bytes."""
    encoder = av.AudioCodecContext.create("libmp3lame", "w")
    encoder.sample_rate, encoder.format, encoder.layout, encoder.bit_rate = RATE, "s16p", "mono", 48_000
    encoder.options = {"reservoir": "0"}
    held = bytearray()
    fifo = av.AudioFifo()
    tone = (16_000 * np.sin(np.arange(CHAR_SAMPLES) * 2 * np.pi / 96)).astype(np.int16)[None]
    for _ in range(chars):
        frame = av.AudioFrame.from_ndarray(tone, format="s16p", layout="mono")
        frame.sample_rate = RATE
        fifo.write(frame)
        while (whole := fifo.read(encoder.frame_size or 576)) is not None:
            held += b"".join(bytes(packet) for packet in encoder.encode(whole))
        while len(held) >= 719:
            yield bytes(held[:719])
            del held[:719]
    held += b"".join(bytes(packet) for packet in encoder.encode(None))
    yield bytes(held)
