"""Sound as files in memory, in the formats that people send."""

import io
import wave

import av
import numpy as np

from tests.support.speech import RATE

# Name of a format → its container and the encoder of its sound, with a rate that the encoder takes.
ENCODERS = {
    "flac": ("flac", "flac", 44_100),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "m4a": ("ipod", "aac", 44_100),
    "mp4": ("mp4", "aac", 48_000),
    "aac": ("adts", "aac", 16_000),
}


def wav(pcm: bytes, rate: int = RATE, channels: int = 1) -> bytes:
    """PCM16 as a WAV."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return target.getvalue()


def encoded(pcm: bytes, name: str, layout: str = "mono") -> bytes:
    """PCM16 mono at `RATE` as a file of one of `ENCODERS`."""
    container, codec, rate = ENCODERS[name]
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2").reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(stream.format, layout, rate)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            output.mux(stream.encode(part))
    return target.getvalue()


def film(seconds: int, sound: str | None) -> bytes:
    """A video of coloured noise as MP4 with `sound`'s codec beside it, a tone of a second, if any."""
    target, random = io.BytesIO(), np.random.default_rng(1)
    with av.open(target, "w", format="mp4") as output:
        video = output.add_stream("mpeg4", rate=5)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if sound:
            audio = output.add_stream(sound, rate=RATE, layout="mono")
            assert isinstance(audio, av.AudioStream)
            samples = (8_000 * np.sin(np.arange(RATE) * 0.1)).astype("<i2").reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            for part in (frame, None):
                output.mux(audio.encode(part))
        for _ in range(5 * seconds):
            picture = random.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode(None))
    return target.getvalue()
