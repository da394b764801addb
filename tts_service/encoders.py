"""The files that speech is sent as: made piece by piece, so that the first bytes leave long before the last are spoken.

An encoder is given PCM16 mono and answers with the bytes that are ready; it never waits for anything. Laws: what it
keeps back is bounded by its format's frames, under a quarter of a second; the bytes are one whole file once it has
finished; a file of a codec has sound in it even when nothing was said, because many a player opens no empty one.
"""

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from tts_service.frames import frame_of

UNKNOWN_LENGTH: Final = 0xFFFFFFFF  # of a WAV whose end nobody knows yet
NOTHING_SAID_MS: Final = 100
ENCODED_AT_ONCE: Final = 4  # threads for heavy encoders and for the packets of streams


class Encoder(Protocol):
    """The maker of one file, used by one thread at a time."""

    def encode(self, pcm: bytes) -> bytes:
        """What is ready of the file, which may be nothing."""
        ...

    def finish(self) -> bytes:
        """The rest of the file; nothing may follow."""
        ...

    def close(self) -> None:
        """Give back what it holds, also in the middle of a file; a second call does nothing."""
        ...


class PlainSound:
    """PCM16 as it is, behind a header or none."""

    def __init__(self, header: bytes = b"") -> None:
        self._header = header

    def encode(self, pcm: bytes) -> bytes:
        header, self._header = self._header, b""
        return header + pcm

    def finish(self) -> bytes:
        return self.encode(b"")

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Coding:
    """A codec and the file that it stands in, by the names that FFmpeg has for them."""

    container: str
    codec: str
    bit_rate: int | None = None
    container_options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)


class CodedSound:
    """A file of a codec. It is opened by the first sound, so that it always has an owner who closes it: PyAV does not
    take it well in every version when a file is left to the garbage collector."""

    def __init__(self, coding: Coding, sample_rate: int) -> None:
        self._coding = coding
        self._rate = sample_rate
        self._sink = _Sink()
        self._container: OutputContainer | None = None
        self._at_samples = 0

    def encode(self, pcm: bytes) -> bytes:
        samples = np.frombuffer(pcm, np.int16)
        if samples.size:
            self._mux(self._container or self._open(), frame_of(samples, self._rate, self._at_samples))
            self._at_samples += samples.size
        return self._sink.take()

    def finish(self) -> bytes:
        made = b"" if self._at_samples else self.encode(bytes(2 * (NOTHING_SAID_MS * self._rate // 1000)))
        assert self._container is not None
        self._mux(self._container, None)
        self._container.close()
        return made + self._sink.take()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()

    def _open(self) -> OutputContainer:
        coding = self._coding
        options = {"flush_packets": "1", **coding.container_options}
        self._container = av.open(self._sink, "w", format=coding.container, container_options=options)
        stream = self._container.add_stream(coding.codec, rate=self._rate, options=dict(coding.codec_options))
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        if coding.bit_rate is not None:
            stream.bit_rate = coding.bit_rate
        self._container.start_encoding()
        return self._container

    def _mux(self, container: OutputContainer, frame: AudioFrame | None) -> None:
        stream = container.streams[0]
        assert isinstance(stream, AudioStream)
        for packet in stream.encode(frame):
            container.mux(packet)


class _Sink(io.RawIOBase):
    """What a container writes to, from its beginning to its end: it cannot go back."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, part: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]  # all it is given
        self._written += part
        return len(part)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


@dataclass(frozen=True, slots=True)
class Format:
    """A form of speech, and how its encoder is made for a rate in Hz.

    A `heavy` encoder takes some milliseconds of a core for a second of speech: an event loop calls it on a thread.
    """

    media_type: str
    encoder: Callable[[int], Encoder]
    is_heavy: bool = False


def wav_header(sample_rate: int) -> bytes:
    """The 44 bytes before PCM16 mono of unknown length."""
    wave = struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate * 2, 2, 16)
    length = struct.pack("<I", UNKNOWN_LENGTH)
    return b"RIFF" + length + b"WAVE" + b"fmt " + struct.pack("<I", len(wave)) + wave + b"data" + length


def _coded(media_type: str, coding: Coding) -> Format:
    return Format(media_type, lambda sample_rate: CodedSound(coding, sample_rate), is_heavy=True)


_MP3: Final = Coding("mp3", "libmp3lame", 64_000, {"write_xing": "0", "id3v2_version": "0"})
_OPUS: Final = Coding(
    "ogg",
    "libopus",
    32_000,
    {"page_duration": "20000"},  # microseconds: a page for each frame, instead of one a second
    {"application": "voip", "compression_level": "5"},
)
_AAC: Final = Coding("adts", "aac", 64_000)
_FLAC: Final = Coding("flac", "flac", container_options={"metadata_header_padding": "0"})

FORMATS: Final[Mapping[str, Format]] = {
    "mp3": _coded("audio/mpeg", _MP3),
    "opus": _coded("audio/ogg", _OPUS),
    "aac": _coded("audio/aac", _AAC),
    "flac": _coded("audio/flac", _FLAC),
    "wav": Format("audio/wav", lambda sample_rate: PlainSound(wav_header(sample_rate))),
    "pcm": Format("audio/pcm", lambda _: PlainSound()),
}
