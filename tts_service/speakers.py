"""Who was prepared to speak: kept in memory and on the disk, so that a recording is prepared once.

The least recently used leave the memory when there are too many, or too much of them. Laws: those who ask for one
recording at once wait for one preparation, and a cancel of one of them fails no other; what was forgotten while it was
prepared is kept nowhere.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import anyio

from shared import threads
from shared.errors import NotFound, ParleyError
from shared.metrics import TTS_SPEAKERS
from tts_service.engines.base import Reference, Slot, Speaker
from tts_service.speaker_copies import SpeakerCopies

log = logging.getLogger(__name__)

MEMORY_LIMIT_BYTES: Final = 256 * 1024 * 1024

Source = Literal["memory", "disk", "prepared"]


@dataclass(eq=False, slots=True)
class _Flight:
    """One preparation under way; empty-handed when it was cancelled before it began, or failed by a fault of ours."""

    path: Path
    landed: anyio.Event = field(default_factory=anyio.Event)
    speaker: Speaker | None = None
    failure: ParleyError | None = None
    is_forgotten: bool = False


class Speakers:
    """Prepared speakers of one engine by revision; without `copies` in memory alone."""

    def __init__(
        self, copies: SpeakerCopies | None = None, most: int = 50, limit_bytes: int = MEMORY_LIMIT_BYTES
    ) -> None:
        self.most = most
        self.found: dict[Source, int] = {"memory": 0, "disk": 0, "prepared": 0}
        self._copies = copies
        self._limit_bytes = limit_bytes
        self._memory: OrderedDict[str, Speaker] = OrderedDict()  # the least recently used first
        self._flights: dict[str, _Flight] = {}

    async def of(self, reference: Reference, slot: Slot) -> Speaker:
        """The speaker of a reference, prepared by `slot` if need be. Raises EngineFailed; NotFound when it was deleted.

        A cancel comes after a preparation that has begun, and that is kept all the same.
        """
        while True:
            known = self._memory.get(reference.revision)
            if known is not None:
                self._memory.move_to_end(reference.revision)
                self._count("memory")
                return known
            flight = self._flights.get(reference.revision)
            if flight is None:
                return await self._fly(reference, slot)
            await flight.landed.wait()
            if flight.failure is not None and flight.path == reference.path:  # one recording may lie in two places
                raise flight.failure
            if flight.speaker is not None:
                self._count("memory")
                return flight.speaker

    def in_memory(self) -> list[str]:
        """Revisions, the least recently used first."""
        return list(self._memory)

    def memory_bytes(self) -> int:
        return sum(len(speaker.prepared) for speaker in self._memory.values())

    async def forget(self, revision: str) -> None:
        """Drop all that was prepared of a recording. Raises OSError when the disk keeps it. A cancel loses nothing."""
        self._memory.pop(revision, None)
        flight = self._flights.pop(revision, None)
        if flight is not None:
            flight.is_forgotten = True
        if self._copies is not None:
            with anyio.CancelScope(shield=True):
                await threads.call(self._copies.forget, revision)

    async def keep_only(self, revisions: Iterable[str]) -> None:
        """Drop the copies of recordings that are known no more."""
        if self._copies is not None:
            await threads.call(self._copies.keep_only, list(revisions))

    async def _fly(self, reference: Reference, slot: Slot) -> Speaker:
        revision = reference.revision
        flight = self._flights[revision] = _Flight(reference.path)
        try:
            prepared, source = await threads.call(self._prepared, reference, slot)
            flight.speaker = speaker = Speaker(revision, prepared)
            if flight.is_forgotten:
                await self._forget_copy(revision)
            else:
                self._keep(speaker)
        except ParleyError as failure:
            flight.failure = failure
            raise
        finally:
            if self._flights.get(revision) is flight:
                del self._flights[revision]
            flight.landed.set()
        self._count(source)
        return speaker

    async def _forget_copy(self, revision: str) -> None:
        """Of what was deleted while it was prepared, unless it came back meanwhile."""
        is_back = revision in self._memory or revision in self._flights
        if self._copies is not None and not is_back:
            with anyio.CancelScope(shield=True):
                try:
                    await threads.call(self._copies.forget, revision)
                except OSError:
                    log.warning("a speaker of a voice that was deleted stays on the disk until the next start")

    def _prepared(self, reference: Reference, slot: Slot) -> tuple[bytes, Source]:
        """Runs on a thread."""
        if not reference.path.is_file():
            raise _deleted()
        copy = self._copies.read(reference.revision) if self._copies else None
        if copy is not None:
            return copy, "disk"
        try:
            prepared = slot.prepare(reference)
        except OSError:
            if reference.path.is_file():
                raise
            raise _deleted() from None
        if self._copies is not None:
            self._copies.write(reference.revision, prepared)
        return prepared, "prepared"

    def _keep(self, speaker: Speaker) -> None:
        self._memory[speaker.revision] = speaker
        while len(self._memory) > self.most or (self.memory_bytes() > self._limit_bytes and len(self._memory) > 1):
            self._memory.popitem(last=False)

    def _count(self, source: Source) -> None:
        self.found[source] += 1
        TTS_SPEAKERS.labels(source).inc()


def _deleted() -> NotFound:
    return NotFound("The voice was deleted.", service="tts", param="voice")
