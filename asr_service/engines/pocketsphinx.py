"""CMU PocketSphinx with the English model that its wheel carries: no download, no GPU, about 90 MB a recogniser."""

import re
from collections.abc import Iterable
from typing import Any

from pocketsphinx import Decoder

from asr_service.core.frame_cutter import FrameCutter
from asr_service.engines.base import Engine, Recogniser, Result, Span

SAMPLE_RATE = 16_000  # Hz
FRAME_SAMPLES = SAMPLE_RATE // 100  # what the decoder counts its words' times in
STEP_BYTES = 2 * 320

# The decoder's features are measured against the mean of a talker's cepstra. Left alone, the mean follows whoever
# spoke last, so that equal audio would read differently; so each stretch starts from this one, the model authors'
# average. It makes a quarter fewer wrong words than the decoder's own default.
CEPSTRAL_MEAN = "41.00,-5.29,-0.12,5.09,2.48,-4.07,-1.37,-1.78,-5.08,-2.05,-6.45,-1.42,1.17"
VARIANT = re.compile(r"\(\d+\)$")  # a word's second pronunciation: "the(2)"
NO_WORD = re.compile(r"^(<.*>|\[.*\]|\+\+.*\+\+)$")  # <s>, <sil>, [NOISE], ++NOISE++


class PocketSphinxRecogniser:
    """One decoder. Audio goes in by steps of one length, since the mean moves on with each step."""

    def __init__(self) -> None:
        # The second pass over flat word lists is off: it takes six times as long, while somebody waits for the end.
        self._decoder: Any = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", fwdflat=False)
        self._cutter = FrameCutter(STEP_BYTES)
        self._is_started = False
        self._has_heard = False

    def start(self, language: str) -> None:
        self._end()
        self._cutter = FrameCutter(STEP_BYTES)
        self._decoder.set_cmn(CEPSTRAL_MEAN)
        self._decoder.start_utt()
        self._is_started, self._has_heard = True, False

    def accept(self, pcm: bytes) -> str:
        self._hear(self._cutter.add(pcm))
        return self._text()

    def finish(self) -> Result:
        self._hear([self._cutter.rest] if self._cutter.rest else [])
        self._end()
        text = self._text()
        return Result(text, self._spans(text))

    def close(self) -> None:
        self._decoder = None
        self._is_started = self._has_heard = False

    def _hear(self, steps: Iterable[bytes]) -> None:
        for step in steps:
            self._decoder.process_raw(step, False, False)
            self._has_heard = True

    def _end(self) -> None:
        if self._is_started:
            self._is_started = False
            self._decoder.end_utt()

    def _text(self) -> str:
        found = self._decoder.hyp() if self._has_heard else None
        return " ".join(cleaned(found.hypstr.split())) if found else ""

    def _spans(self, text: str) -> tuple[Span, ...]:
        """One span from the first word to the last: the decoder's pauses between words are no sentences."""
        if not text:
            return ()
        words = [word for word in self._decoder.seg() if cleaned([word.word])]
        start, end = words[0].start_frame * FRAME_SAMPLES, (words[-1].end_frame + 1) * FRAME_SAMPLES
        return (Span(start, end, text),)


def cleaned(words: Iterable[str]) -> list[str]:
    """The words that were said, as they are written."""
    return [VARIANT.sub("", word) for word in words if not NO_WORD.match(word)]


class PocketSphinxEngine:
    """Decoders of the wheel's English model; each loads its own copy."""

    name = "pocketsphinx"
    languages: tuple[str, ...] = ("en",)

    def open(self) -> Recogniser:
        return PocketSphinxRecogniser()


def load() -> Engine:
    """The engine; the model is read when a recogniser is opened."""
    return PocketSphinxEngine()
