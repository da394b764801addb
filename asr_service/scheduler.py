"""Decode scheduler: many utterances, few model calls.

Utterances ask, `DecodeQueue` says who is next, and a lane makes the call on a thread. An engine that may run several
calls at a time has as many lanes, so that one decode that stalls leaves another lane to everybody else. What can be
read together goes into one call. A step takes whatever its utterance has by then: the newest window wins, and the older
ones that nobody will read are counted as stale.

`cost_s` is what one speaker's partial cost lately; the rhythm of partials follows it.
"""

import logging
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from statistics import median
from typing import Protocol

import anyio
from anyio import CapacityLimiter

from asr_service.core.decode_queue import DecodeQueue, Urgency
from asr_service.engines.base import Engine, Recogniser, Result, Span, Step
from asr_service.recognisers import Recognisers
from shared import threads
from shared.clock import now_s
from shared.errors import EngineFailed
from shared.metrics import ASR_BATCH, ASR_DECODE_SECONDS, STALE

COSTS = 9  # partials that the cost is the median of: one that was disturbed does not count
log = logging.getLogger(__name__)


class Decodable(Hashable, Protocol):
    """What an utterance is to the scheduler."""

    def hold(self, take: Callable[[], Recogniser | None]) -> bool:
        """Take a recogniser if none is held; whether one is."""

    @property
    def next_step(self) -> Step:
        """What would be done next; it holds a recogniser."""

    def begin_step(self) -> Step:
        """What is being done from now on."""

    def end_step(self, step: Step, result: Result, took_s: float) -> None:
        """It was done, by a call that took so long."""

    def fail_step(self, failure: EngineFailed) -> None:
        """It could not be done; the recogniser is not to be used any more."""


class DecodeScheduler:
    """The decodes of one process, asked for on the event loop's thread alone."""

    def __init__(self, recognisers: Recognisers) -> None:
        self.recognisers = recognisers
        self._queue: DecodeQueue[Decodable] = DecodeQueue()
        self._costs_s: deque[float] = deque(maxlen=COSTS)
        self._changed = anyio.Event()
        recognisers.on_idle = self._wake

    @property
    def engine(self) -> Engine:
        """The engine; ServiceUnavailable while it is not ready."""
        return self.recognisers.engine

    @property
    def lanes(self) -> int:
        """How many calls run at a time; ServiceUnavailable while the engine is not ready."""
        return self.engine.lanes if self.engine.shares_model else self.recognisers.capacity

    @property
    def cost_s(self) -> float:
        """What a partial of one utterance costs, seconds of a lane; 0 while none was made."""
        return median(self._costs_s) if self._costs_s else 0.0

    async def run(self) -> None:
        """Load the engine and decode until cancelled. A cancel waits for the steps that are running."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.recognisers.run, name="recognisers")
            await self.recognisers.is_ready.wait()
            limiter = CapacityLimiter(self.lanes)  # threads apart from everybody else's
            for number in range(self.lanes):
                tasks.start_soon(self._lane, self.engine, limiter, name=f"lane {number}")

    # What utterances ask

    def ask(self, utterance: Decodable, urgency: Urgency) -> None:
        """Decode it when its turn comes."""
        if self._queue.ask(utterance, urgency):
            self._count_stale()
        self._wake()

    def withdraw(self, utterance: Decodable) -> None:
        """Leave it, unless it is being decoded already."""
        if self._queue.withdraw(utterance):
            self._count_stale()

    def waits(self, utterance: Decodable) -> bool:
        """Whether it waits for its turn."""
        return self._queue.waits(utterance) is not None

    def runs(self, utterance: Decodable) -> bool:
        """Whether it is being decoded."""
        return self._queue.runs(utterance)

    def is_busy(self, utterance: Decodable) -> bool:
        """Either."""
        return self.waits(utterance) or self.runs(utterance)

    def give_back(self, recogniser: Recogniser) -> None:
        """An utterance needs it no more."""
        self.recognisers.give_back(recogniser)

    def discard(self, recogniser: Recogniser) -> None:
        """It has failed."""
        self.recognisers.discard(recogniser)

    # Lanes

    async def _lane(self, engine: Engine, limiter: CapacityLimiter) -> None:
        while True:
            changed = self._changed
            batch = self._queue.take(
                lambda one: one.hold(self.recognisers.take_nowait), partial(_joins, engine), engine.most_joined
            )
            if batch:
                await self._decode(batch, engine, limiter)
            else:
                await changed.wait()

    async def _decode(self, batch: list[tuple[Decodable, Urgency]], engine: Engine, limiter: CapacityLimiter) -> None:
        steps = [utterance.begin_step() for utterance, _ in batch]
        began_s = now_s()
        try:
            results = checked(await threads.call(engine.read, steps, limiter=limiter), len(steps))
        except Exception as failure:  # an engine may raise anything
            results = [failure] * len(steps)
        finally:
            for utterance, _ in batch:
                self._queue.done(utterance)
        took_s = now_s() - began_s
        ASR_BATCH.observe(len(batch))
        for (utterance, _), step, result in zip(batch, steps, results, strict=True):
            self._note(step, took_s, len(batch))
            self._tell(utterance, step, result, took_s)

    def _tell(self, utterance: Decodable, step: Step, result: Result | Exception, took_s: float) -> None:
        if isinstance(result, Result):
            utterance.end_step(step, result, took_s)
            return
        log.error("a decode failed", exc_info=result)
        failed = EngineFailed("The recogniser failed; the text so far is kept.", service="asr")
        failed.__cause__ = result
        utterance.fail_step(failed)

    def _note(self, step: Step, took_s: float, together: int) -> None:
        ASR_DECODE_SECONDS.labels("final" if step.is_end else "partial").observe(took_s)
        if not step.is_end:
            self._costs_s.append(took_s / together)

    def _count_stale(self) -> None:
        STALE.labels("asr", "window").inc()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def checked(results: object, count: int) -> list[Result | Exception]:
    """What an engine has read; TypeError for what is no such thing, so that it harms one call and no more."""
    if not isinstance(results, list) or len(results) != count:
        raise TypeError(f"an engine has to answer {count} steps with as many results")
    wrong = [one for one in results if not isinstance(one, Exception) and not _is_result(one)]
    if wrong:
        raise TypeError(f"an engine answers with results, not with {type(wrong[0]).__name__}")
    return results


def _is_result(one: object) -> bool:
    return isinstance(one, Result) and isinstance(one.text, str) and all(isinstance(span, Span) for span in one.spans)


def _joins(engine: Engine, first: Decodable, other: Decodable) -> bool:
    try:
        return engine.joins(first.next_step, other.next_step)
    except Exception:  # an engine may raise anything; each is then read alone
        log.exception("whether two decodes go together cannot be told")
        return False
