"""Piper: small voices for some forty languages, each a file of its own, made on a CPU sentence by sentence.

It is GPL, so it lives in a child process alone (hosted.py), under the service's Python or another. A voice is read when
it is first asked for, and the few that were used last are kept. Voices may have different rates; all of them are given
at that of the first. Nothing is fetched: a voice that would fetch a dictionary needs it beside its file.
"""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.errors import EngineFailed
from shared.threads import StopToken
from tts_service.engines.adapters import existing, interpreter, pcm
from tts_service.engines.base import Capabilities, ClonesNothing, ClosesNothing, SynthesisRequest, Voice
from tts_service.engines.recent import Recent

if TYPE_CHECKING:
    from tts_service.engines.hosted import HostedEngine
    from tts_service.settings import TtsSettings

NAME: Final = "piper"
MAX_CHARS: Final = 500
VOICES_HELD: Final = 4  # some 60 MB each
MOST_VOICES: Final = 1_000  # speakers counted one by one
DICTIONARIES: Final = {"pinyin": "g2pW/g2pw.onnx"}  # by the kind of a voice's phonemes: what it would fetch
ESPEAK: Final = "espeak"  # the kind of phonemes whose reader says numbers
SUFFIX: Final = ".onnx"
WARM_UP: Final = "1."


def load(settings: "TtsSettings") -> "HostedEngine":
    """The engine, not started. Raises EngineFailed when no voice is named."""
    from tts_service.engines.hosted import HostedEngine

    voices = existing(settings.piper_voices, "TTS_PIPER_VOICES", "a Piper voice, or a folder of them")
    return HostedEngine(NAME, interpreter(settings), __name__, {"voices": str(voices)})


def open(options: Mapping[str, str]) -> "PiperEngine":  # noqa: A001 (the name that every adapter has)
    """Runs in the child."""
    return PiperEngine(Path(options["voices"]))


@dataclass(frozen=True, slots=True)
class VoiceFile:
    """A voice as its file tells of it; `speakers` maps the names of those in it to their numbers."""

    path: Path
    language: str
    sample_rate: int
    speakers: Mapping[str, int]
    reads_numbers: bool

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(SUFFIX)


class PiperEngine(ClosesNothing):
    """The voices in one place."""

    name = NAME

    def __init__(self, place: Path) -> None:
        self._place = place
        self._files: dict[str, VoiceFile] = {}
        self.sample_rate = 0
        self.capabilities = Capabilities((), (), MAX_CHARS, "sentence")

    def start(self) -> None:
        """Raises EngineFailed when there is no voice, or the first one cannot speak."""
        paths = sorted(self._place.glob(f"*{SUFFIX}")) if self._place.is_dir() else [self._place]
        files = [described(path) for path in paths]
        if not files:
            raise EngineFailed("The folder of TTS_PIPER_VOICES holds no Piper voice.", service="tts")
        self._files = {file.name: file for file in files}
        self.sample_rate = files[0].sample_rate
        listed = [voice for file in files for voice in _listed(file)][:MOST_VOICES]
        self.capabilities = Capabilities(
            languages=tuple(dict.fromkeys(file.language.partition("-")[0] for file in files)),
            voices=tuple(listed),
            max_chars=MAX_CHARS,
            streaming="sentence",
            reads_numbers=all(file.reads_numbers for file in files),
        )

    def has_voice(self, name: str) -> bool:
        return any(voice.name == name for voice in self.capabilities.voices)

    def open_slot(self) -> "PiperSlot":
        slot = PiperSlot(self._files, self.sample_rate)
        slot.warm_up()
        return slot


class PiperSlot(ClonesNothing):
    """Makes one request at a time."""

    def __init__(self, files: Mapping[str, VoiceFile], sample_rate: int) -> None:
        try:
            self._library = import_module("piper")
        except ImportError:
            raise EngineFailed("The package piper-tts is not there.", service="tts") from None
        self._files = files
        self._sample_rate = sample_rate
        self._loaded: Recent[str, Any] = Recent(VOICES_HELD)

    def warm_up(self) -> None:
        """Speak a word with the first voice. Raises EngineFailed."""
        try:
            for _ in self.synthesise(SynthesisRequest(WARM_UP, ""), StopToken()):
                pass
        except ImportError as missing:  # what reads the text of some languages is in packages of its own
            what = missing.name or "something"
            raise EngineFailed(f"This voice of Piper needs {what}, which is not there.", service="tts") from None

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """A block for each sentence; a stop comes after the one that is being made."""
        if stop.is_stopped():
            return
        name, _, speaker = (request.voice or "").partition("+")
        file = self._files.get(name) or self._of_language(request.language)
        voice = self._voice(file)
        config = self._library.SynthesisConfig(
            speaker_id=file.speakers.get(speaker), length_scale=voice.config.length_scale / request.speed
        )
        for sentence in voice.synthesize(plain(request.text), config):
            if stop.is_stopped():
                return
            if len(sentence.audio_float_array):
                yield self._at_rate(sentence, file.sample_rate)

    def close(self) -> None:
        """The voices go with the process."""

    def _of_language(self, language: str) -> VoiceFile:
        """The first voice of a language, else the first of all."""
        wanted = language.lower().replace("_", "-")
        files = list(self._files.values())
        same = [file for file in files if file.language == wanted]
        akin = [file for file in files if file.language.partition("-")[0] == wanted.partition("-")[0]]
        return (same or akin or files)[0]

    def _voice(self, file: VoiceFile) -> Any:
        voice = self._loaded.get(file.name)
        if voice is None:
            voice = self._library.PiperVoice.load(file.path, download_dir=file.path.parent)
            kind = str(getattr(voice.config.phoneme_type, "value", voice.config.phoneme_type))
            needs = DICTIONARIES.get(kind)
            if needs and not (file.path.parent / needs).is_file():
                raise EngineFailed(f"This voice of Piper needs {needs} beside its file.", service="tts")
            self._loaded.put(file.name, voice)
        return voice

    def _at_rate(self, sentence: Any, rate: int) -> bytes:
        if rate == self._sample_rate:
            return bytes(sentence.audio_int16_bytes)
        import soxr

        return pcm(soxr.resample(sentence.audio_float_array, rate, self._sample_rate))


def described(path: Path) -> VoiceFile:
    """A voice, from the description beside its file. Raises EngineFailed."""
    description = path.with_name(f"{path.name}.json")
    if not path.is_file() or not description.is_file():
        raise EngineFailed(f"A Piper voice is a file {SUFFIX} and another {SUFFIX}.json beside it.", service="tts")
    try:
        fields = json.loads(description.read_text(encoding="utf-8"))
        code = (fields.get("language") or {}).get("code") or fields["espeak"]["voice"]
        speakers = dict(fields.get("speaker_id_map") or {}) if fields.get("num_speakers", 1) > 1 else {}
        by_espeak = fields.get("phoneme_type", ESPEAK) == ESPEAK
        return VoiceFile(path, code.lower().replace("_", "-"), int(fields["audio"]["sample_rate"]), speakers, by_espeak)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EngineFailed(f"{description.name} describes no Piper voice.", service="tts") from None


def plain(text: str) -> str:
    """The text without `[[…]]`, which Piper would read as phonemes."""
    return text.replace("[[", "[ [").replace("]]", "] ]")


def _listed(file: VoiceFile) -> list[Voice]:
    """The voice itself, which speaks as its first speaker, then each of them if there are several."""
    names = [file.name, *(f"{file.name}+{speaker}" for speaker in file.speakers)]
    return [Voice(name, file.language) for name in names]
