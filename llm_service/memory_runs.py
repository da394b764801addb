"""Runs of this process: right for one replica, or for several behind routing that sends a key always to the same one.

The core decides; here its decisions are carried out. Between asking the core and counting the reader nothing waits, so
a run that is given up is gone from the core before anybody could join it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from llm_service.core.idempotency import Conflict, Full, Idempotency, IdempotencyParams, InFlight, New, Replay
from llm_service.runs import Claim, Make, Reading, Run, RunLimits, conflict, fill, full, in_flight, stopping
from shared import clock
from shared.errors import ParleyError
from shared.health import READY
from shared.metrics import LLM_IDEMPOTENCY


class MemoryRuns:
    """Which answers are made and kept here."""

    def __init__(self, params: IdempotencyParams, limits: RunLimits, now_s: Callable[[], float] = clock.now_s) -> None:
        self._params = params
        self._limits = limits
        self._now_s = now_s
        self._keys = Idempotency[Run](params)
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Runs can be made inside the block; leaving it ends them."""
        async with anyio.create_task_group() as self._tasks:
            try:
                yield
            finally:
                self._tasks.cancel_scope.cancel()
                self._tasks = None

    @asynccontextmanager
    async def reading(self, claim: Claim, make: Make) -> AsyncIterator[Reading]:
        """Read the answer to a request, which `make` makes if nobody else did; raises a ParleyError."""
        run, outcome = self._run_of(claim, make)
        LLM_IDEMPOTENCY.labels(outcome).inc()
        with run.reader() as pieces:
            yield Reading(pieces, is_replayed=outcome != "new")

    async def readiness(self) -> str:
        """Always ready."""
        return READY

    async def dismiss(self, key: str) -> None:
        """Nobody asks for the running answer with this key again: it ends when nobody reads it."""
        if run := self._keys.dismiss(key):
            run.dismiss()

    def _run_of(self, claim: Claim, make: Make) -> tuple[Run, str]:
        if self._tasks is None:
            raise stopping()
        offered = Run(self._params.max_entry_bytes)
        found = self._keys.reserve(claim.key, claim.fingerprint, offered, self._now_s())
        if isinstance(found, InFlight) and found.run.is_too_long:
            self._keys.abandon(claim.key, found.run)
            found = self._keys.reserve(claim.key, claim.fingerprint, offered, self._now_s())
        match found:
            case New():
                self._tasks.start_soon(self._own, claim, offered, make, name="run")
                return offered, "new"
            case InFlight(run) if self._limits.can_join:
                return run, "join"
            case Replay(run):
                return run, "replay"
        raise _refused(found)

    async def _own(self, claim: Claim, run: Run, make: Make) -> None:
        """The one task that makes the answer. However it ends, those who wait hear of it."""
        failure: ParleyError | None = stopping()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._give_up_unread, claim, run, tasks.cancel_scope)
                failure = await fill(run, make, self._limits.run_s)
                tasks.cancel_scope.cancel()
        finally:
            if failure is None:
                self._keys.complete(claim.key, run, run.size_bytes, self._now_s())
            else:
                self._keys.abandon(claim.key, run)
            run.end(failure)

    async def _give_up_unread(self, claim: Claim, run: Run, scope: anyio.CancelScope) -> None:
        await run.until_unread(self._limits.grace_s)
        self._keys.abandon(claim.key, run)
        scope.cancel()


def _refused(found: object) -> ParleyError:
    outcome, error = {
        Conflict: ("conflict", conflict),
        Full: ("full", full),
        InFlight: ("in_flight", in_flight),
    }[type(found)]
    LLM_IDEMPOTENCY.labels(outcome).inc()
    return error()
