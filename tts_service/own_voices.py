"""The voices that people brought: each a folder with a recording and what is known of it, there whole or not at all.

Names are unique whatever the language, upper or lower case, because a name is all that a client needs to say. The
folder belongs to one service; what a crash left half done in it is swept away as the service starts.
"""

import hashlib
import io
import logging
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import threads
from shared.clock import today
from shared.errors import InternalError, InvalidMessage, NotFound, Overloaded
from shared.ids import new_id
from shared.pcm import BYTES_PER_SAMPLE
from tts_service import durable
from tts_service.core.voice_labels import claim, key
from tts_service.engines.base import Reference
from tts_service.recording import RECORDING_RATE, Recording
from tts_service.voice_form import Wanted

KIND: Final = "voi"
RECORDING: Final = "recording.wav"
LABELS: Final = "voice.json"
LABELS_LIMIT_BYTES: Final = 16 * 1024
log = logging.getLogger(__name__)


class OwnVoice(BaseModel):
    """What is known of a voice; `revision` changes with the recording and with its transcript."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    id: str = Field(pattern=r"^voi_[0-9a-f]{16}$")
    name: str = Field(min_length=1, max_length=64)
    language: str
    transcript: str = Field(repr=False)
    revision: str = Field(pattern="^[0-9a-f]{64}$")
    duration_ms: int = Field(gt=0)
    created: str
    consent: Literal[True]


class OwnVoices:
    """The voices in one folder, `limit` at most."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._voices: dict[str, OwnVoice] = {}
        self._coming: dict[str, str] = {}  # id → what it claims to be called, while it is being written

    async def load(self) -> None:
        """Read what is in the folder; a voice that is damaged is logged and left alone."""
        self._voices = {voice.id: voice for voice in await threads.call(self._read)}

    def all(self) -> list[OwnVoice]:
        """In the order in which they came."""
        return sorted(self._voices.values(), key=lambda voice: (voice.created, voice.id))

    def find(self, word: str) -> OwnVoice | None:
        """By id, else by name."""
        wanted = key(word)
        return self._voices.get(word) or next((one for one in self._voices.values() if key(one.name) == wanted), None)

    def reference(self, voice: OwnVoice) -> Reference:
        return Reference(voice.revision, self._folder / voice.id / RECORDING, voice.transcript, voice.language)

    def check_room(self, name: str) -> None:
        """Raises Overloaded when there are too many voices, InvalidMessage when the name is taken."""
        if len(self._voices) + len(self._coming) >= self._limit:
            raise Overloaded(f"There are {self._limit} voices already; delete one first.", service="tts")
        if claim(name) in {*map(claim, self._words()), *self._coming.values()}:
            raise name_taken(name)

    async def add(self, wanted: Wanted, recording: Recording) -> OwnVoice:
        """Keep a new voice. Raises as `check_room`, and InternalError when the disk does not take it.

        A cancel either keeps it whole or not at all.
        """
        self.check_room(wanted.name)
        voice = OwnVoice(
            id=new_id(KIND),
            name=wanted.name,
            language=wanted.language,
            transcript=wanted.transcript,
            revision=revision_of(recording.pcm, wanted.transcript),
            duration_ms=recording.duration_ms,
            created=today().isoformat(timespec="milliseconds"),
            consent=True,
        )
        files = {RECORDING: as_wav(recording.pcm), LABELS: voice.model_dump_json().encode()}
        self._coming[voice.id] = claim(voice.name)
        try:
            await threads.call(durable.put_folder, self._folder / voice.id, files)
            self._voices[voice.id] = voice
        except OSError:
            raise InternalError("The voice could not be stored.", service="tts") from None
        finally:
            del self._coming[voice.id]
        return voice

    async def delete(self, voice_id: str) -> OwnVoice:
        """Take a voice away. Raises NotFound; InternalError when the disk keeps it, and then so do we."""
        voice = self._voices.pop(voice_id, None)
        if voice is None:
            raise NotFound("There is no such voice.", service="tts", param="voice_id")
        try:
            with anyio.CancelScope(shield=True):
                await threads.call(durable.drop_folder, self._folder / voice_id)
        except FileNotFoundError:
            log.warning("a voice was gone before it was deleted", extra={"voice": voice_id})
        except OSError:
            self._voices[voice_id] = voice
            raise InternalError("The voice could not be deleted.", service="tts") from None
        return voice

    def _words(self) -> Iterator[str]:
        for voice in self._voices.values():
            yield from (voice.id, voice.name)

    def _read(self) -> list[OwnVoice]:
        """Runs on a thread."""
        try:
            durable.sweep(self._folder)
            folders = sorted(self._folder.glob(f"{KIND}_*"))
        except OSError:
            log.warning("the folder of voices cannot be read")
            return []
        found = []
        for folder in folders:
            try:
                found.append(_stored(folder))
            except (OSError, ValidationError):  # what validation says holds what somebody wrote
                log.warning("a stored voice is damaged", extra={"voice": folder.name})
        return found


def name_taken(name: str) -> InvalidMessage:
    return InvalidMessage(
        f"There is a voice called {name!r} already; choose another name, or delete that voice.",
        service="tts",
        param="name",
    )


def revision_of(pcm: bytes, transcript: str) -> str:
    """Another recording, or another text, has another one."""
    return hashlib.sha256(hashlib.sha256(pcm).digest() + transcript.encode()).hexdigest()


def as_wav(pcm: bytes) -> bytes:
    """PCM16 mono at `RECORDING_RATE` as a file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(RECORDING_RATE)
        file.writeframes(pcm)
    return target.getvalue()


def _stored(folder: Path) -> OwnVoice:
    """Raises OSError or ValidationError when the voice is not whole."""
    with (folder / LABELS).open("rb") as file:
        voice = OwnVoice.model_validate_json(file.read(LABELS_LIMIT_BYTES))
    kept_ms = ((folder / RECORDING).stat().st_size - 44) // BYTES_PER_SAMPLE * 1000 // RECORDING_RATE
    if voice.id != folder.name or kept_ms != voice.duration_ms or folder.is_symlink():
        raise OSError("The folder is not the voice's.")
    return voice
