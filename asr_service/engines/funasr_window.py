"""A stretch that a model reads whole, again and again as it grows, and again for good in pieces when it gets long.

A piece is at most 30 s, which bounds what one reading costs; what is longer is cut in the last three seconds of that,
where it is quietest, and the first piece is not read again. Where it is cut depends on the sound alone.
"""

import re
from dataclasses import dataclass, replace
from functools import reduce

from asr_service.core.languages import between
from asr_service.engines.base import SAMPLE_BYTES, SAMPLE_RATE, Result, Span
from asr_service.engines.funasr_models import (
    SHORTEST_SAMPLES,
    PunctuationModel,
    WindowModel,
    is_sound,
)
from asr_service.engines.sound import Samples, as_samples, cut_samples, spoken

LONGEST_SAMPLES = 30 * SAMPLE_RATE
TAG = re.compile(r"<\|([^|>]*)\|>")
NOTHING = "nospeech"


@dataclass(frozen=True, slots=True)
class WindowReader:
    """A window model, and what puts punctuation to it if it writes none itself."""

    model: WindowModel
    punctuation: PunctuationModel | None

    @property
    def languages(self) -> tuple[str, ...]:
        return self.model.folder.languages

    def read(self, samples: Samples, language: str, is_end: bool) -> Result:
        """Text and language of one piece."""
        text = self.model.text(samples, language)
        if self.model.detects:
            tags, text = TAG.findall(text), TAG.sub("", text).strip()
            if NOTHING in tags or not any(map(str.isalnum, text)):  # a lone full stop is what it writes for a breath
                return Result("")
            return Result(text, language=next((tag for tag in tags if tag in self.languages), ""))
        return Result(self.punctuation.punctuated(text) if self.punctuation and is_end else text)


class WindowStretch:
    """The sound of one stretch, as far as it is read again. `language`: the model's, or "" for whichever is spoken."""

    def __init__(self, reader: WindowReader, language: str) -> None:
        self._reader = reader
        self._asked = language if language in reader.languages else ""
        self._found = ""  # the language of the first piece that was read for good
        self._piece = bytearray()
        self._from_samples = 0
        self._spans: tuple[Span, ...] = ()
        self._known: dict[bool, Result] = {}  # how it reads with what was heard: on the way, at the end

    def hear(self, pcm: bytes) -> None:
        self._piece += pcm
        if pcm:
            self._known.clear()

    def read(self, is_end: bool) -> Result:
        """How all of it reads, with the span of each piece; as it read at its end, if nothing was heard since."""
        if True in self._known:
            return self._known[True]
        if is_end not in self._known:
            self._known[is_end] = self._whole(is_end)
        return self._known[is_end]

    def settle(self) -> None:
        """What was read at the end stays, and what follows is read on its own."""
        ended = self.read(is_end=True)
        self._spans, self._found = ended.spans, self._found or ended.language
        self._from_samples += len(self._piece) // SAMPLE_BYTES
        self._piece.clear()

    def _whole(self, is_end: bool) -> Result:
        while len(self._piece) > LONGEST_SAMPLES * SAMPLE_BYTES:
            self._fix()
        last = self._reading(bytes(self._piece), is_end)
        spans = (*self._spans, *last.spans)
        language = "" if self._asked else self._found or last.language
        return Result(joined([span.text for span in spans]), spans, language if spans else "")

    def _fix(self) -> None:
        """Read the first piece for good."""
        cut_bytes = cut_samples(as_samples(self._piece[: LONGEST_SAMPLES * SAMPLE_BYTES])) * SAMPLE_BYTES
        read = self._reading(bytes(self._piece[:cut_bytes]), is_end=True)
        self._spans += read.spans
        self._found = self._found or read.language
        del self._piece[:cut_bytes]
        self._from_samples += cut_bytes // SAMPLE_BYTES

    def _reading(self, pcm: bytes, is_end: bool) -> Result:
        """One piece, with its span."""
        if len(pcm) < SHORTEST_SAMPLES * SAMPLE_BYTES or not is_sound(pcm):
            return Result("")
        samples = as_samples(pcm)
        read = self._reader.read(samples, self._asked or self._found, is_end)
        return replace(read, spans=(self._span(samples, read.text),)) if read.text else Result("")

    def _span(self, samples: Samples, text: str) -> Span:
        """From the first loud moment to the last."""
        start, end = spoken(samples)
        return Span(self._from_samples + start, self._from_samples + end, text)


def joined(texts: list[str]) -> str:
    """The texts in a row, with a space where words meet."""
    return reduce(lambda whole, text: whole + between(whole, text) + text, texts, "")
