"""Runs of several replicas that share a Redis: a key is answered once, whichever replicas its requests reach.

The replica that gets a key makes the answer into a run of its own, as without Redis, and writes down what it makes. Any
other one follows what is written into a run that is a copy, one for all its readers, so a reader always reads memory. A
run renews its right to the key while it is made; of a replica that died the right runs out, those who followed get a
ServiceUnavailable, and the next request runs anew. A run that lost its key goes on for its own readers alone. Whoever
asks while Redis does not answer gets a ServiceUnavailable: a key is a promise that could not be kept.

A dismissal takes the key away from a run and nothing from its readers: at whichever replica they are, they get the
whole answer. Nobody can join them, the answer is not kept, and it ends without a grace once nobody reads it anywhere:
at once where it is made at the replica that was told and nobody reads it, else as soon as its replica hears of it, with
the next piece or a third of the lock's time later.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from llm_service.core.idempotency import IdempotencyParams
from llm_service.redis_ledger import Ledger, Place, Right, connected
from llm_service.runs import Claim, Make, Reading, Run, RunLimits, conflict, fill, full, in_flight, stopping
from llm_service.upstream import RETRY_AFTER_MS, SERVICE
from shared.errors import InternalError, ParleyError, ServiceUnavailable
from shared.health import READY
from shared.ids import new_id
from shared.metrics import LLM_IDEMPOTENCY

log = logging.getLogger(__name__)
_SETTLE_S = 5.0  # how long writing down an end may take
_TRIES = 5  # claims that may find a run of this replica that has just ended


class SharedRun(Run):
    """A run made here, which other replicas may read until it has lost the right to write to them."""

    is_lost = False

    def heed(self, right: Right) -> None:
        """What it was told when it wrote."""
        if right is Right.LOST:
            self.lose()
        elif right is Right.DISMISSED:
            self.dismiss()

    def lose(self) -> None:
        """Nothing of it reaches other replicas any more."""
        self.is_lost = True
        self.dismiss()


class RedisRuns:
    """Which answers are made here, and which are followed."""

    def __init__(self, url: str, params: IdempotencyParams, limits: RunLimits, lock_s: float = 10.0) -> None:
        self._url = url
        self._params = params
        self._limits = limits
        self._lock_s = lock_s
        self._replica = new_id("replica")
        self._tasks: TaskGroup | None = None
        self._ledger: Ledger | None = None
        self._made: dict[str, SharedRun] = {}  # by token
        self._copied: dict[str, Run] = {}

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Runs can be made inside the block; leaving it ends them."""
        most_connections = 2 * self._params.max_running + 16
        async with connected(self._url, most_connections) as client, anyio.create_task_group() as self._tasks:
            self._ledger = Ledger(client, self._replica, self._lock_s, self._params.life_s)
            try:
                yield
            finally:
                self._tasks.cancel_scope.cancel()
                self._tasks = None

    @asynccontextmanager
    async def reading(self, claim: Claim, make: Make) -> AsyncIterator[Reading]:
        """Read the answer to a request, which `make` makes if nobody else did; raises a ParleyError."""
        run, outcome = await self._run_of(claim, make)
        LLM_IDEMPOTENCY.labels(outcome).inc()
        with run.reader() as pieces:
            yield Reading(pieces, is_replayed=outcome != "new")

    async def readiness(self) -> str:
        """`ready`, or a sentence that says what is missing."""
        try:
            await self._written.ping()
        except ParleyError:
            return "the Redis that keeps the answers cannot be reached"
        return READY

    async def dismiss(self, key: str) -> None:
        """Nobody asks for the running answer with this key again: it ends when nobody reads it anywhere."""
        token = await self._written.dismiss(key)
        if run := self._made.get(token):
            run.dismiss()

    @property
    def _written(self) -> Ledger:
        if self._ledger is None or self._tasks is None:
            raise stopping()
        return self._ledger

    async def _run_of(self, claim: Claim, make: Make) -> tuple[Run, str]:
        """The run to read; nothing waits between learning of it and its return."""
        for _ in range(_TRIES):
            place = Place(claim.key, claim.fingerprint, new_id(self._replica))
            with anyio.CancelScope(shield=True):  # a claim that nobody knows of would block its key for a while
                state, token = await self._written.claim(place)
                if state == "new":
                    return self._start(place, make), "new"
            if state == "conflict":
                raise _refused("conflict", conflict())
            if state == "running" and not self._limits.can_join:
                raise _refused("in_flight", in_flight())
            outcome = "join" if state == "running" else "replay"
            if token in self._made:
                return self._made[token], outcome
            if state == "done" or not token.startswith(self._replica):
                return self._copy(Place(claim.key, claim.fingerprint, token)), outcome
        raise _died()

    def _start(self, place: Place, make: Make) -> Run:
        if self._tasks is None:
            raise stopping()
        if len(self._made) >= self._params.max_running:
            self._tasks.start_soon(self._end, place, SharedRun(1), full(), name="refused")
            raise _refused("full", full())
        run = self._made[place.token] = SharedRun(self._params.max_entry_bytes)
        self._tasks.start_soon(self._own, place, run, make, name="run")
        return run

    async def _own(self, place: Place, run: SharedRun, make: Make) -> None:
        """The one task that makes the answer. However it ends, those who wait hear of it."""
        failure: ParleyError | None = stopping()
        outcome: list[ParleyError | None] = []

        async def made() -> None:
            outcome.append(await fill(run, make, self._limits.run_s))
            run.made()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._give_up_unread, place, run, tasks.cancel_scope)
                tasks.start_soon(self._renew, place, run)
                tasks.start_soon(made)
                await self._publish(place, run)
                [failure] = outcome
                tasks.cancel_scope.cancel()
        finally:
            await self._end(place, run, failure)

    async def _publish(self, place: Place, run: SharedRun) -> None:
        """Write down what is made while it is made; what is too long, or may not be written, is made all the same."""
        number = seen = 0
        try:
            while not run.is_lost:
                await run.until_more(seen)
                if run.is_too_long:
                    await self._written.abandon(place, _too_long())
                    run.lose()
                elif more := run.since(seen):
                    number, seen = number + 1, seen + len(more)
                    run.heed(await self._written.append(place, number, b"".join(more)))
                else:
                    return
        except ParleyError:
            log.warning("an answer could not be written down")
            run.lose()
        await run.until_made()

    async def _renew(self, place: Place, run: SharedRun) -> None:
        while not run.is_lost:
            await anyio.sleep(self._lock_s / 3)
            try:
                run.heed(await self._written.renew(place))
            except ParleyError:
                log.warning("a key could not be renewed")  # its time may last until the next try

    async def _give_up_unread(self, place: Place, run: SharedRun, scope: anyio.CancelScope) -> None:
        """Cancel the run when nobody reads it, here or at another replica."""
        while True:
            await run.until_unread(self._limits.grace_s)
            if await self._is_unwanted(place, run):
                break
            await anyio.sleep(self._lock_s / 3)
        self._made.pop(place.token, None)
        scope.cancel()

    async def _is_unwanted(self, place: Place, run: SharedRun) -> bool:
        """Whether nobody reads it; nobody new can then."""
        try:
            if not run.is_lost and not await self._written.abandon_unread(place, _given_up()):
                return False
        except ParleyError:
            log.warning("an answer is given up without Redis")  # who follows it hears nothing of it either
        run.lose()
        return not run.readers

    async def _end(self, place: Place, run: SharedRun, failure: ParleyError | None) -> None:
        """Write down how it ended, and tell its readers."""
        assert self._ledger
        with anyio.CancelScope(shield=True), anyio.move_on_after(_SETTLE_S):
            try:
                if failure or run.is_lost:  # of a lost one not all was written down
                    await self._ledger.abandon(place, failure or _died())
                else:
                    await self._ledger.complete(place)
            except ParleyError:
                log.warning("how an answer ended could not be written down")
        self._made.pop(place.token, None)
        run.end(failure)

    def _copy(self, place: Place) -> Run:
        run = self._copied.get(place.token)
        if run is None or run.is_dismissed:
            if self._tasks is None:
                raise stopping()
            if len(self._copied) >= self._params.max_running:
                raise _refused("full", full())
            run = self._copied[place.token] = Run(self._params.max_entry_bytes)
            self._tasks.start_soon(self._follow, place, run, name="copy")
        return run

    async def _follow(self, place: Place, run: Run) -> None:
        """Copy a run of another replica, or one that ended, as long as somebody reads the copy."""
        failure: ParleyError | None = stopping()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_end_unread, run, tasks.cancel_scope)
                failure = await self._copy_written(place, run)
                tasks.cancel_scope.cancel()
        finally:
            if self._copied.get(place.token) is run:
                del self._copied[place.token]
                await self._leave(place)
            run.end(failure)

    async def _copy_written(self, place: Place, run: Run) -> ParleyError | None:
        """Why it is no answer, or None when it is whole."""
        last, is_held = b"0", True
        try:
            while True:
                written = await self._written.read(place.key, place.token, last, self._lock_s / 3 if is_held else 0)
                if written:
                    last = written.last
                    if written.pieces:
                        await run.make_room()
                        run.append(written.pieces)
                    if written.is_end or written.failure:
                        return written.failure
                elif not is_held:
                    return _died()
                is_held = await self._written.stay(place.key, place.token)
        except ParleyError as failure:
            return failure

    async def _leave(self, place: Place) -> None:
        assert self._ledger
        with anyio.CancelScope(shield=True), anyio.move_on_after(_SETTLE_S):
            try:
                await self._ledger.leave(place.key, place.token)
            except ParleyError:
                log.warning("a replica could not be signed off")  # it counts as gone soon


async def _end_unread(run: Run, scope: anyio.CancelScope) -> None:
    await run.until_unread(0)
    run.dismiss()
    scope.cancel()


def _refused(outcome: str, error: ParleyError) -> ParleyError:
    LLM_IDEMPOTENCY.labels(outcome).inc()
    return error


def _given_up() -> ParleyError:
    return ServiceUnavailable("Nobody waited for the answer.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)


def _died() -> ParleyError:
    return ServiceUnavailable("Who made the answer has gone.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)


def _too_long() -> ParleyError:
    return InternalError("The answer is too long to be shared.", service=SERVICE)
