"""A file of sound that a stranger sent, opened and decoded piece by piece on the caller's thread.

A file is what it holds; neither its name nor the type that its sender tells is looked at. What is opened is this one
file, in one of `FORMATS`, by one of `CODECS`: FFmpeg asks for its own list of codecs only while it looks a file over,
so the decoder is compared with the list before it decodes anything. A playlist, which would have other files opened, is
no sound.

A file that is shorter than its own header says was cut off. MP3, AAC and Ogg are made to be cut anywhere and say
nothing of the kind, nor does a recording whose header was written before its end was known; there the sound counts.

Laws: whatever is wrong with a file is InvalidAudio with a sentence that holds nothing of a decoder's; what it costs is
bounded by how long it sounds, and by `longest_s` of time where that is told.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from shared.clock import thread_now_s
from shared.errors import InvalidAudio

FORMATS: Final = "wav,w64,aiff,flac,mp3,aac,ogg,matroska,webm,mov,mp4,m4a"  # a playlist is none of them
CODECS: Final = (
    "aac,alac,flac,mp3,mp3float,opus,libopus,vorbis,libvorbis,adpcm_ima_wav,adpcm_ms,pcm_alaw,pcm_mulaw,pcm_u8,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be"
)
# An empty list of protocols: nothing but the file itself is read, whatever it refers to.
LIMITS: Final = {"format_whitelist": FORMATS, "codec_whitelist": CODECS, "protocol_whitelist": ""}

UNSURE: Final = {"mp3", "aac", "ogg"}  # their length is guessed from their first part
CUT_OFF_S: Final = 0.25  # so much less than is told: more than any encoder's padding
MOST_PACKETS_A_SECOND: Final = 1_000  # Opus has 400 at most, FLAC in its usual blocks at 192 kHz a thousand
EARLY_PACKETS: Final = 1_000  # before their sound counts
WAV_MAGICS: Final = (b"RIFF", b"RF64")
WAV_SLACK_BYTES: Final = 8_192
WAV_UNKNOWN_BYTES: Final = 0x7FFF_0000  # from here on a length stands for "not known yet"


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound in an open file; `told_s` is its length by its header, 0 where that tells none that counts."""

    service: str
    container: InputContainer
    stream: AudioStream
    told_s: float

    @property
    def sample_rate(self) -> int:
        """By its header."""
        return self.stream.codec_context.sample_rate

    def pieces(self) -> Iterator[AudioFrame]:
        """What is decoded, in order. Raises InvalidAudio for more packets than so much sound has, and for a cut."""
        heard_s = 0.0
        for packets, packet in enumerate(self.container.demux(self.stream)):
            if packets > EARLY_PACKETS + heard_s * MOST_PACKETS_A_SECOND:
                raise refused("The file is in too many small parts; send it as a plain WAV or FLAC.", self.service)
            for piece in packet.decode():
                yield piece
                heard_s += piece.samples / max(1, piece.sample_rate)
        if not heard_s:
            raise refused("The file holds no sound.", self.service)
        if heard_s < self.told_s - CUT_OFF_S:
            raise _cut_off(self.service)


@contextmanager
def opened(file: BinaryIO, service: str, longest_s: float = math.inf) -> Iterator[Sound]:
    """The sound of a file, for `longest_s` at most: then its next read is refused.

    Raises InvalidAudio, also for what a decoder says within the block.
    """
    _check_whole_wav(file, service)
    with (
        _typed_failures(service),
        av.open(
            _Timed(file, service, longest_s), "r", metadata_errors="replace", container_options=LIMITS
        ) as container,
    ):
        if not container.streams.audio:
            raise refused("The file holds no sound.", service)
        stream = container.streams.audio[0]
        coding = cast(AudioCodecContext | None, stream.codec_context)  # None where nobody knows the coding
        if coding is None or coding.name not in CODECS.split(","):
            raise refused(
                "The file is coded in a way that is not understood here; send WAV, FLAC, MP3, Ogg or M4A.", service
            )
        yield Sound(service, container, stream, _told_s(container, stream))


def refused(message: str, service: str) -> InvalidAudio:
    """The error that is about a file."""
    return InvalidAudio(message, service=service, param="file")


class _Timed:
    """A file that is read until its time is over: a decoder skips what it does not want without asking anybody."""

    def __init__(self, file: BinaryIO, service: str, longest_s: float) -> None:
        self.seek = file.seek
        self.tell = file.tell
        self._read = file.read
        self._service = service
        self._until_s = thread_now_s() + longest_s

    def read(self, count: int) -> bytes:
        if thread_now_s() > self._until_s:
            raise refused("The file takes too long to read; send it as a plain WAV or FLAC.", self._service)
        return self._read(count)


def _told_s(container: InputContainer, stream: AudioStream) -> float:
    if container.format.name.split(",")[0] in UNSURE:
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # The length of the whole is that of its longest stream; a film may outlast its sound.
    is_alone = len(container.streams) == 1
    return container.duration / av.time_base if container.duration is not None and is_alone else 0.0


def _check_whole_wav(file: BinaryIO, service: str) -> None:
    """A WAV tells its length only here: its decoder takes what there is."""
    head = file.read(8)
    length_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not length_bytes:
        raise refused("The file is empty.", service)
    told_bytes = int.from_bytes(head[4:], "little")
    is_told = head[:4] in WAV_MAGICS and told_bytes < WAV_UNKNOWN_BYTES
    if is_told and told_bytes > length_bytes + WAV_SLACK_BYTES:
        raise _cut_off(service)


def _cut_off(service: str) -> InvalidAudio:
    return refused("The file is cut off: it holds less than it says; send it again.", service)


@contextmanager
def _typed_failures(service: str) -> Iterator[None]:
    """Whatever a decoder says of a file is the file's fault, and is told without its words."""
    try:
        yield
    except (av.FFmpegError, EOFError, ValueError) as failure:  # ValueError: channels that change in the middle
        raise refused(
            "The file is no sound that is understood here, or it is damaged; send WAV, FLAC, MP3, Ogg or M4A.", service
        ) from failure
