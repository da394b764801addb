"""An uploaded file as PCM16 mono at `STREAM_RATE`, decoded piece by piece on the caller's thread.

A file is what it holds: neither its name nor the type that its sender tells is looked at. What is opened is one file in
one of the formats below, read by one of the decoders below; a playlist, which would have others opened, is no audio.

A file that is shorter than its own header says was cut off, and is refused. MP3 and Ogg are made to be cut anywhere and
say nothing of the kind, nor does a recording whose header was written before its end was known; there the sound that
is there counts.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from shared.errors import InvalidAudio, MessageTooLarge
from shared.pcm import BYTES_PER_SAMPLE
from shared.wire.asr import STREAM_RATE

CHUNK_BYTES = BYTES_PER_SAMPLE * STREAM_RATE  # a second: few crossings between threads, and a stop is soon seen

FORMATS = "wav,w64,flac,mp3,aac,ogg,matroska,webm,mov,mp4,m4a"  # a playlist is none of them
CODECS = (
    "aac,alac,flac,mp3,mp3float,opus,libopus,vorbis,libvorbis,adpcm_ima_wav,adpcm_ms,pcm_alaw,pcm_mulaw,pcm_u8,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be"
)
# An empty list of protocols: nothing but the file itself is read, whatever it refers to.
LIMITS = {"format_whitelist": FORMATS, "codec_whitelist": CODECS, "protocol_whitelist": ""}

TELLING_FORMATS = {"wav", "w64", "flac", "matroska", "mov"}  # their headers tell the length; of others it is guessed
CUT_OFF_S = 0.25  # so much less than its header says: more than any encoder's padding
SANE_RATES = range(1_000, 768_001)  # Hz
LONGEST_FRAME_S = 60
WAV_MAGICS = (b"RIFF", b"RF64")
WAV_SLACK_BYTES = 4_096
WAV_UNKNOWN_BYTES = 0x7FFF_0000  # from here on a length stands for "not known yet"


def decoded(file: BinaryIO, limit_s: int, is_stopped: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
    """The sound of `file` in chunks of at most `CHUNK_BYTES` until it ends or is no longer wanted.

    InvalidAudio for what is no audio, damaged, cut off or empty; MessageTooLarge for more than `limit_s` seconds.
    """
    _check_whole_wav(file)
    waiting, heard_bytes = bytearray(), 0
    with _typed_failures(), av.open(file, "r", metadata_errors="replace", container_options=LIMITS) as container:
        if not container.streams.audio:
            raise _refused("The file holds no audio.")
        stream = container.streams.audio[0]
        told_s = _told_s(container, stream)
        _check_length(told_s, limit_s)
        for pcm in _resampled(container, stream):
            if is_stopped():
                return
            waiting += pcm
            heard_bytes += len(pcm)
            _check_length(_seconds(heard_bytes), limit_s)
            while len(waiting) >= CHUNK_BYTES:
                yield bytes(waiting[:CHUNK_BYTES])
                del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)
    if not heard_bytes:
        raise _refused("The file holds no sound.")
    if _seconds(heard_bytes) < told_s - CUT_OFF_S:
        raise _refused("The file is cut off: it is shorter than it says.")


def _resampled(container: InputContainer, stream: AudioStream) -> Iterator[bytes]:
    resampler = av.AudioResampler("s16", "mono", STREAM_RATE)
    for frame in container.decode(stream):
        _check_size(frame)
        for part in resampler.resample(frame):
            yield bytes(part.planes[0])[: part.samples * BYTES_PER_SAMPLE]
    for part in resampler.resample(None):
        yield bytes(part.planes[0])[: part.samples * BYTES_PER_SAMPLE]


def _told_s(container: InputContainer, stream: AudioStream) -> float:
    """The length that the file tells of its sound, seconds; 0 where it tells none that counts."""
    if container.format.name.split(",")[0] not in TELLING_FORMATS:
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # The length of the whole is that of its longest stream; a film may outlast its sound.
    is_alone = len(container.streams) == 1
    return container.duration / av.time_base if container.duration is not None and is_alone else 0.0


def _check_size(frame: AudioFrame) -> None:
    """Resampling a few bytes at a rate of 1 Hz, or at one of billions, would take all memory there is."""
    if frame.sample_rate not in SANE_RATES or frame.samples > LONGEST_FRAME_S * frame.sample_rate:
        raise _refused("The file has a sample rate or a frame of no sensible length.")


def _check_length(length_s: float, limit_s: int) -> None:
    if length_s > limit_s:
        raise MessageTooLarge(f"A file lasts at most {limit_s} seconds here.", service="asr", param="file")


def _check_whole_wav(file: BinaryIO) -> None:
    """A WAV tells its length only here: its decoder takes what there is."""
    header = file.read(8)
    length_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not length_bytes:
        raise _refused("The file is empty.")
    told_bytes = int.from_bytes(header[4:8], "little")
    is_told = header[:4] in WAV_MAGICS and told_bytes < WAV_UNKNOWN_BYTES
    if is_told and told_bytes + 8 > length_bytes + WAV_SLACK_BYTES:
        raise _refused("The file is cut off: it is shorter than it says.")


@contextmanager
def _typed_failures() -> Iterator[None]:
    """Whatever a decoder says of a file is the file's fault, and is told without its words."""
    try:
        yield
    except EOFError as failure:
        raise _refused("The file is cut off.") from failure
    except (av.FFmpegError, ValueError) as failure:  # ValueError: a sound that changes its layout in the middle
        raise _refused("The file is no audio that is understood here, or it is damaged.") from failure


def _seconds(pcm_bytes: int) -> float:
    return pcm_bytes / BYTES_PER_SAMPLE / STREAM_RATE


def _refused(message: str) -> InvalidAudio:
    return InvalidAudio(message, service="asr", param="file")
