"""espeak-ng, each slot with a child process of its own: speaks some hundred languages, faster than anyone listens.

The library is GPL and keeps its state per process, so it lives in the child alone (espeak_child.py). A child that died
is replaced: at once the first time, then after longer and longer pauses, in which requests fail without trying.
"""

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Final

from shared.clock import thread_now_s
from shared.errors import EngineFailed, ParleyError
from shared.threads import StopToken
from tts_service.engines.base import Capabilities, ClonesNothing, ClosesNothing, SynthesisRequest
from tts_service.engines.espeak_voices import Chosen, VoiceBook, legible_runs
from tts_service.engines.pipe import ChildGone, ChildPipe, KeptChild
from tts_service.settings import TtsSettings

USUAL_RATE: Final = 175  # words a minute
SLOWEST_RATE: Final = 80  # espeak reads anything lower as this: a speed of 0.46
USUAL_PITCH: Final = 50  # of 0 to 99
COMMAND: Final = (sys.executable, "-m", "tts_service.engines.espeak_child")
START_LIMIT_S: Final = 10.0
SILENCE_LIMIT_S: Final = 5.0  # a child that says nothing for so long hangs
CANCEL_LIMIT_S: Final = 1.0  # a cancelled child ends within a block, some 0.1 ms
MAX_CHARS: Final = 2_000
WARM_UP: Final = {"en-us": "One.", "cmn": "一", "ko": "일", "ja": "いち"}  # the first word of a language loads its data

_Clock = Callable[[], float]  # monotonic seconds, read on the slot's thread, where there is no event loop


class EspeakSlot(ClonesNothing):
    """One child, one request at a time."""

    def __init__(self, clock_s: _Clock = thread_now_s) -> None:
        self._last_id = 0
        self._child = KeptChild("espeak", _started, clock_s)
        self._book = _book(self._child.living())

    @property
    def pid(self) -> int | None:
        """The child's, or None while there is none."""
        return self._child.current.pid if self._child.current else None

    @property
    def blocks_read(self) -> int:
        """Blocks that this child has sent, those of cancelled requests too."""
        return self._child.current.blocks_read if self._child.current else 0

    def warm_up(self) -> None:
        """Speak a word in the usual languages. Raises EngineFailed."""
        for language, text in WARM_UP.items():
            with closing(self.synthesise(SynthesisRequest(text, language), StopToken())) as blocks:
                for _ in blocks:
                    pass

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """Blocks of 60 ms; each run of one script is spoken by a voice that reads it."""
        chosen = (self._book.find(request.voice) if request.voice else None) or Chosen(None, "")
        language = self._book.language_of(chosen) or request.language
        rate = max(SLOWEST_RATE, round(USUAL_RATE * request.speed))
        for run_language, text in legible_runs(request.text, language):
            if stop.is_stopped():
                return
            yield from self._speak(text, self._book.speaker(chosen, run_language), rate, stop)

    def close(self) -> None:
        self._child.close()

    def _speak(self, text: str, voice: str, rate: int, stop: StopToken) -> Generator[bytes, None, None]:
        pipe = self._child.living()
        self._last_id += 1
        is_over = False
        try:
            pipe.send({"id": self._last_id, "voice": voice, "text": text, "rate": rate, "pitch": USUAL_PITCH})
            while not stop.is_stopped() and (block := pipe.read_block(SILENCE_LIMIT_S, stop)) is not None:
                is_over = not block
                if is_over:
                    self._child.worked()
                    return
                yield block
        except ParleyError:
            is_over = True
            raise
        except ChildGone:
            is_over = True
            self._child.lost()
            raise EngineFailed("The speech engine ended in the middle of a segment.", service="tts") from None
        finally:
            if not is_over:  # stopped, or the reader left
                self._abandon(pipe)

    def _abandon(self, pipe: ChildPipe) -> None:
        """Cancel the request and read what is left of its answer, so that the next one begins clean."""
        try:
            pipe.send({"cancel": self._last_id})
            while pipe.read_block(CANCEL_LIMIT_S):
                pass
        except ParleyError:
            pass  # that was the end of it
        except ChildGone:
            self._child.lost()


class EspeakEngine(ClosesNothing):
    """What all slots share: the list of voices, read from a child that lives for that moment."""

    name = "espeak"

    def __init__(self) -> None:
        self.sample_rate = 0
        self.capabilities = Capabilities((), (), MAX_CHARS, "chunk")
        self._book = VoiceBook((), ())

    def start(self) -> None:
        try:
            pipe = _started()
        except ChildGone:
            raise EngineFailed("espeak-ng does not start.", service="tts") from None
        with closing(pipe):
            self._book = _book(pipe)
            self.sample_rate = (pipe.hello(START_LIMIT_S) or {})["sample_rate"]
        self.capabilities = Capabilities(self._book.languages(), self._book.voices(), MAX_CHARS, "chunk")

    def has_voice(self, name: str) -> bool:
        return self._book.find(name) is not None

    def open_slot(self) -> EspeakSlot:
        try:
            slot = EspeakSlot()
        except ChildGone:
            raise EngineFailed("espeak-ng does not start.", service="tts") from None
        try:
            slot.warm_up()
        except EngineFailed:
            slot.close()
            raise
        return slot


def load(_: TtsSettings) -> EspeakEngine:
    return EspeakEngine()


def _started() -> ChildPipe:
    """A child that has introduced itself. Raises ChildGone."""
    pipe = ChildPipe(COMMAND)
    try:
        pipe.hello(START_LIMIT_S)
    except ChildGone:
        pipe.close()
        raise
    return pipe


def _book(pipe: ChildPipe) -> VoiceBook:
    hello = pipe.hello(START_LIMIT_S) or {}
    return VoiceBook(hello["voices"], hello["variants"])
