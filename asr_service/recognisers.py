"""Recognisers: those of one loaded engine, opened when they are needed.

A recogniser is needed only while somebody speaks, so an utterance takes one with its first decode and gives it back at
its end. One is opened when the service starts. Where all share one model, another one is opened when it is needed, up
to the number of streams. Where each holds a model of its own, that takes long: it is opened on a thread each time the
last idle one is taken, up to a limit of memory.

A recogniser may be given back in any state: `start` forgets what was unfinished. One that has failed is thrown away.
"""

import logging
from collections.abc import Callable

import anyio

from asr_service.engines.base import Engine, Recogniser, Task
from shared import threads
from shared.errors import ServiceUnavailable
from shared.health import READY

AUTO = "auto"  # whatever is spoken
RETRY_S = 30.0  # after an engine or a recogniser could not be had
log = logging.getLogger(__name__)


class Recognisers:
    """The recognisers of one process, used from the event loop's thread alone. None is there before `run` is ready."""

    def __init__(self, load: Callable[[], Engine], language: str, own_models: int, streams: int) -> None:
        """`own_models`: most recognisers where each holds a model; `streams`: most where all share one."""
        self._load = load
        self.language = language  # what is listened for; once the engine is loaded, one that it knows or `auto`
        self._own_models = own_models
        self._streams = streams
        self._opened = 0
        self._idle: list[Recogniser] = []
        self._engine: Engine | None = None
        self._state = "The recogniser is loading."
        self._is_running = False
        self._shortage = anyio.Event()
        self.is_ready = anyio.Event()
        self.on_idle: Callable[[], None] = lambda: None  # told when one can be taken

    async def state(self) -> str:
        """`ready`, or what is missing in a sentence."""
        return self._state

    @property
    def engine(self) -> Engine:
        """The engine; ServiceUnavailable while it is not ready."""
        if self._engine is None or self._state != READY:
            raise ServiceUnavailable(self._state, service="asr", retry_after_ms=1_000)
        return self._engine

    @property
    def capacity(self) -> int:
        """How many there may be."""
        return self._streams if self.engine.shares_model else self._own_models

    @property
    def idle(self) -> int:
        """How many wait for somebody to speak."""
        return len(self._idle)

    @property
    def opened(self) -> int:
        """How many there are."""
        return self._opened

    @property
    def _is_short(self) -> bool:
        """Whether another one is to be opened now: the first of all, or one that takes long."""
        assert self._engine is not None
        is_slow = not self._engine.shares_model and self._opened < self._own_models
        return not self._opened or (is_slow and not self._idle)

    def understands(self, language: str) -> bool:
        """Whether a stream may ask for it: a language of the engine, or `auto` where the engine finds it out."""
        primary = language.split("-")[0].lower()
        return primary in self.engine.languages or (primary == AUTO and self.engine.detects)

    async def run(self) -> None:
        """Load the engine and open recognisers until cancelled; then close those that are idle."""
        self._is_running = True
        try:
            while True:
                if not await self._prepare():
                    await anyio.sleep(RETRY_S)
                    continue
                await self._shortage.wait()
                self._shortage = anyio.Event()
        finally:
            self._state = "The recogniser has stopped."
            self._is_running = False
            while self._idle:
                _close(self._idle.pop())
            if self._engine is not None:
                _close(self._engine)

    def take_nowait(self) -> Recogniser | None:
        """An idle one, or None; then one is on its way if the limit allows, and `on_idle` tells of it."""
        recogniser = self._idle.pop() if self._idle else self._opened_now()
        if not self._idle:
            self._shortage.set()
        return recogniser

    def _opened_now(self) -> Recogniser | None:
        """Another one of a model that is there."""
        engine = self._engine
        if engine is None or not (self._is_running and engine.shares_model and self._opened < self._streams):
            return None
        try:
            recogniser = engine.open()
        except Exception:  # a model library may raise anything
            log.exception("a recogniser could not be opened", extra={"opened": self._opened})
            return None
        self._opened += 1
        return recogniser

    def give_back(self, recogniser: Recogniser) -> None:
        """Let the next one speak to it."""
        if not self._is_running:
            _close(recogniser)
            return
        self._idle.append(recogniser)
        self.on_idle()

    def discard(self, recogniser: Recogniser) -> None:
        """It has failed: another one takes its place when one is needed."""
        _close(recogniser)
        self._opened -= 1
        self._shortage.set()

    async def _prepare(self) -> bool:
        """Load the engine if it is not there, open a recogniser if one is wanted; whether both could be had.

        What an engine needs may come later, such as a server elsewhere.
        """
        if self._engine is None:
            try:
                self._engine = await threads.call(self._load)
            except Exception:  # a model library may raise anything, also while it is imported
                self._state = "The recogniser could not be loaded."
                log.exception("the recogniser could not be loaded")
                return False
        if self._is_short and not await self._open_one():
            return False
        self._note_ready(self._engine)
        return True

    def _note_ready(self, engine: Engine) -> None:
        self._state = READY
        if not self.is_ready.is_set():
            self._settle_language()
            self.is_ready.set()
            log.info("ready", extra={"engine": engine.name})

    def _settle_language(self) -> None:
        if not self.understands(self.language):  # LANGUAGE may be the desktop's, and no wish
            known = ", ".join(self.engine.languages)
            log.warning("the language is not understood", extra={"language": self.language, "known": known})
            self.language = self.engine.languages[0]

    async def _open_one(self) -> bool:
        assert self._engine is not None
        try:
            recogniser = await threads.call(self._open, self._engine)
        except Exception:  # a model library may raise anything
            if not self._opened:
                self._state = "The recogniser could not be opened."
            log.exception("a recogniser could not be opened", extra={"opened": self._opened})
            return False
        self._opened += 1
        self.give_back(recogniser)
        return True

    def _open(self, engine: Engine) -> Recogniser:
        """Another one, warm, so that nobody waits for what a library does only once."""
        recogniser = engine.open()
        primary = self.language.split("-")[0].lower()
        engine.warm_up(recogniser, Task(primary if primary in engine.languages else engine.languages[0]))
        return recogniser


def _close(thing: Recogniser | Engine) -> None:
    try:
        thing.close()
    except Exception:  # a model library may raise anything, and the thing is gone either way
        log.exception("what was used could not be closed")


def task_in(language: str) -> Task:
    """To read what is said in a language, or in `auto`."""
    return Task("" if language.split("-")[0].lower() == AUTO else language)
