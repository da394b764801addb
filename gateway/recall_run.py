"""One recall under way: two searches side by side, and what of them came in time.

`result` waits no longer than its budget, counted from the beginning of the recall, so that one which began while the
person still spoke costs the answer nothing. A search that comes later is dropped. Whatever fails brings nothing back.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.memory_words import asked_words
from gateway.core.recall import Candidate, Memory, RecallParams, chosen, turn_of
from gateway.meaning import NEAREST, Meaning
from gateway.memory_store import MemoryUnavailable
from gateway.word_memory import WordMemory
from shared import clock
from shared.errors import ParleyError

BUDGET_S = 0.05
SEARCH_LIMIT_S = 2.0  # then nobody waits for the searches any more
QUESTION_CHARS = 1_000  # of a question that are looked at
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What came back in time, the best first, and how that ended: found, empty, part, late, busy.

    `part`: the search by meaning was late and dropped, the one by words was in time. `late`: both were dropped.
    """

    memories: tuple[Memory, ...] = ()
    outcome: str = "empty"

    def told_in(self, messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
        """The messages of a prompt, whose last asks, with what is remembered as a turn right before that.

        What stands before stays the same from prompt to prompt, so a server that keeps what it has read reads it once.
        """
        *earlier, question = messages
        turn = turn_of(question["content"], self.memories)
        if turn is None:
            return list(messages)
        told = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), turn, strict=True)]
        return [*earlier, *told, question]


class RecallRun:
    """A recall. `run` searches, in a task of its own; `result` may be asked by anybody, again and again."""

    def __init__(
        self, user_id: str, question: str, besides: str, params: RecallParams, count: Callable[[str], None]
    ) -> None:
        self.question = question
        self._user_id = user_id
        self._besides = besides
        self._params = params
        self._count = count
        self._began_s = clock.now_s()
        self._text = question[:QUESTION_CHARS]
        self._asked = asked_words(self._text)
        self._by_words: list[Memory] | None = None
        self._by_meaning: list[Candidate] | None = None
        self._least_similarity: float | None = None  # of what the search by meaning did not give
        self._over = anyio.Event()
        self._result: Recalled | None = None

    def refuse(self) -> None:
        """Too many run: this one brings nothing back."""
        self._result = Recalled(outcome="busy")
        self._count("busy")

    async def result(self, budget_s: float = BUDGET_S) -> Recalled:
        """What was found within the budget since the beginning; the first call decides. A cancel loses nothing."""
        if self._result is None:
            with anyio.move_on_after(max(0.0, self._began_s + budget_s - clock.now_s())):
                await self._over.wait()
        if self._result is None:
            self._result = self._gathered()
            self._count(self._result.outcome)
        return self._result

    def _gathered(self) -> Recalled:
        found = [Candidate(one, self._similarity(one)) for one in self._by_words or ()] + (self._by_meaning or [])
        memories = tuple(chosen(self._text, self._asked, found, self._params, self._besides))
        if self._over.is_set():
            return Recalled(memories, "found" if memories else "empty")
        return Recalled(memories, "late" if self._by_words is None and self._by_meaning is None else "part")

    def _similarity(self, memory: Memory) -> float | None:
        """At most this near is what words found and the search by meaning, which gives the nearest, did not."""
        given = {one.memory.memory_id: one.similarity for one in self._by_meaning or ()}
        return given.get(memory.memory_id, self._least_similarity)

    async def run(self, words: WordMemory, meaning: Meaning | None) -> None:
        """Search, for `SEARCH_LIMIT_S` at most. A cancel drops what is not found yet."""
        try:
            with anyio.move_on_after(SEARCH_LIMIT_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._search_words, words)
                    if meaning is not None and meaning.is_asked(self._text):
                        await self._search_meaning(words, meaning)
                        meaning.note(is_late=self._result is not None)
        finally:
            self._over.set()

    async def _search_words(self, words: WordMemory) -> None:
        try:
            self._by_words = await words.find(self._user_id, self._asked) if self._asked else []
        except SQLAlchemyError as failure:  # the border of the database: a turn goes on without its memories
            log.warning("memories could not be searched by words", extra={"kind": type(failure).__name__})
            self._count("failed")

    async def _search_meaning(self, words: WordMemory, meaning: Meaning) -> None:
        try:
            near = dict(await meaning.near(self._user_id, self._text))
            memories = await words.get(self._user_id, near, self._asked) if near else []
        except (ParleyError, MemoryUnavailable, SQLAlchemyError) as failure:  # as above
            log.warning("memories could not be searched by meaning", extra={"kind": type(failure).__name__})
            self._count("failed")
            return
        self._least_similarity = min(near.values()) if len(near) == NEAREST else None
        self._by_meaning = [Candidate(one, near[one.memory_id]) for one in memories]
