"""Recordings for tests of voices that people bring, as files in memory and in folders."""

import struct
from pathlib import Path

import numpy as np

from tests.support.speech import RATE, speech
from tests.support.uploads import wav
from tts_service.engines.base import Capabilities, Voice
from tts_service.engines.fake import FakeEngine
from tts_service.recording import RECORDING_RATE, Recording
from tts_service.voice_folder import VoiceFolder

FORM = {"name": "Anna", "language": "en", "transcript": "Tell me a story, tell me a story.", "consent": "true"}


def spoken(seconds: float = 5.0, said: str = "tell_me_a_story") -> bytes:
    """PCM16 at `RATE` of somebody who says one thing again and again."""
    once = speech(said)
    wanted = round(seconds * RATE) * 2
    return (once * (wanted // len(once) + 1))[:wanted]


def floats(pcm: bytes) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Samples of PCM16, full scale being 1."""
    return np.frombuffer(pcm, "<i2") / 32_768


def pcm16(samples: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> bytes:
    """Samples as PCM16; what is over full scale is clipped."""
    clipped: bytes = np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()
    return clipped


def noisy(pcm: bytes, snr_db: float) -> bytes:
    """With white noise."""
    samples = floats(pcm)
    level = np.sqrt((samples**2).mean() / 10 ** (snr_db / 10))
    return pcm16(samples + np.random.default_rng(1).normal(0, level, samples.size))


def voice_wav(seconds: float = 5.0) -> bytes:
    """A file that is a good voice."""
    return wav(spoken(seconds))


def float_wav(samples: "np.ndarray[tuple[int], np.dtype[np.float64]]", rate: int = RATE) -> bytes:
    """Samples as a WAV of 32-bit floats."""
    form = struct.pack("<HHIIHH", 3, 1, rate, rate * 4, 4, 32)
    body = samples.astype("<f4").tobytes()
    rest = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(rest)) + rest


def recording(seconds: float = 4.0, level: int = 1_000) -> Recording:
    """What a file became; another level is another voice."""
    count = round(seconds * RECORDING_RATE)
    return Recording(struct.pack("<h", level) * count)


class Mute(FakeEngine):
    """An engine with voices of its own alone."""

    capabilities = Capabilities(("en",), (Voice("tone", ""),), 1_000, "chunk", can_clone=False)


def everything(folder: Path) -> list[str]:
    """Whatever lies in a folder, at any depth."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class Folder:
    """The operator's folder, and what is read from it."""

    def __init__(self, top: Path) -> None:
        self.path = top / "voices"
        self.path.mkdir()
        self.made = top / "made"

    def put(self, name: str, content: bytes | None = None) -> Path:
        path = self.path / name
        path.write_bytes(voice_wav() if content is None else content)
        return path

    async def load(self, limit: int = 10) -> VoiceFolder:
        voices = VoiceFolder(self.path, self.made, limit)
        await voices.load()
        return voices

    async def ids(self, limit: int = 10) -> list[str]:
        return [voice.id for voice in (await self.load(limit)).all()]
