"""Sound to be encoded, and what comes out of a decoder: how long it is, how loud, how high."""

import io

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame

Floats = npt.NDArray[np.float64]


def humming(duration_ms: int, sample_rate: int, pitch_hz: int = 200) -> bytes:
    """PCM16 of a steady pitch that swells and fades three times a second."""
    seconds = np.arange(duration_ms * sample_rate // 1000) / sample_rate
    loud = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * seconds)
    return (9_000 * loud * np.sin(2 * np.pi * pitch_hz * seconds)).astype(np.int16).tobytes()


def samples_in(pcm: bytes) -> Floats:
    return np.frombuffer(pcm, np.int16).astype(np.float64) / 32_768


def decoded(file: bytes, form: str | None = None) -> tuple[Floats, int]:
    """Samples from -1 to 1 and their rate, as a player would have them."""
    with av.open(io.BytesIO(file), "r", format=form) as container:
        frames = list(container.decode(audio=0))
    return np.concatenate([_mono(frame) for frame in frames]), frames[0].sample_rate


def unpacked(packets: list[bytes]) -> tuple[Floats, int]:
    """Samples and their rate, of raw Opus packets."""
    decoder = av.CodecContext.create("libopus", "r")
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))]
    return np.concatenate([_mono(frame) for frame in frames]), frames[0].sample_rate


def _mono(frame: AudioFrame) -> Floats:
    floats = av.AudioResampler("fltp", frame.layout).resample(frame)[0]
    mono: Floats = floats.to_ndarray().astype(np.float64).mean(axis=0)
    return mono


def loudness_db(samples: Floats) -> float:
    """Of full scale."""
    return float(10 * np.log10(np.mean(samples**2) + 1e-12))


def pitch_hz(samples: Floats, sample_rate: int) -> float:
    """The strongest one."""
    strength = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(strength)) * sample_rate / samples.size
