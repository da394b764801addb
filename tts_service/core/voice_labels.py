"""What a voice may be called, and what its labels may hold: text of strangers made plain, or refused.

Laws: what comes back holds no control character and no path, however it is written; cleaning it again changes nothing,
and so does taking the key of a key.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

NAME_LIMIT_CHARS: Final = 64
TRANSCRIPT_LIMIT_CHARS: Final = 1_000  # 30 s of fast speech are some 700
LANGUAGE_LIMIT_CHARS: Final = 16
KEYS_KEPT: Final = 65_536  # every voice is looked at whenever one is named, and there may be ten thousand
SUFFIXES: Final = (".wav", ".mp3", ".flac")  # of a voice in a folder, the preferred one first

_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*")
_FILE: Final = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[A-Z]{2})?)-(?P<name>[^_]+)_(?P<gender>woman|man|female|male|girl|boy|child|neutral)"
)


@dataclass(frozen=True, slots=True)
class FileLabels:
    """What the name of a voice's file tells: `{language}-{name}_{gender}` and a suffix."""

    stem: str
    suffix: str
    language: str
    name: str
    gender: str


def plain_name(text: str) -> str | None:
    """A name of 1 to 64 characters on one line, no path and no code; None for anything else."""
    name = _on_one_line(text)
    plain = key(name)
    is_path = any(character in "/\\" for character in plain) or not plain.strip(".")
    return None if is_path or len(name) > NAME_LIMIT_CHARS or not _is_printable(name) else name


def plain_transcript(text: str) -> str | None:
    """What is said in a recording, on one line, 1 to 1,000 characters with a letter or digit among them; else None."""
    transcript = _on_one_line(text)
    is_said = any(character.isalnum() for character in transcript)
    return transcript if is_said and len(transcript) <= TRANSCRIPT_LIMIT_CHARS and _is_printable(transcript) else None


def plain_language(text: str) -> str | None:
    """A language tag of BCP 47 in lower case; None for what is none."""
    language = text.strip().lower().replace("_", "-")
    return language if len(language) <= LANGUAGE_LIMIT_CHARS and _LANGUAGE.fullmatch(language) else None


def file_labels(file_name: str) -> FileLabels | None:
    """The labels in `zh-Xinran_woman.wav`; None for a file that is named otherwise."""
    stem, dot, ending = file_name.rpartition(".")
    suffix = f"{dot}{ending}".lower()
    found = _FILE.fullmatch(stem)
    if suffix not in SUFFIXES or found is None or plain_name(stem) != stem:
        return None
    return FileLabels(stem, suffix, found["language"].lower(), found["name"], found["gender"])


def file_name_in(path: str) -> str | None:
    """The last part of a path that a client gave for a voice; None when it climbs, or is no path of a voice's file."""
    parts = path.replace("\\", "/").split("/")
    is_sound = parts[-1].lower().endswith(SUFFIXES)
    return parts[-1] if is_sound and ".." not in parts and _is_printable(path) else None


@lru_cache(KEYS_KEPT)
def key(name: str) -> str:
    """The same for all ways to write one name."""
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold())
    return unicodedata.normalize("NFKC", once.casefold())


def claim(name: str) -> str:
    """What one voice alone may be called: the key of a name, or of a file's name with or without its suffix."""
    claimed = key(name)
    suffix = next((suffix for suffix in SUFFIXES if claimed.endswith(suffix)), "")
    return claimed.removesuffix(suffix)


def _on_one_line(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _is_printable(text: str) -> bool:
    """Without controls, surrogates, and marks that turn the direction of text."""
    return bool(text) and all(unicodedata.category(character)[0] != "C" for character in text)
