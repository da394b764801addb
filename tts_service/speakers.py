"""What slots prepared of references, kept so that a voice is prepared once."""

from shared import threads
from tts_service.engines.base import Reference, Slot, Speaker


class Speakers:
    """Prepared speakers by revision."""

    def __init__(self) -> None:
        self._prepared: dict[str, Speaker] = {}

    async def of(self, reference: Reference, slot: Slot) -> Speaker:
        """The speaker of a reference. Raises EngineFailed."""
        if reference.revision not in self._prepared:
            prepared = await threads.call(slot.prepare, reference)
            self._prepared[reference.revision] = Speaker(reference.revision, prepared)
        return self._prepared[reference.revision]
