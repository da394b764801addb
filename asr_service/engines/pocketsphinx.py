"""CMU PocketSphinx with the English model that its wheel carries: no download, no GPU, about 90 MB a recogniser."""

import re
from collections.abc import Iterable
from typing import Any

from pocketsphinx import Decoder

from asr_service.core.frame_cutter import FrameCutter
from asr_service.engines.base import SAMPLE_BYTES, SAMPLE_RATE, Engine, Recogniser, Result, Span, Task, Word
from asr_service.engines.parts import Parts
from asr_service.settings import AsrSettings

FRAME_SAMPLES = SAMPLE_RATE // 100  # what the decoder counts its words' times in
STEP_BYTES = SAMPLE_BYTES * 320

# The decoder's features are measured against the mean of a talker's cepstra. Left alone, the mean follows whoever
# spoke last, so that equal audio would read differently; so each part of a stretch starts from this one, the model
# authors' average. It makes a quarter fewer wrong words than the decoder's own default. Its estimate of the noise and
# the densities that fitted its last frames live on as well; fresh features and a little silence make it forget them.
CEPSTRAL_MEAN = "41.00,-5.29,-0.12,5.09,2.48,-4.07,-1.37,-1.78,-5.08,-2.05,-6.45,-1.42,1.17"
FORGETTING_PCM = bytes(SAMPLE_BYTES * 8 * FRAME_SAMPLES)  # the decoder looks back on fewer frames than these
VARIANT = re.compile(r"\(\d+\)$")  # a word's second pronunciation: "the(2)"
NO_WORD = re.compile(r"^(<.*>|\[.*\]|\+\+.*\+\+)$")  # <s>, <sil>, [NOISE], ++NOISE++


class PocketSphinxRecogniser:
    """One decoder. Audio goes in by steps of one length, since the mean moves on with each step.

    A finished utterance of the decoder cannot go on; what is heard after `finish` is another one.
    """

    def __init__(self) -> None:
        # The second pass over flat word lists is off: it takes six times as long, while somebody waits for the end.
        self._decoder: Any = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", fwdflat=False)
        self._is_decoding = False
        self._forget(has_words=False)

    def start(self, task: Task) -> None:
        self._end()
        self._forget(task.words)

    def hear(self, pcm: bytes) -> None:
        if not pcm:
            return
        if not self._is_decoding:
            self._begin()
        self._part_samples += len(pcm) // SAMPLE_BYTES
        self._decode(self._cutter.add(pcm))

    def read(self) -> Result:
        return Result(self._parts.with_text(self._text()))

    def finish(self) -> Result:
        if self._is_decoding:
            self._decode([self._cutter.rest] if self._cutter.rest else [])
            self._end()
            text = self._text()
            self._parts.close(text, self._spans(text), self._part_samples)
            self._has_heard = False
        return self._parts.result()

    def settle(self) -> None:
        pass  # what was finished is settled

    def close(self) -> None:
        self._decoder = None
        self._is_decoding = self._has_heard = False

    def _forget(self, has_words: bool) -> None:
        self._has_words = has_words
        self._parts = Parts()
        self._has_heard = False

    def _begin(self) -> None:
        self._cutter = FrameCutter(STEP_BYTES)
        self._part_samples = 0
        self._start_afresh()
        self._decoder.process_raw(FORGETTING_PCM, False, False)
        self._decoder.end_utt()
        self._start_afresh()
        self._is_decoding = True

    def _start_afresh(self) -> None:
        self._decoder.reinit_feat()
        self._decoder.set_cmn(CEPSTRAL_MEAN)
        self._decoder.start_utt()

    def _decode(self, steps: Iterable[bytes]) -> None:
        for step in steps:
            self._decoder.process_raw(step, False, False)
            self._has_heard = True

    def _end(self) -> None:
        if self._is_decoding:
            self._is_decoding = False
            self._decoder.end_utt()

    def _text(self) -> str:
        """How the current part reads."""
        found = self._decoder.hyp() if self._has_heard else None
        return " ".join(cleaned(found.hypstr.split())) if found else ""

    def _spans(self, text: str) -> tuple[Span, ...]:
        """One span from the first word to the last: the decoder's pauses between words are no sentences."""
        if not text:
            return ()
        segments = [(segment, *cleaned([segment.word])) for segment in self._decoder.seg()]
        words = tuple(
            Word(segment.start_frame * FRAME_SAMPLES, (segment.end_frame + 1) * FRAME_SAMPLES, *written)
            for segment, *written in segments
            if written
        )
        return (Span(words[0].start_samples, words[-1].end_samples, text, words if self._has_words else ()),)


def cleaned(words: Iterable[str]) -> list[str]:
    """The words that were said, as they are written."""
    return [VARIANT.sub("", word) for word in words if not NO_WORD.match(word)]


class PocketSphinxEngine(Engine):
    """Decoders of the wheel's English model; each loads its own copy."""

    name = "pocketsphinx"
    languages = ("en",)
    tells_words = True
    shares_model = False

    def open(self) -> Recogniser:
        return PocketSphinxRecogniser()

    def is_incremental(self, language: str) -> bool:
        return True


def load(settings: AsrSettings) -> Engine:
    """The engine; the model is read when a recogniser is opened."""
    return PocketSphinxEngine()
