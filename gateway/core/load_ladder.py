"""Decide with how much less Parley does while it is under load: one step down quickly, one step up slowly.

What shows load is told: waits for the first word and the first sound of an answer, refusals, sessions. Each of them
leads down only so far: a full house costs no more than what is rendered anew, a slow or full language model (or
recogniser) no more than the costly voice, and sound is given up only for what speech itself shows. One slow answer is
no load, several in a row are; and where nobody shares the house, being slow is what it is. Reads no clock: `now_s` is
monotonic seconds, handed in, and never goes back.

Laws: a call changes the level by one step at most; a step down is at least `settle_s` behind the step before, and what
was asked for before that step leads to none; a step up is at least `calm_s` behind the last step and behind the last
pressure that could have led as deep; no pressure leads deeper than it may, nor than `deepest`; answers in time lead
nowhere; who falls again soon after a step up waits longer for the next one, never longer than `longest_calm_s`, so that
without pressure everything is back after three such waits.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.core.events import Stage


class Level(IntEnum):
    """What Parley does without: each level goes without what those before it do too."""

    FULL = 0
    NO_HQ = 1  # nothing is rendered anew, and no finer voice speaks
    FAST_VOICE = 2  # the cheaper voice speaks
    TEXT_ONLY = 3  # none does


DEEPEST: Final = {Stage.ASR: Level.FAST_VOICE, Stage.LLM: Level.FAST_VOICE, Stage.TTS: Level.TEXT_ONLY}


@dataclass(frozen=True, slots=True)
class LadderParams:
    """What counts as load, and how long steps take."""

    late_sound_s: float = 1.5  # from a sentence given to speech to its first sound; longer is late
    late_word_s: float = 2.5  # from a question to the first word of its answer
    late_in_a_row: int = 3  # so many are load
    least_sessions: int = 2  # of fewer nobody waits for somebody else
    crowded_share: float = 0.8  # of the sessions that there may be: a house so full is crowded
    settle_s: float = 3.0  # for a step to have its effect
    calm_s: float = 30.0  # without pressure, before a step up
    longest_calm_s: float = 240.0
    steady_s: float = 60.0  # a fall within this after a step up doubles the wait for the next one; at least calm_s
    deepest: Level = Level.TEXT_ONLY  # FULL: never does with less


class LoadLadder:
    """The level of one house."""

    def __init__(self, params: LadderParams = LadderParams()) -> None:
        self._params = params
        self._level = Level.FULL
        self._late = dict.fromkeys(Stage, 0)  # answers in a row
        self._open_sessions, self._most_sessions = 0, 1
        self._pressed_s = dict.fromkeys(Level, -math.inf)  # when something pressed last that leads as deep as that
        self._stepped_s = -math.inf
        self._climbed_s: float | None = None  # when the last step was one up
        self._wait_s = params.calm_s

    @property
    def level(self) -> Level:
        """Where the house stands."""
        return self._level

    def note_wait(self, stage: Stage, waited_s: float, now_s: float, *, has_come: bool = True) -> None:
        """So long an answer waited for its first word or sound. One that was given up tells only if it was late."""
        late_s = self._params.late_sound_s if stage is Stage.TTS else self._params.late_word_s
        if waited_s <= late_s:
            self._late[stage] = 0 if has_come else self._late[stage]
        elif self._open_sessions >= self._params.least_sessions and now_s - waited_s >= self._stepped_s:
            self._late[stage] += 1
            if self._late[stage] >= self._params.late_in_a_row:
                self._press(DEEPEST[stage], now_s)

    def note_refusal(self, stage: Stage, now_s: float) -> None:
        """A service said that it can take no more. That is load at once, whoever else it works for."""
        self._press(DEEPEST[stage], now_s)

    def note_sessions(self, open_sessions: int, most: int, now_s: float) -> None:
        """So many sessions there are, of so many that there may be."""
        if self._is_crowded:
            self._pressed_s[Level.NO_HQ] = now_s  # up to now it was
        self._open_sessions, self._most_sessions = open_sessions, most
        if self._is_crowded:
            self._press(Level.NO_HQ, now_s)

    def look(self, now_s: float) -> None:
        """Time has passed: it may be calm enough for a step up. To be called each second or so."""
        if self._is_crowded:
            self._press(Level.NO_HQ, now_s)
        if self._level is not Level.FULL and now_s - self._disturbed_s >= self._calm_s:
            self._level = Level(self._level - 1)
            self._stepped_s = self._climbed_s = now_s

    @property
    def _is_crowded(self) -> bool:
        is_shared = self._open_sessions >= self._params.least_sessions
        return is_shared and self._open_sessions >= self._params.crowded_share * self._most_sessions

    @property
    def _disturbed_s(self) -> float:
        """When something last spoke against a step up."""
        return max(self._stepped_s, *(self._pressed_s[depth] for depth in Level if depth >= self._level))

    @property
    def _calm_s(self) -> float:
        """How long it has to be calm now. A step up that held is as good as the first one."""
        return self._wait_s if self._climbed_s is None else min(self._wait_s, self._params.steady_s)

    def _press(self, deepest: Level, now_s: float) -> None:
        """Something shows load that may lead as deep as that."""
        self._pressed_s[deepest] = now_s
        may_fall = self._level < min(deepest, self._params.deepest)
        if may_fall and now_s - self._stepped_s >= self._params.settle_s:
            self._fall(now_s)

    def _fall(self, now_s: float) -> None:
        if self._climbed_s is not None:
            is_soon = now_s - self._climbed_s < self._params.steady_s
            self._wait_s = min(self._params.longest_calm_s, self._wait_s * 2) if is_soon else self._params.calm_s
        self._level = Level(self._level + 1)
        self._stepped_s, self._climbed_s = now_s, None
        self._late = dict.fromkeys(Stage, 0)
