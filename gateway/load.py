"""How loaded the house is, gathered from all its sessions. Each is told when Parley does with less, or has more again.

Sessions measure how long their answers wait (`Wait`), and say when a service refused one; `core/load_ladder.py` decides
what that means. Sessions go by `level` whenever they begin something; what is under way stays as it was begun.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from gateway.core.events import Stage
from gateway.core.load_ladder import LadderParams, Level, LoadLadder
from shared import clock, metrics

EVERY_S: Final = 1.0
_SENTENCE_END: Final = re.compile(r"[.!?。！？…\n]")

Listener = Callable[[Level], None]
Clock = Callable[[], float]
log = logging.getLogger(__name__)


class HouseLoad:
    """What all sessions of a gateway know of its load. Nothing here waits but `run`."""

    def __init__(self, params: LadderParams | None = None, now_s: Clock = clock.now_s) -> None:
        params = params or LadderParams()
        self._ladder = LoadLadder(params)
        self._deepest = params.deepest
        self._now_s = now_s
        self._told = Level.FULL
        self._listeners: set[Listener] = set()

    @property
    def level(self) -> Level:
        """What a session may do that begins something now."""
        return self._ladder.level

    @property
    def gives_up_sound(self) -> bool:
        """Whether an answer may be shown alone where nobody can speak it."""
        return self._deepest is Level.TEXT_ONLY

    def waits_for(self, stage: Stage) -> "Wait":
        """The wait of one answer for its first word (LLM) or its first sound (TTS), not begun yet."""
        return Wait(lambda waited_s, has_come: self._note_wait(stage, waited_s, has_come), self._now_s)

    def note_refusal(self, stage: Stage) -> None:
        """A service refused an answer because it can take no more."""
        self._ladder.note_refusal(stage, self._now_s())
        self._tell()

    def note_sessions(self, open_sessions: int, most: int) -> None:
        """So many sessions there are now, of so many that there may be."""
        self._ladder.note_sessions(open_sessions, most, self._now_s())
        self._tell()

    def look(self) -> None:
        """Time has passed."""
        self._ladder.look(self._now_s())
        self._tell()

    @contextmanager
    def told(self, listener: Listener) -> Iterator[None]:
        """Call `listener` with each new level while inside the block, and at its beginning unless all is there."""
        self._listeners.add(listener)
        try:
            if self.level is not Level.FULL:
                listener(self.level)
            yield
        finally:
            self._listeners.discard(listener)

    async def run(self) -> None:
        """Look until cancelled, so that a house in which nothing happens has everything back."""
        while True:
            self.look()
            await anyio.sleep(EVERY_S)

    def _note_wait(self, stage: Stage, waited_s: float, has_come: bool) -> None:
        self._ladder.note_wait(stage, waited_s, self._now_s(), has_come=has_come)
        self._tell()

    def _tell(self) -> None:
        level, before = self.level, self._told
        if level is before:
            return
        self._told = level
        metrics.LOAD_LEVEL.set(level)
        log.info("the house does with %s", "less" if level > before else "more", extra={"level": level.name.lower()})
        for listener in list(self._listeners):
            listener(level)


class Wait:
    """One wait, from the first `begin` to the first `end` or `give_up` behind it; whatever comes later is nothing.

    As a block it is given up when that is left.
    """

    def __init__(self, note: Callable[[float, bool], None], now_s: Clock) -> None:
        self._note = note
        self._now_s = now_s
        self._began_s: float | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._is_over

    def begin(self) -> None:
        """From now on somebody waits."""
        if self._began_s is None:
            self._began_s = self._now_s()

    def begin_at_sentence(self, text: str) -> None:
        """`begin`, if this text ends a sentence: before that, speech may have to wait for more of it."""
        if _SENTENCE_END.search(text):
            self.begin()

    def end(self) -> None:
        """It came. Before the wait was begun, it came in no time."""
        self.begin()
        self._leave(has_come=True)

    def give_up(self) -> None:
        """It did not come, or nobody wants it any more."""
        self._leave(has_come=False)

    def __enter__(self) -> "Wait":
        return self

    def __exit__(self, *failure: object) -> None:
        self.give_up()

    def forget(self) -> None:
        """There is nothing to wait for."""
        self._is_over = True

    def _leave(self, *, has_come: bool) -> None:
        if not self._is_over and self._began_s is not None:
            self._note(self._now_s() - self._began_s, has_come)
        self._is_over = True
