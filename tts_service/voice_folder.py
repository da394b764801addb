"""The operator's folder of voices: `{language}-{name}_{gender}.wav`, .mp3 or .flac, and `.txt` with what is said.

It is read as the service starts. What is taken is turned into a recording in a place of the service's own, and kept
there until the file changes; the folder itself is never written. A file that is named otherwise, holds no voice, or is
a link to somewhere else is logged by its name and passed over.
"""

import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared import threads
from shared.errors import MessageTooLarge, ParleyError
from shared.ids import new_id
from tts_service import durable
from tts_service.core.voice_labels import (
    SUFFIXES,
    TRANSCRIPT_LIMIT_CHARS,
    FileLabels,
    file_labels,
    key,
    plain_transcript,
)
from tts_service.engines.base import Reference
from tts_service.own_voices import as_wav
from tts_service.recording import trusted_recording
from tts_service.voice_form import FILE_LIMIT_BYTES

MADE_BY: Final = b"1"  # changes when the same file is to be turned into another recording
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FolderVoice:
    """A voice; its id is the file's name without the suffix."""

    id: str
    file_name: str
    name: str
    language: str
    gender: str
    reference: Reference


class VoiceFolder:
    """The voices in `folder`, `limit` at most; their recordings are kept in `made`."""

    def __init__(self, folder: Path, made: Path, limit: int) -> None:
        self._folder = folder
        self._made = made
        self._limit = limit
        self._voices: dict[str, FolderVoice] = {}

    async def load(self) -> None:
        """Read the folder; an absent one is empty."""
        self._voices = {voice.id: voice for voice in await threads.call(self._read)}

    def all(self) -> list[FolderVoice]:
        return list(self._voices.values())

    def find(self, word: str, language: str = "") -> FolderVoice | None:
        """By id, else by name; of several with one name, that which speaks `language`."""
        wanted, primary = key(word), language.lower().partition("-")[0]
        named = [voice for voice in self._voices.values() if key(voice.name) == wanted]
        named.sort(key=lambda voice: voice.language.partition("-")[0] != primary)
        by_id = (voice for voice in self._voices.values() if key(voice.id) == wanted)
        return self._voices.get(word) or next(by_id, named[0] if named else None)

    def file(self, file_name: str) -> FolderVoice | None:
        """By the name of its file, however it is written."""
        wanted = key(file_name)
        return next((voice for voice in self._voices.values() if key(voice.file_name) == wanted), None)

    def _read(self) -> list[FolderVoice]:
        """Runs on a thread."""
        found: dict[str, FolderVoice] = {}
        try:
            top = self._folder.resolve()
            paths = sorted(top.iterdir(), key=_preference) if top.is_dir() else []
        except OSError:
            log.warning("the folder of the operator's voices cannot be read")
            paths = []
        for path in paths:
            labels = self._labels(path)
            if labels is None or labels.stem in found or len(found) >= self._limit:
                continue
            voice = self._voice(path, labels)
            if voice is not None:
                found[voice.id] = voice
        try:
            self._drop_others({voice.reference.path for voice in found.values()})
        except OSError:
            log.warning("recordings of voices that are known no more cannot be dropped")
        return list(found.values())

    def _labels(self, path: Path) -> FileLabels | None:
        if path.suffix.lower() not in SUFFIXES:
            return None
        labels = file_labels(path.name)
        if labels is None or not _is_inside(path):
            log.warning("a file is no voice: it is named otherwise, or is a link", extra={"file": path.name})
            return None
        return labels

    def _voice(self, path: Path, labels: FileLabels) -> FolderVoice | None:
        try:
            content = _content(path, FILE_LIMIT_BYTES)
            transcript = _transcript(path.with_suffix(".txt"))
            reference = self._reference(content, transcript, labels.language)
        except (OSError, ParleyError) as fault:
            told = fault.message if isinstance(fault, ParleyError) else "It cannot be read."
            log.warning("a file is no voice", extra={"file": path.name, "why": told})
            return None
        return FolderVoice(labels.stem, path.name, labels.name, labels.language, labels.gender, reference)

    def _reference(self, content: bytes, transcript: str, language: str) -> Reference:
        """Raises ParleyError for what holds no voice, OSError when the recording cannot be kept."""
        digests = hashlib.sha256(content).digest() + hashlib.sha256(transcript.encode()).digest()
        revision = hashlib.sha256(MADE_BY + digests).hexdigest()
        whole, part = self._made / f"{revision}.wav", self._made / f"{revision}-part.wav"
        if whole.is_file():
            return Reference(revision, whole, transcript, language)
        if part.is_file():
            return Reference(revision, part, "", language)
        recording = trusted_recording(io.BytesIO(content))
        if recording.fault:
            log.warning("a voice of the operator's sounds poor", extra={"why": recording.fault})
        path = part if recording.is_cut else whole
        durable.replace(path, as_wav(recording.pcm), new_id("voi"))
        # A transcript of more than was kept would lead an engine astray.
        return Reference(revision, path, "" if recording.is_cut else transcript, language)

    def _drop_others(self, kept: set[Path]) -> None:
        durable.sweep(self._made)
        for path in self._made.glob("*.wav"):
            if path not in kept:
                path.unlink(missing_ok=True)


def _preference(path: Path) -> tuple[str, int]:
    suffix = path.suffix.lower()
    return path.stem, SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)


def _is_inside(path: Path) -> bool:
    """Whether a file lies in its folder itself: a link must not lead out of it."""
    return path.resolve().is_relative_to(path.parent) and path.is_file()


def _content(path: Path, limit_bytes: int) -> bytes:
    """Raises OSError, and MessageTooLarge."""
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise MessageTooLarge(f"Its {path.suffix} has more than {limit_bytes:,} bytes.", service="tts")
    return content


def _transcript(path: Path) -> str:
    """What is said, or nothing where nobody wrote it down legibly. Raises OSError and MessageTooLarge."""
    if not path.exists() or not _is_inside(path):
        return ""
    text = _content(path, TRANSCRIPT_LIMIT_CHARS * 4).decode("utf-8-sig", "replace")
    return plain_transcript(text) or ""
