"""One answer for several clients: made once, by a task that belongs to the store of runs and to none of its readers.

A run is an append-only list of bytes and its end. Readers read it from its beginning at their own pace; one that is
slow holds up nobody, and costs no more memory than the run. A run above its window goes on, but forgets its beginning:
it can have no new readers then, it waits for the one that is furthest, and one that lags a whole window behind that one
fails. A request without a key has no run: it is told what is made while it is made (`live`), and its leaving ends the
work.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import anyio

from llm_service.upstream import RETRY_AFTER_MS, SERVICE
from shared.errors import (
    IdempotencyKeyReused,
    InternalError,
    Overloaded,
    ParleyError,
    RequestInFlight,
    ServiceTimeout,
    ServiceUnavailable,
)

log = logging.getLogger(__name__)

Pieces = AsyncGenerator[bytes, None]
Make = Callable[[], AbstractAsyncContextManager[Pieces]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A request with a key: the key as it is looked up, and the fingerprint of what is asked."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer as one client gets it, and whether it is made for another request. Its pieces raise a ParleyError."""

    pieces: Pieces
    is_replayed: bool


Opening = Callable[[], AbstractAsyncContextManager[Reading]]


class Runs(Protocol):
    """Where answers with a key are made and kept."""

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Runs can be made inside the block; leaving it ends them."""
        ...

    def reading(self, claim: Claim, make: Make) -> AbstractAsyncContextManager[Reading]:
        """Read the answer to a request, which `make` makes if nobody else did; raises a ParleyError."""
        ...

    async def readiness(self) -> str:
        """`ready`, or a sentence that says what is missing."""
        ...

    async def dismiss(self, key: str) -> None:
        """Whoever dismisses a key wants its running answer no more: nobody can join it, and a new request runs anew.

        Those who read it, at whichever replica, get the whole of it; when none is left it ends without a grace, and it
        is not kept. Of an answer that is kept already, and of a key that does not run, nothing changes.
        """
        ...


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How long a run goes on without readers, how long it may take, and whether others may join while it runs."""

    grace_s: float = 10.0
    run_s: float = 600.0
    can_join: bool = True


@asynccontextmanager
async def live(make: Make) -> AsyncIterator[Reading]:
    """An answer for one client alone."""
    async with make() as pieces:
        yield Reading(pieces, is_replayed=False)


class Signal:
    """Wakes everybody who waits for a change."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def give(self) -> None:
        self._event.set()
        self._event = anyio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for a state; tests it after each change."""
        while not is_so():
            await self._event.wait()


class Run:
    """What was made of one answer so far, how it ended, and how many read it."""

    def __init__(self, window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._forgotten = 0  # pieces at the beginning that are no longer held
        self._furthest = 0  # pieces that the furthest reader has taken
        self._read_on = Signal()
        self._failure: ParleyError | None = None
        self._grown = Signal()
        self._readers_changed = Signal()
        self.size_bytes = 0
        self.readers = 0
        self.has_ended = False
        self.is_made = False  # no more comes, though its end may not be told yet
        self.is_dismissed = False

    @property
    def is_too_long(self) -> bool:
        """Whether it is above its window, so that a new reader might miss its beginning."""
        return self.size_bytes > self._window_bytes

    async def make_room(self) -> None:
        """Forget what is above the window; waits until the furthest reader has it, if there are readers."""
        while self._held_bytes > self._window_bytes:
            await self._read_on.until(lambda: self._furthest > self._forgotten or not self.readers)
            self._held_bytes -= len(self._pieces.pop(0))
            self._forgotten += 1

    def append(self, piece: bytes) -> None:
        """More of the answer; goes by one piece above the window at most, if room was made before."""
        self._pieces.append(piece)
        self.size_bytes += len(piece)
        self._held_bytes += len(piece)
        self._grown.give()

    def made(self) -> None:
        """No more comes; how it ended is still to be told."""
        self.is_made = True
        self._grown.give()

    def end(self, failure: ParleyError | None = None) -> None:
        """No more comes: the answer is whole, or failed."""
        self._failure = failure and again(failure)
        self.is_made = self.has_ended = True
        self._grown.give()

    @contextmanager
    def reader(self) -> Iterator[Pieces]:
        """All its pieces, from the first one on; counts as a reader inside the block."""
        self.readers += 1
        self._readers_changed.give()
        try:
            yield self._read()
        finally:
            self.readers -= 1
            self._readers_changed.give()
            self._read_on.give()

    def dismiss(self) -> None:
        """Nobody can join it any more: it goes on for those who read it, and ends without a grace with the last."""
        self.is_dismissed = True
        self._readers_changed.give()

    async def until_unread(self, grace_s: float) -> None:
        """Wait until it has had no reader for so long, or has none and was dismissed."""
        while True:
            await self._readers_changed.until(lambda: self.readers == 0)
            with anyio.move_on_after(grace_s):
                await self._readers_changed.until(lambda: self.readers > 0 or self.is_dismissed)
            if self.readers == 0:
                return

    async def until_more(self, seen_pieces: int) -> None:
        """Wait until it has more pieces than those, or no more comes."""
        await self._grown.until(lambda: self._count > seen_pieces or self.is_made)

    async def until_made(self) -> None:
        """Wait until no more comes."""
        await self._grown.until(lambda: self.is_made)

    def since(self, seen_pieces: int) -> list[bytes]:
        """The pieces after those; raises ServiceUnavailable when they are no longer held."""
        self._check_held(seen_pieces)
        return self._pieces[seen_pieces - self._forgotten :]

    def check(self) -> None:
        """Raise the failure with which it ended, as an exception that is nobody else's."""
        if self._failure:
            raise again(self._failure)

    @property
    def _count(self) -> int:
        return self._forgotten + len(self._pieces)

    async def _read(self) -> Pieces:
        for seen in count():
            await self._until_told(seen)
            if seen >= self._count:
                break
            self._check_held(seen)
            yield self._pieces[seen - self._forgotten]
            self._advance(seen + 1)
        self.check()

    def _advance(self, seen_pieces: int) -> None:
        self._furthest = max(self._furthest, seen_pieces)
        if self._held_bytes > self._window_bytes:
            self._read_on.give()

    async def _until_told(self, seen_pieces: int) -> None:
        await self._grown.until(lambda: self._count > seen_pieces or self.has_ended)

    def _check_held(self, seen_pieces: int) -> None:
        if seen_pieces < self._forgotten:
            raise ServiceUnavailable("The answer is long, and it was read too slowly.", service=SERVICE)


async def fill(run: Run, make: Make, limit_s: float) -> ParleyError | None:
    """Make the answer into the run. How it failed, or None when it is whole; does not end the run."""
    try:
        with anyio.move_on_after(limit_s):
            async with make() as pieces:
                async for piece in pieces:
                    await run.make_room()
                    run.append(piece)
            return None
    except ParleyError as failure:
        return failure
    except Exception:  # a fault of ours belongs to those who wait; here it would end every other run
        log.exception("an answer failed")
        return InternalError("Something went wrong on our side.", service=SERVICE)
    return ServiceTimeout("The answer takes too long as a whole.", service=SERVICE)


def again(failure: ParleyError) -> ParleyError:
    """The same failure as an exception of its own: one that is raised for many grows with each."""
    return type(failure)(
        failure.message, service=failure.service, param=failure.param, retry_after_ms=failure.retry_after_ms
    )


def stopping() -> ParleyError:
    return ServiceUnavailable("The language service is stopping.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)


def conflict() -> ParleyError:
    return IdempotencyKeyReused("The idempotency key came before with another request.", service=SERVICE)


def in_flight() -> ParleyError:
    return RequestInFlight("The same request is being answered.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)


def full() -> ParleyError:
    return Overloaded("Too many requests with a key run at once.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)
