"""What is understood without any download: English by PocketSphinx, other languages by the Whisper model of the folder.

Both are engines of the table. A recogniser opens one of either when it is first asked for such a language, so whoever
speaks no English has no decoder of 90 MB. Where the Whisper model or its library is missing, English alone is heard.

A language that is not told is found out by the Whisper. It hears the beginning of the stretch, and if it says English,
the decoder hears that beginning again.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from asr_service import engines
from asr_service.engines.base import Engine, Recogniser, Result, Step, Task
from asr_service.settings import AsrSettings

ENGLISH = "en"
log = logging.getLogger(__name__)


class EmbeddedRecogniser:
    """One recogniser for each of the two, opened when it is needed and kept."""

    def __init__(self, english: Engine, others: Engine | None) -> None:
        self._english = english
        self._others = others
        self._opened: dict[str, Recogniser] = {}
        self._current: Recogniser | None = None
        self._unsure: Task | None = None  # what is to be read, while it may be English,
        self._beginning = bytearray()  # and what was heard
        self._found = ""  # English, where that was found out

    @property
    def current(self) -> Recogniser:
        """Who hears."""
        assert self._current is not None, "nothing was started"
        return self._current

    def start(self, task: Task) -> None:
        self._current = self._opened_of(self._reader(task.language))
        self._current.start(task)
        self._unsure = None if task.language or self._others is None or not self._others.detects else task
        self._beginning.clear()
        self._found = ""

    def hear(self, pcm: bytes) -> None:
        if self._unsure is not None:
            self._beginning += pcm
        self.current.hear(pcm)

    def read(self) -> Result:
        result = self.current.read()
        if self._unsure is not None and result.language:
            if is_english(result.language):
                self._current = self._hears_english(self._unsure)
                self._found = ENGLISH
                result = self._current.read()
            self._unsure = None
            self._beginning.clear()
        return self._named(result)

    def finish(self) -> Result:
        if self._unsure is not None:
            self.read()  # this tells what the language is, if enough was heard
        result = self.current.finish()
        if self._unsure is not None and is_english(result.language):
            return replace(self._hears_english(self._unsure).finish(), language=ENGLISH)
        return self._named(result)

    def settle(self) -> None:
        if self._unsure is None:  # else the decoder may have to hear all of it
            self.current.settle()

    def close(self) -> None:
        for recogniser in self._opened.values():
            recogniser.close()
        self._opened.clear()
        self._beginning.clear()
        self._current = self._unsure = None

    def step_of_others(self, step: Step) -> Step | None:
        """A step of this recogniser as the one of the other engine that it surely is; None if it may be another."""
        if self._others is None:
            return None
        if step.task is not None:
            is_sure = bool(step.task.language) and self._reader(step.task.language) is self._others
        else:
            is_sure = self._unsure is None and self._current is self._opened.get(self._others.name)
        return replace(step, recogniser=self._opened_of(self._others)) if is_sure else None

    def _reader(self, language: str) -> Engine:
        """Who hears it: for a language that is to be found out, who can."""
        if self._others is None or is_english(language) or not (language or self._others.detects):
            return self._english
        return self._others

    def _opened_of(self, engine: Engine) -> Recogniser:
        if engine.name not in self._opened:
            self._opened[engine.name] = engine.open()
        return self._opened[engine.name]

    def _hears_english(self, task: Task) -> Recogniser:
        """The decoder, with what was heard so far."""
        recogniser = self._opened_of(self._english)
        recogniser.start(replace(task, language=ENGLISH))
        recogniser.hear(bytes(self._beginning))
        return recogniser

    def _named(self, result: Result) -> Result:
        return replace(result, language=self._found or result.language)


class EmbeddedEngine(Engine):
    """English by one engine, what else there is by another."""

    name = "embedded"
    shares_model = False

    def __init__(self, english: Engine, others: Engine | None) -> None:
        known = others.languages if others else ()
        self.languages = (ENGLISH, *(language for language in known if language != ENGLISH))
        self.detects = others is not None and others.detects
        self.translates = others is not None and others.translates
        self.tells_words = english.tells_words and (others is None or others.tells_words)
        self.most_joined = others.most_joined if others else 1
        self._english = english
        self._others = others

    def open(self) -> Recogniser:
        return EmbeddedRecogniser(self._english, self._others)

    def is_incremental(self, language: str) -> bool:
        reader = self._english if self._others is None or is_english(language) else self._others
        return reader.is_incremental(language)

    def joins(self, first: Step, other: Step) -> bool:
        steps = [opener(step).step_of_others(step) for step in (first, other)]
        found = [step for step in steps if step is not None]
        return self._others is not None and len(found) == len(steps) and self._others.joins(*found)

    def read(self, steps: Sequence[Step]) -> list[Result | Exception]:
        if self._others is None or len(steps) == 1:
            return super().read(steps)
        for step in steps:
            if step.task is not None:
                opener(step).start(step.task)
        return self._others.read([replace(step, recogniser=opener(step).current, task=None) for step in steps])


def is_english(language: str) -> bool:
    """Whether a language is English, wherever it is spoken."""
    return language.split("-")[0].lower() == ENGLISH


def opener(step: Step) -> EmbeddedRecogniser:
    """Whose step it is."""
    assert isinstance(step.recogniser, EmbeddedRecogniser)
    return step.recogniser


def load(settings: AsrSettings) -> Engine:
    """The engine; of its models, Whisper's is loaded now, a decoder with the first recogniser that needs it."""
    return EmbeddedEngine(engines.load("pocketsphinx", settings), load_others(settings))


def load_others(settings: AsrSettings) -> Engine | None:
    """The engine for other languages than English; None when it cannot be had, which is logged."""
    try:
        return engines.load("faster-whisper", settings)
    except Exception as failure:  # a library may raise anything, and English can be had without it
        log.warning("English alone is understood", extra={"reason": str(failure)})
        return None
