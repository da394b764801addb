"""Every voice that a client may name: the engine's, the operator's folder, and those that people brought.

It finds out whose a name is, and never opens what a client names: a path stands for the file of that name in the
operator's folder, as it was read at the start.

Laws: no voice that is brought may be called what any other is called, in whichever way it is written; and where that
came about all the same, because the operator brought a voice later or took another engine, theirs is meant.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from shared.errors import InternalError, InvalidMessage, ParleyError, Unsupported
from tts_service.core.voice_labels import claim, file_name_in
from tts_service.engines.base import Engine, Reference
from tts_service.own_voices import OwnVoice, OwnVoices, name_taken
from tts_service.recording import Recording
from tts_service.settings import TtsSettings
from tts_service.speaker_copies import SpeakerCopies
from tts_service.speakers import Speakers
from tts_service.voice_folder import FolderVoice, VoiceFolder
from tts_service.voice_form import Wanted

MADE: Final = ".made"  # within the folder of voices: recordings made of the operator's files

log = logging.getLogger(__name__)

Forget = Callable[[str], Awaitable[None]]  # all that was made of the recording of a revision
Kind = Literal["engine", "own", "folder"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Who speaks: a voice of the engine, or a reference."""

    voice: str | None = None
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class KnownVoice:
    """A voice as it is listed; `own` is what else is known of one that somebody brought.

    `file_name` is that of the operator's; it is found by that too.
    """

    id: str
    name: str
    language: str
    kind: Kind
    gender: str = ""
    reference: Reference | None = None
    own: OwnVoice | None = None
    file_name: str = ""


class KnownVoices:
    """The voices of one service; what was prepared of them goes when they go."""

    def __init__(self, settings: TtsSettings, engine: Engine) -> None:
        voices_dir = settings.voices_dir.absolute()  # an engine may live in a process with another working folder
        self.own = OwnVoices(voices_dir, settings.max_voices)
        self.folder = VoiceFolder(settings.seed_voices_dir, voices_dir / MADE, settings.max_voices)
        self.speakers = Speakers(SpeakerCopies(settings.speakers_dir, engine), settings.speaker_cache)
        self._engine = engine
        self._default, self._default_setting = settings.default_voice, "TTS_DEFAULT_VOICE"
        self._max_voices = settings.max_voices
        self._left: OrderedDict[str, str] = OrderedDict()  # id → revision, of deleted voices that left something behind
        self.is_loaded = False

    async def load(self) -> None:
        """Read the folders. What they do not hold any more leaves no copies behind."""
        await self.own.load()
        await self.folder.load()
        await self.speakers.keep_only(one.reference.revision for one in self.brought() if one.reference)
        self.is_loaded = True

    @property
    def can_clone(self) -> bool:
        return self._engine.capabilities.can_clone

    @property
    def may_be_brought(self) -> bool:
        """Whether anything is done with a recording."""
        return self.can_clone

    def all(self) -> Iterator[KnownVoice]:
        """The engine's, the operator's and those that people brought."""
        yield from self.of_engine()
        yield from self.brought()

    def of_engine(self) -> Iterator[KnownVoice]:
        """Those that the engine lists."""
        for voice in self._engine.capabilities.voices:
            yield KnownVoice(voice.name, voice.label or voice.name, voice.language, "engine")

    def brought(self) -> Iterator[KnownVoice]:
        """Those of recordings."""
        yield from map(_of_folder, self.folder.all())
        yield from map(self._of_own, self.own.all())

    def find(self, voice_id: str) -> KnownVoice | None:
        """The voice with an id."""
        return next((voice for voice in self.all() if voice.id == voice_id), None)

    def resolve(self, word: str, language: str = "") -> Chosen:
        """Who is meant by an id, a name or the path of a file in the operator's folder.

        Raises InvalidMessage when nobody is, Unsupported when the engine cannot speak like a recording.
        """
        if ".." in word.replace("\\", "/").split("/"):
            raise _nobody(word)
        of_operator = self._of_operator(word, language)
        if self._engine.has_voice(word) and (of_operator is None or not self.can_clone):
            return Chosen(voice=word)
        own = self.own.find(word)
        brought = of_operator or (self.own.reference(own) if own else None)
        if brought is None:
            raise _nobody(word)
        if not self.can_clone:
            raise Unsupported(
                f"The engine {self._engine.name} has no voices but its own, and {word!r} is a recording.",
                service="tts",
                param="voice",
            )
        return Chosen(reference=brought)

    def check_may_bring(self) -> None:
        """Raises Unsupported when no engine would speak like a recording."""
        if not self.may_be_brought:
            raise Unsupported(
                f"The engine {self._engine.name} has no voices but its own, so a recording cannot be one.",
                service="tts",
                param="file",
            )

    def check_new(self, name: str) -> None:
        """Raises InvalidMessage when the name is taken, Overloaded when there are too many voices."""
        if claim(name) in {claim(word) for word in self.words()}:
            raise name_taken(name)
        self.own.check_room(name)

    def words(self) -> Iterator[str]:
        """Whatever a voice is called."""
        for voice in self.all():
            yield from filter(None, (voice.id, voice.name, voice.file_name))

    async def add(self, wanted: Wanted, recording: Recording) -> KnownVoice:
        """Keep a new voice. Raises as `check_new`, and InternalError."""
        self.check_new(wanted.name)
        voice = await self.own.add(wanted, recording)
        log.info("a voice was added", extra={"voice_id": voice.id, "audio_ms": voice.duration_ms})
        return self._of_own(voice)

    async def delete(self, voice_id: str) -> None:
        """Take a voice that somebody brought away, and all that was made of it but for what another one shares.

        Raises NotFound; Unsupported for what belongs to the engine or the operator, and for a default voice;
        InternalError. Where the disk keeps something of a voice that is gone, the next try takes that away.
        """
        if voice_id not in self._left:
            self.check_may_go(voice_id)
            gone = await self.own.delete(voice_id)
            self._left[gone.id] = gone.revision
            if len(self._left) > self._max_voices:
                self._left.popitem(last=False)  # the next start takes it away
            log.info("a voice was deleted", extra={"voice_id": gone.id})
        if not await self._is_forgotten(self._left[voice_id]):
            raise InternalError(
                "The voice is gone, but not all that was made of it; delete it once more.", service="tts"
            )
        self._left.pop(voice_id, None)

    def check_may_go(self, voice_id: str) -> None:
        """Raises Unsupported for a voice that nobody uploaded, and for one that speaks where none is asked for."""
        voice = self.find(voice_id)
        if voice is not None and voice.kind != "own":
            raise Unsupported("Only voices that were uploaded can be deleted.", service="tts", param="voice_id")
        if voice is not None and self._default is not None and self._means(self._default, voice):
            raise Unsupported(
                f"{self._default_setting} names this voice; change it first.", service="tts", param="voice_id"
            )

    def forgetters(self) -> list[Forget]:
        """Those who keep something that was made of a recording."""
        return [self.speakers.forget]

    async def _is_forgotten(self, revision: str) -> bool:
        """Whether nothing is left that was made of a recording, once all who keep such things were asked."""
        is_forgotten = True
        for forget in self.forgetters():
            if any(voice.reference and voice.reference.revision == revision for voice in self.brought()):
                return True  # one recording with one transcript has one revision, whatever it is called
            try:
                await forget(revision)
            except (OSError, ParleyError) as failure:
                log.warning("something that was made of a voice is kept", extra={"kind": type(failure).__name__})
                is_forgotten = False
        return is_forgotten

    def _means(self, word: str, voice: KnownVoice) -> bool:
        is_another = self._engine.has_voice(word) or self._of_operator(word, "") is not None
        own = self.own.find(word)
        return own is not None and own == voice.own and not is_another

    def _of_operator(self, word: str, language: str) -> Reference | None:
        file_name = file_name_in(word)
        of_folder = self.folder.find(word, language) or (self.folder.file(file_name) if file_name else None)
        return of_folder.reference if of_folder else None

    def _of_own(self, voice: OwnVoice) -> KnownVoice:
        reference = self.own.reference(voice)
        return KnownVoice(voice.id, voice.name, voice.language, "own", reference=reference, own=voice)


def _of_folder(voice: FolderVoice) -> KnownVoice:
    return KnownVoice(
        voice.id, voice.name, voice.language, "folder", voice.gender, voice.reference, file_name=voice.file_name
    )


def _nobody(word: str) -> InvalidMessage:
    return InvalidMessage(f"There is no voice called {word!r}.", service="tts", param="voice")
