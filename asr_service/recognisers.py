"""Recognisers: the few that many streams share, opened when they are needed.

A recogniser costs tens of megabytes and is needed only while somebody speaks, so a stream takes one at the onset and
gives it back at the pause. One is opened when the service starts; another one each time the last idle one is taken, on
a thread of its own, up to the limit. Nobody who speaks waits for a model to load while another recogniser is idle.

A recogniser may be given back in any state: `start` forgets what was unfinished. One that has failed is thrown away.
"""

import logging
from collections.abc import Callable

import anyio
from anyio import CapacityLimiter
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from asr_service.engines.base import Engine, Recogniser
from shared import threads
from shared.errors import ServiceUnavailable
from shared.health import READY

WARM_UP_PCM = bytes(2 * 8_000)  # half a second of silence: the first step of a fresh model is its slowest
log = logging.getLogger(__name__)


class Recognisers:
    """The recognisers of one process, used from the event loop's thread alone. None is there before `run` is ready."""

    def __init__(self, load: Callable[[], Engine], language: str, capacity: int) -> None:
        self._load = load
        self.language = language  # what is listened for; one that the engine knows, once it is loaded
        self._capacity = capacity
        self._opened = 0
        self._engine: Engine | None = None
        self._state = "The recogniser is loading."
        self._give: MemoryObjectSendStream[Recogniser]  # both ends are made by `run`, which closes them
        self._idle: MemoryObjectReceiveStream[Recogniser]
        self._shortage = anyio.Event()
        self.limiter = CapacityLimiter(capacity)  # threads for steps, apart from everybody else's

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
    def idle(self) -> int:
        """How many wait for somebody to speak."""
        return self._idle.statistics().current_buffer_used

    @property
    def opened(self) -> int:
        """How many there are."""
        return self._opened

    async def run(self) -> None:
        """Load the engine and open recognisers until cancelled; then close those that are idle."""
        self._give, self._idle = anyio.create_memory_object_stream[Recogniser](self._capacity)
        try:
            await self._start()
            while True:
                await self._shortage.wait()
                self._shortage = anyio.Event()
                if self._opened < self._capacity and not self.idle:
                    await self._open_one()
        finally:
            self._state = "The recogniser has stopped."
            while (recogniser := self.take_nowait()) is not None:
                recogniser.close()
            self._give.close()
            self._idle.close()

    def take_nowait(self) -> Recogniser | None:
        """An idle one, or None; then one is on its way if the limit allows."""
        try:
            recogniser = self._idle.receive_nowait()
        except anyio.WouldBlock:
            recogniser = None
        if not self.idle:
            self._shortage.set()
        return recogniser

    async def take(self) -> Recogniser:
        """The next that is free; who waits is served in order and before `take_nowait`. A cancel loses nothing."""
        recogniser = self.take_nowait()
        return recogniser if recogniser is not None else await self._idle.receive()

    def give_back(self, recogniser: Recogniser) -> None:
        """Let the next one speak to it."""
        try:
            self._give.send_nowait(recogniser)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            recogniser.close()  # the service has stopped

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
        if self.language.split("-")[0] not in self._engine.languages:  # LANGUAGE may be the desktop's, and no wish
            known = ", ".join(self._engine.languages)
            log.warning("the language is not understood", extra={"language": self.language, "known": known})
            self.language = self._engine.languages[0]
        if await self._open_one():
            self._state = READY
            log.info("ready", extra={"engine": self._engine.name})

    async def _open_one(self) -> bool:
        assert self._engine is not None
        try:
            recogniser = await threads.call(_open_warm, self._engine, self.language)
        except Exception:  # a model library may raise anything
            if not self._opened:
                self._state = "The recogniser could not be opened."
            log.exception("a recogniser could not be opened", extra={"opened": self._opened})
            return False
        self._opened += 1
        self.give_back(recogniser)
        return True


def _open_warm(engine: Engine, language: str) -> Recogniser:
    """A recogniser that has heard something, so that nobody waits for what a library does only once."""
    recogniser = engine.open()
    recogniser.start(language)
    recogniser.accept(WARM_UP_PCM)
    recogniser.finish()
    return recogniser
