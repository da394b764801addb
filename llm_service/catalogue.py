"""Which models each upstream has: those that the operator listed, else those that the server lists, kept for a while.

A server's list is asked for when it is needed first and again after some minutes; when it cannot be had, the last one
holds and the next try comes soon. Those who want the same list at once wait for one question.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import anyio

from llm_service.core.routing import Place
from shared.clock import now_s

KEPT_S = 300.0
RETRIED_S = 10.0
Listing = Callable[[], Awaitable[tuple[str, ...] | None]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One upstream, and the way to ask for its models; None when they are known."""

    place: Place
    listing: Listing | None = None


class Catalogue:
    """The places as they are known now, in order."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._shelves = [_Shelf(entry) for entry in entries]

    @property
    def places(self) -> list[Place]:
        """What is known without asking."""
        return [shelf.place for shelf in self._shelves]

    async def asked(self) -> list[Place]:
        """What is known after asking, one server beside the other, where a list is missing or old."""
        async with anyio.create_task_group() as tasks:
            for shelf in self._shelves:
                tasks.start_soon(shelf.freshen)
        return self.places


class _Shelf:
    """The models of one upstream."""

    def __init__(self, entry: Entry) -> None:
        self.place = entry.place
        self._listing = entry.listing
        self._asking = anyio.Lock()
        self._until_s = float("-inf")

    async def freshen(self) -> None:
        if self._listing is None or now_s() < self._until_s:
            return
        async with self._asking:  # a cancel while waiting leaves the list as it was
            if now_s() < self._until_s:
                return
            found = await self._listing()
            self._until_s = now_s() + (RETRIED_S if found is None else KEPT_S)
            if found is not None:
                self.place = replace(self.place, models=found)
