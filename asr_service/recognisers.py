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
        is_slow = self._state == READY and not self.engine.shares_model
        return is_slow and self._opened < self._own_models and not self._idle

    def understands(self, language: str) -> bool:
        """Whether a stream may ask for it: a language of the engine, or `auto` where the engine finds it out."""
        primary = language.split("-")[0].lower()
        return primary in self.engine.languages or (primary == AUTO and self.engine.detects)

    async def run(self) -> None:
        """Load the engine and open recognisers until cancelled; then close those that are idle."""
        self._is_running = True
        try:
            await self._start()
            while True:
                await self._shortage.wait()
                self._shortage = anyio.Event()
                if self._is_short:
                    await self._open_one()
        finally:
            self._state = "The recogniser has stopped."
            self._is_running = False
            while self._idle:
                self._idle.pop().close()

    def take_nowait(self) -> Recogniser | None:
        """An idle one, or None; then one is on its way if the limit allows, and `on_idle` tells of it."""
        recogniser = None
        if self._idle:
            recogniser = self._idle.pop()
        elif not self._is_running:
            return None
        elif self.engine.shares_model and self._opened < self._streams:
            recogniser = self.engine.open()
            self._opened += 1
        if not self._idle:
            self._shortage.set()
        return recogniser

    def give_back(self, recogniser: Recogniser) -> None:
        """Let the next one speak to it."""
        if not self._is_running:
            recogniser.close()
            return
        self._idle.append(recogniser)
        self.on_idle()

    def discard(self, recogniser: Recogniser) -> None:
        """It has failed: another one takes its place when one is needed."""
        recogniser.close()
        self._opened -= 1
        self._shortage.set()

    async def _start(self) -> None:
        try:
            self._engine = await threads.call(self._load)
        except Exception:  # a model library may raise anything, also while it is imported
            self._state = "The recogniser could not be loaded."
            log.exception("the recogniser could not be loaded")
            return
        if await self._open_one():
            self._state = READY
            self._settle_language()
            self.is_ready.set()
            log.info("ready", extra={"engine": self._engine.name})

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


def task_in(language: str) -> Task:
    """To read what is said in a language, or in `auto`."""
    return Task("" if language.lower() == AUTO else language)
