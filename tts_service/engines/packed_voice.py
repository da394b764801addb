"""A recording and what is said in it as one: what an engine prepares that needs both each time it speaks."""

import io
import struct
import wave
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LENGTH: Final = struct.Struct("<I")


def packed(recording: bytes, transcript: str) -> bytes:
    """Both as one, for the speakers that are kept."""
    text = transcript.encode()
    return _LENGTH.pack(len(text)) + text + recording


def unpacked(prepared: bytes) -> tuple[bytes, str]:
    """What `packed` put together."""
    (length,) = _LENGTH.unpack_from(prepared)
    start = _LENGTH.size + length
    return prepared[start:], prepared[_LENGTH.size : start].decode()


def as_floats(recording: bytes) -> "tuple[npt.NDArray[np.float32], int]":
    """The samples of a WAV, PCM16 mono, from -1 to 1, and its rate. Raises wave.Error, EOFError."""
    import numpy as np

    with wave.open(io.BytesIO(recording)) as file:
        rate = file.getframerate()
        pcm = file.readframes(file.getnframes())
    return np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32_768), rate
