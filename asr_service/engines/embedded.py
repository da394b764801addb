"""What is understood without any download: English by PocketSphinx, other languages by the Whisper model of the folder.

Both are engines of the table. A recogniser opens one of either when it is first asked for such a language, so whoever
speaks no English has no decoder of 90 MB. Where the Whisper model or its library is missing, English alone is heard.
"""

import logging

from asr_service import engines
from asr_service.engines.base import Engine, Recogniser, Result

ENGLISH = "en"
log = logging.getLogger(__name__)


class EmbeddedRecogniser:
    """One recogniser for each of the two, opened when it is needed and kept."""

    def __init__(self, english: Engine, others: Engine | None) -> None:
        self._english = english
        self._others = others
        self._opened: dict[str, Recogniser] = {}
        self._current: Recogniser | None = None

    def start(self, language: str) -> None:
        is_english = language.split("-")[0].lower() == ENGLISH
        engine = self._english if is_english or self._others is None else self._others
        if engine.name not in self._opened:
            self._opened[engine.name] = engine.open()
        self._current = self._opened[engine.name]
        self._current.start(language)

    def accept(self, pcm: bytes) -> str | None:
        assert self._current is not None, "nothing was started"
        return self._current.accept(pcm)

    def finish(self) -> Result:
        assert self._current is not None, "nothing was started"
        return self._current.finish()

    def close(self) -> None:
        for recogniser in self._opened.values():
            recogniser.close()
        self._opened.clear()
        self._current = None


class EmbeddedEngine:
    """English by one engine, what else there is by another."""

    name = "embedded"

    def __init__(self, english: Engine, others: Engine | None) -> None:
        known = others.languages if others else ()
        self.languages = (ENGLISH, *(language for language in known if language != ENGLISH))
        self._english = english
        self._others = others

    def open(self) -> Recogniser:
        return EmbeddedRecogniser(self._english, self._others)


def load() -> Engine:
    """The engine; of its models, Whisper's is loaded now, a decoder with the first recogniser that needs it."""
    return EmbeddedEngine(engines.load("pocketsphinx"), load_others())


def load_others() -> Engine | None:
    """The engine for other languages than English; None when it cannot be had, which is logged."""
    try:
        return engines.load("faster-whisper")
    except Exception as failure:  # a library may raise anything, and English can be had without it
        log.warning("English alone is understood", extra={"reason": str(failure)})
        return None
