"""Which espeak voice speaks: from the name that a client gave, if any, and the language of the text.

A name is a voice of espeak ("en-us", "cmn"), a language tag that one of them speaks ("en-gb"), either with a variant
("en-us+m3"), or one of OpenAI's names, which stand for a variant and no language. A voice speaks its own languages;
text in any other is spoken by the usual voice of that language, in the same variant, so that a person stays the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from tts_service.core.script_runs import script_of, split_runs
from tts_service.engines.base import Voice

FALLBACK: Final = "en-us"

# espeak calls British English "en", and lists Cantonese as one of the voices of "zh".
USUAL: Final = {"en": "en-us", "zh": "cmn", "zh-hk": "yue", "zh-mo": "yue", "zh-hant-hk": "yue", "zh-yue": "yue"}

OPENAI: Final = {
    "alloy": "f2", "ash": "m1", "ballad": "m8", "cedar": "m5", "coral": "f3", "echo": "m3", "fable": "f5",
    "marin": "f4", "nova": "f1", "onyx": "m7", "sage": "Alicia", "shimmer": "belinda", "verse": "m4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """A name taken apart: a voice of espeak or None, and a variant or ""."""

    base: str | None
    variant: str


class VoiceBook:
    """The voices of one espeak-ng, as its child lists them: `{name, label, languages: {tag: priority}}`."""

    def __init__(self, listed: Iterable[Mapping[str, Any]], variants: Iterable[str]) -> None:
        self._tags: dict[str, dict[str, int]] = {voice["name"]: voice["languages"] for voice in listed}
        self._labels: dict[str, str] = {voice["name"]: voice["label"] for voice in listed}
        self._variants = {variant.lower(): variant for variant in variants}
        self._by_tag: dict[str, str] = {}
        ranked = sorted(
            (priority, place, tag, name)
            for place, (name, tags) in enumerate(self._tags.items())
            for tag, priority in tags.items()
        )
        for _, _, tag, name in ranked:
            self._by_tag.setdefault(tag.lower(), name)

    def voices(self) -> tuple[Voice, ...]:
        """OpenAI's names first, then every voice without a variant."""
        named = [Voice(name, "", f"OpenAI's name for the variant {variant}") for name, variant in OPENAI.items()]
        own = [Voice(name, next(iter(tags)), self._labels[name]) for name, tags in self._tags.items()]
        return (*named, *own)

    def languages(self) -> tuple[str, ...]:
        return tuple(sorted(self._by_tag))

    def find(self, name: str) -> Chosen | None:
        """What `name` means, or None when there is no such voice."""
        if name.lower() in OPENAI:
            return Chosen(None, OPENAI[name.lower()])
        base, plus, variant = name.lower().partition("+")
        voice = base if base in self._tags else self._by_tag.get(base)
        if voice is None or (plus and variant not in self._variants):
            return None
        return Chosen(voice, self._variants[variant] if plus else "")

    def language_of(self, chosen: Chosen) -> str | None:
        """The language (a bare subtag) that a voice was made for; None when it takes any."""
        if chosen.base is None:
            return None
        return _primary(min(self._tags[chosen.base], key=len))

    def speaker(self, chosen: Chosen, language: str) -> str:
        """The name that espeak is given for text in `language`."""
        own = {_primary(tag) for tag in self._tags[chosen.base]} if chosen.base else set()
        base = chosen.base if chosen.base and _primary(language) in own else self._usual(language)
        return f"{base}+{chosen.variant}" if chosen.variant else base

    def _usual(self, language: str) -> str:
        for tag in (language.lower(), _primary(language)):
            found = USUAL.get(tag) or (tag if tag in self._tags else self._by_tag.get(tag))
            if found in self._tags:
                return found
        return FALLBACK


def legible_runs(text: str, language: str) -> Iterator[tuple[str, str]]:
    """(language, text) of each run that one espeak voice can read, in order.

    A region is kept ("en-GB"). espeak's Japanese knows kana only and would spell every other character out as "Chinese
    letter", so these are read as Chinese.
    """
    for run in split_runs(text, language):
        tag = language if _primary(language) == run.language else run.language
        if run.language != "ja":
            yield tag, run.text
            continue
        for is_han, characters in groupby(run.text, lambda character: script_of(character) == "Han"):
            piece = "".join(characters)
            if any(character.isalnum() for character in piece):
                yield "zh" if is_han else tag, piece


def _primary(tag: str) -> str:
    return tag.lower().partition("-")[0]
