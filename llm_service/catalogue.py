"""Which models each upstream has: those that the operator listed, else those that the server lists, kept for a while.

A server's list is asked for when it is needed first and again after some minutes; when it cannot be had, the last one
holds and the next try comes soon. All servers are asked at once, and those who want the same list wait for one answer.
Whoever knows enough goes on, and a list that is still awaited then is kept when it comes.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import anyio
from anyio.abc import TaskGroup

from llm_service.core.routing import Place
from shared.clock import now_s

log = logging.getLogger(__name__)
KEPT_S = 300.0
RETRIED_S = 10.0
LATECOMERS_S = 0.25  # lists that come so soon after what was enough count too, so that the order of servers holds
Listing = Callable[[], Awaitable[tuple[str, ...] | None]]
IsEnough = Callable[[Sequence[Place]], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """One upstream, and the way to ask for its models; None when they are known."""

    place: Place
    listing: Listing | None = None


class Catalogue:
    """The places as they are known now, in order. Servers are asked inside `running`, and outside of it nobody is."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._shelves = [_Shelf(entry) for entry in entries]
        self._tasks: TaskGroup | None = None
        self._changed = anyio.Event()

    @property
    def places(self) -> list[Place]:
        """What is known without asking."""
        return [shelf.place for shelf in self._shelves]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Servers can be asked inside the block; leaving it gives up the lists that are still awaited."""
        async with anyio.create_task_group() as self._tasks:
            try:
                yield
            finally:
                self._tasks.cancel_scope.cancel()
                self._tasks = None

    async def asked(self, is_enough: IsEnough = lambda _: False, within_s: float = float("inf")) -> list[Place]:
        """What is known after asking, one server beside the other, where a list is missing or old.

        Waits for all of them, unless `is_enough` says of what is known that the rest makes no difference, and for no
        longer than `within_s`.
        """
        self._ask()
        if not is_enough(self.places):
            with anyio.move_on_after(within_s):
                await self._until(lambda: is_enough(self.places))
                with anyio.move_on_after(LATECOMERS_S):
                    await self._until(lambda: False)
        return self.places

    def _ask(self) -> None:
        for shelf in self._shelves:
            if self._tasks and shelf.is_old:
                shelf.is_awaited = True
                self._tasks.start_soon(self._freshen, shelf, name="models of a server")

    async def _freshen(self, shelf: "_Shelf") -> None:
        try:
            await shelf.freshen()
        finally:
            self._changed.set()
            self._changed = anyio.Event()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Wait until that is so, or until no list is awaited any more."""
        while any(shelf.is_awaited for shelf in self._shelves) and not is_so():
            await self._changed.wait()


class _Shelf:
    """The models of one upstream."""

    def __init__(self, entry: Entry) -> None:
        self.place = entry.place
        self.is_awaited = False
        self._listing = entry.listing
        self._until_s = float("-inf")

    @property
    def is_old(self) -> bool:
        """Whether it is to be asked for now."""
        return self._listing is not None and not self.is_awaited and now_s() >= self._until_s

    async def freshen(self) -> None:
        assert self._listing is not None, "what is known is never asked for"
        found: tuple[str, ...] | None = None
        try:
            found = await self._listing()
        except Exception:  # the border of one server: what is wrong with its list must not end the others
            log.exception("the models of a server could not be listed", extra={"upstream": self.place.name})
        finally:
            self.is_awaited = False
        self._until_s = now_s() + (RETRIED_S if found is None else KEPT_S)
        if found is not None:
            self.place = replace(self.place, models=found)
