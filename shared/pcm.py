"""PCM16 little-endian mono: the arithmetic between bytes, samples and milliseconds, and the checks at a border."""

import base64
import binascii

from shared.errors import InvalidAudio

BYTES_PER_SAMPLE = 2
MIN_SAMPLE_RATE = 8_000
MAX_SAMPLE_RATE = 48_000


def samples_of(pcm: bytes) -> int:
    """How many samples `pcm` holds; an odd byte at the end does not count."""
    return len(pcm) // BYTES_PER_SAMPLE


def ms_of(samples: int, sample_rate: int) -> int:
    """Milliseconds of `samples`, rounded down."""
    return samples * 1000 // sample_rate


def checked(pcm: bytes) -> bytes:
    """`pcm` as it came, or InvalidAudio when a sample was cut in half."""
    if len(pcm) % BYTES_PER_SAMPLE:
        raise InvalidAudio(f"PCM16 has two bytes a sample; {len(pcm)} bytes is an odd number.")
    return pcm


def from_base64(text: str) -> bytes:
    """The PCM16 inside a base64 text, or InvalidAudio."""
    try:
        return checked(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise InvalidAudio("The field `audio` is not base64.") from None
