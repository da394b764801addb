"""The vectors of memories: made by the llm_service, kept and searched in the memory store.

What is not there yet, or has gone, is done without: a store that another process holds is tried again, in longer
and longer waits, and what was told meanwhile is found by its words alone. When searches are late several times in a
row, they are left alone for a while, so that not every answer waits for nothing.

A model that knows English only is not asked about texts in other scripts: its figures for them mean nothing.
"""

import logging
import re
from collections.abc import Collection, Sequence
from contextlib import suppress

import anyio

from gateway.embedding_client import EmbeddingClient
from gateway.memory_store import MemoryStore, MemoryUnavailable, StoredVector
from gateway.word_memory import NewMemory
from shared import clock
from shared.errors import ParleyError

NEAREST = 50  # vectors that one search gives
REOPEN_S = 5.0
LONGEST_WAIT_S = 60.0
FIRST_TEXT = "Hello."
LATE_IN_A_ROW = 3
REST_S = 30.0
ENGLISH_ONLY = re.compile(r"all-minilm|-en(?:-|$)|gte-(?:small|base|large)$|^e5-")  # names of models that people use
log = logging.getLogger(__name__)


class Meaning:
    """Vectors by person. Raises ParleyError and MemoryUnavailable from what it asks."""

    def __init__(self, store: MemoryStore, embeddings: EmbeddingClient) -> None:
        self._store = store
        self._embeddings = embeddings
        self._model = ""  # known once it was asked
        self._late_in_a_row = 0
        self._rests_until_s = 0.0

    async def keep_open(self) -> None:
        """Open the store, again and again while it cannot be, then learn the model's name, which loads the model."""
        wait_s = REOPEN_S
        while not self._store.is_open:
            try:
                await self._store.open()
            except MemoryUnavailable as failure:
                log.warning("memories are found by their words alone", extra={"reason": str(failure)})
                await anyio.sleep(wait_s)
                wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
        wait_s = REOPEN_S
        while not await self._is_model_known():
            await anyio.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    async def _is_model_known(self) -> bool:
        if not self._model:
            with suppress(ParleyError):
                self._model = (await self._embeddings.embed([FIRST_TEXT])).model
        return bool(self._model)

    @property
    def is_open(self) -> bool:
        """Whether the store of vectors is there."""
        return self._store.is_open

    async def close(self) -> None:
        """Let the store go."""
        await self._store.close()

    def is_asked(self, text: str) -> bool:
        """Whether a search for this text is worth its time now."""
        is_ready = self._store.is_open and bool(self._model)
        return is_ready and clock.now_s() >= self._rests_until_s and self.knows(text)

    def knows(self, text: str) -> bool:
        """Whether the model understands the script of a text, as far as its name tells."""
        is_english_only = ENGLISH_ONLY.search(self._model.rpartition("/")[2].lower())
        return not is_english_only or not any(character.isalpha() and character > "\u024f" for character in text)

    def note(self, *, is_late: bool) -> None:
        """Whether a search came in time for its answer."""
        self._late_in_a_row = self._late_in_a_row + 1 if is_late else 0
        if self._late_in_a_row >= LATE_IN_A_ROW:
            self._late_in_a_row = 0
            self._rests_until_s = clock.now_s() + REST_S
            log.warning("searches by meaning are late and rest for a while", extra={"rest_s": REST_S})

    async def near(self, user_id: str, text: str) -> list[tuple[str, float]]:
        """A person's memories nearest to a text, with their cosine; at most `NEAREST`."""
        made = await self._embeddings.embed([text])
        return await self._store.near(made.model, user_id, made.vectors[0], NEAREST)

    async def keep(self, memories: Sequence[NewMemory]) -> None:
        """Make and keep the vectors of new memories, of those whose script the model knows."""
        if not self._store.is_open:
            return
        known = [one for one in memories if self.knows(one.text)]
        if not known:
            return
        made = await self._embeddings.embed([one.text for one in known])
        self._model = made.model
        rows = [
            StoredVector(one.memory_id, one.user_id, one.conversation_id, vector)
            for one, vector in zip(known, made.vectors, strict=True)
            if self.knows(one.text)
        ]
        await self._store.add(made.model, rows)

    async def forget(self, user_id: str, conversation_id: str | None) -> None:
        """Delete a person's vectors, or those of one conversation. Raises MemoryUnavailable while the store is away."""
        await self._store.forget(user_id, conversation_id)

    async def remove(self, user_id: str, memory_ids: Collection[str]) -> None:
        """Delete some of a person's vectors."""
        if self._store.is_open:
            await self._store.remove(user_id, memory_ids)

    async def flush(self) -> None:
        """Write what waits."""
        await self._store.flush()
