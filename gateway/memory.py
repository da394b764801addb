"""What people said in earlier talks: kept beside the turns, and brought back when a question needs it.

Keeping never delays a turn: what was said waits in a bounded queue, and one task of the gateway decides what of it is
worth it (`core/memorable.py`) and writes it, its words first, then its vectors. What the queue has no room for is
dropped and counted. Recalling is `recall_run.py`; it costs an answer a bounded time, or none when it was begun early.
Nothing here can fail a turn.

Only what a person said is kept, never the answer: what a model made up must not come back as a fact. Only they get it
back, and what they have forgotten is gone from the stores, and from the queue, when `forget` returns.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import anyio
from anyio.abc import TaskGroup

from gateway.core.memorable import MOST_MEMORIES, memorable
from gateway.core.recall import RecallParams
from gateway.meaning import Meaning
from gateway.memory_store import MemoryUnavailable
from gateway.recall_run import BUDGET_S, Recalled, RecallRun
from gateway.word_memory import NewMemory, WordMemory
from shared import clock
from shared.health import READY

WAITING = 256  # turns that wait to be remembered
RECALLS = 32  # that run at once; one above brings nothing back
FLUSH_AFTER_S = 5.0  # without anything to remember
CLOSING_S = 3.0  # for what waits to be kept at the end
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a person said in a turn, the turn that it corrects, and its place in the queue."""

    user_id: str
    conversation_id: str
    turn_id: str
    text: str
    edits: str
    told_at_s: float
    place: int


class PastTalk:
    """The memory of a gateway.

    `count` is told how each recall ended (found, empty, part, late, busy), and what was dropped or has failed.
    """

    def __init__(
        self,
        words: WordMemory,
        meaning: Meaning | None = None,
        count: Callable[[str], None] = lambda _: None,
        params: RecallParams | None = None,
    ) -> None:
        self._words = words
        self._meaning = meaning
        self._count = count
        self._params = params or RecallParams()
        self._send, self._waiting = anyio.create_memory_object_stream[_Told](WAITING)
        self._writing = anyio.Lock()
        self._forgotten: dict[tuple[str, str | None], int] = {}  # up to which place of the queue
        self._place = self._kept = 0
        self._news = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._recalls = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Remembers and recalls inside the block. Leaving keeps what waits, for `CLOSING_S` at most."""
        async with self._send, self._waiting, anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._keep_all, name="memory keeper")
            if self._meaning is not None:
                tasks.start_soon(self._meaning.keep_open, name="memory store")
            try:
                yield self
            finally:
                self._tasks = None
                with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSING_S):
                    await self.settled()
                tasks.cancel_scope.cancel()
        if self._meaning is not None:
            with anyio.CancelScope(shield=True):
                await self._meaning.close()

    # remembering ---------------------------------------------------------------------------------------------------

    def remember(self, user_id: str, conversation_id: str, turn_id: str, text: str, edits: str = "") -> None:
        """Keep what is worth it of a turn's words, soon. `edits` is the turn whose place it takes. Never waits."""
        told_at_s = clock.today().timestamp()
        told = _Told(user_id, conversation_id, turn_id, text, edits, told_at_s, self._place + 1)
        try:
            self._send.send_nowait(told)
            self._place = told.place
        except (anyio.WouldBlock, anyio.ClosedResourceError):
            self._count("dropped")

    async def settled(self) -> None:
        """Wait until all that was told by now is kept, or nobody keeps any more."""
        place = self._place
        while self._kept < place:
            await self._news.wait()

    async def _keep_all(self) -> None:
        try:
            await self._keep_each()
        finally:
            self._note_kept(self._place)

    async def _keep_each(self) -> None:
        while True:
            with anyio.move_on_after(FLUSH_AFTER_S) as idle:
                told = await self._waiting.receive()
            if idle.cancelled_caught:
                await self._flush()
                told = await self._waiting.receive()
            async with self._writing:
                if not self._is_forgotten(told):
                    await self._keep(told)
                self._note_kept(told.place)
            if self._kept == self._place:
                self._forgotten.clear()

    def _note_kept(self, place: int) -> None:
        self._kept = place
        self._news.set()
        self._news = anyio.Event()

    async def _keep(self, told: _Told) -> None:
        ids = [_memory_id(told.edits, number) for number in range(MOST_MEMORIES)] if told.edits else []
        memories = [
            NewMemory(_memory_id(told.turn_id, number), told.user_id, told.conversation_id, text, told.told_at_s)
            for number, text in enumerate(memorable(told.text))
        ]
        try:
            gone = [*await self._words.remove(told.user_id, ids), *await self._words.add(memories)]
            if self._meaning is not None:
                await self._meaning.remove(told.user_id, gone)
                await self._meaning.keep(memories)
        except Exception as failure:  # the border of the stores: whatever breaks there, the turn itself is kept
            log.warning("something could not be remembered", extra={"kind": type(failure).__name__})
            self._count("failed")

    async def _flush(self) -> None:
        try:
            if self._meaning is not None:
                await self._meaning.flush()
        except MemoryUnavailable:
            self._count("failed")

    # recalling -----------------------------------------------------------------------------------------------------

    def begin(self, user_id: str, question: str, besides: str = "") -> RecallRun:
        """Start to recall; `await` its `result` when the answer is asked for. Never waits.

        What was told in the conversation `besides`, the one that goes on, does not come back.
        """
        recall = RecallRun(user_id, question, besides, self._params, self._count)
        if self._tasks is None or self._recalls >= RECALLS:
            recall.refuse()
        else:
            self._recalls += 1
            self._tasks.start_soon(self._run, recall, name="recall")
        return recall

    async def recall(self, user_id: str, question: str, budget_s: float = BUDGET_S, besides: str = "") -> Recalled:
        """What a person said earlier that matters to their question, within the budget."""
        return await self.begin(user_id, question, besides).result(budget_s)

    async def _run(self, recall: RecallRun) -> None:
        try:
            await recall.run(self._words, self._meaning)
        except Exception as failure:  # the border of a recall: whatever breaks in a search, no session may end for it
            log.warning("a recall failed", extra={"kind": type(failure).__name__})  # its text may hold what was said
            self._count("failed")
        finally:
            self._recalls -= 1

    async def ready(self) -> str:
        """`ready`, once memories can be found by their meaning too."""
        return READY if self._meaning is None or self._meaning.is_open else "is searched by words alone"

    # forgetting ----------------------------------------------------------------------------------------------------

    async def forget(self, user_id: str) -> int:
        """Delete all that a person told, also what waits to be kept; how many memories were deleted.

        Raises MemoryUnavailable when the vectors could not be deleted: without their texts nothing brings them back.
        """
        return await self._forget(user_id, None)

    async def forget_conversation(self, user_id: str, conversation_id: str) -> int:
        """The same for what they told in one conversation."""
        return await self._forget(user_id, conversation_id)

    async def _forget(self, user_id: str, conversation_id: str | None) -> int:
        self._forgotten[user_id, conversation_id] = self._place
        async with self._writing:
            count = await self._words.forget(user_id, conversation_id)
            if self._meaning is not None:
                await self._meaning.forget(user_id, conversation_id)
        return count

    async def all_of(self, user_id: str) -> list[dict[str, object]]:
        """What is remembered of a person, the newest first: id, conversation_id, text, told_at (seconds since 1970)."""
        return await self._words.all_of(user_id)

    def _is_forgotten(self, told: _Told) -> bool:
        scopes = (None, told.conversation_id)
        return any(told.place <= self._forgotten.get((told.user_id, scope), 0) for scope in scopes)


def _memory_id(turn_id: str, number: int) -> str:
    return f"{turn_id}:{number}"
