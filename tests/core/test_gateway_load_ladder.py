"""How load leads to less, step by step, and calm back to everything."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from gateway.core.events import Stage
from gateway.core.load_ladder import DEEPEST, LadderParams, Level, LoadLadder

pytestmark = pytest.mark.core

PARAMS = LadderParams(
    late_sound_s=1.5,
    late_word_s=2.5,
    late_in_a_row=3,
    least_sessions=2,
    crowded_share=0.8,
    settle_s=3.0,
    calm_s=30.0,
    longest_calm_s=120.0,
    steady_s=60.0,
)


def shared_house(params: LadderParams = PARAMS) -> LoadLadder:
    """Two of five sessions are open."""
    ladder = LoadLadder(params)
    ladder.note_sessions(2, 5, 0.0)
    return ladder


def at(level: Level) -> LoadLadder:
    """A house that was led there by refusals of speech; its last step was at 97 s."""
    ladder = shared_house()
    for step in range(level):
        ladder.note_refusal(Stage.TTS, 100.0 - 3.0 * (level - step))
    assert ladder.level is level
    return ladder


def looked_until(ladder: LoadLadder, level: Level, from_s: float) -> float:
    """Look each second until that level; when that was, or infinity."""
    for second in range(1_000):
        ladder.look(from_s + second)
        if ladder.level is level:
            return from_s + second
    return math.inf


def wait_late(ladder: LoadLadder, stage: Stage, from_s: float, answers: int = 3) -> None:
    """So many answers in a row, one a second, wait four seconds each."""
    for number in range(answers):
        ladder.note_wait(stage, 4.0, from_s + 4.0 + number)


def test_a_house_has_everything_at_first() -> None:
    assert LoadLadder().level is Level.FULL


@pytest.mark.parametrize(("stage", "longest_s"), [(Stage.TTS, 1.5), (Stage.LLM, 2.5)])
def test_several_late_answers_in_a_row_lead_down(stage: Stage, longest_s: float) -> None:
    ladder = shared_house()
    levels = []
    for second in (10.0, 11.0, 12.0):
        ladder.note_wait(stage, longest_s + 0.01, second)
        levels.append(ladder.level)

    assert levels == [Level.FULL, Level.FULL, Level.NO_HQ]


@pytest.mark.parametrize(("stage", "longest_s"), [(Stage.TTS, 1.5), (Stage.LLM, 2.5)])
def test_an_answer_in_time_begins_the_row_anew(stage: Stage, longest_s: float) -> None:
    ladder = shared_house()
    for second, waited_s in enumerate([9.0, 9.0, longest_s, 9.0, 9.0], start=10):
        ladder.note_wait(stage, waited_s, second)

    assert ladder.level is Level.FULL


def test_the_rows_of_two_services_are_two() -> None:
    ladder = shared_house()
    wait_late(ladder, Stage.TTS, 0.0, 2)
    wait_late(ladder, Stage.LLM, 5.0, 2)

    assert ladder.level is Level.FULL


def test_a_wait_that_was_given_up_tells_of_load_only_if_it_was_late() -> None:
    ladder = shared_house()
    for second, waited_s in enumerate([9.0, 0.2, 9.0, 0.2, 9.0], start=10):
        ladder.note_wait(Stage.TTS, waited_s, second, has_come=False)

    assert ladder.level is Level.NO_HQ


def test_where_nobody_shares_the_house_slow_is_no_load() -> None:
    ladder = LoadLadder(PARAMS)
    ladder.note_sessions(1, 5, 0.0)
    wait_late(ladder, Stage.TTS, 0.0, 9)

    assert ladder.level is Level.FULL


def test_a_refusal_is_load_at_once_also_for_one_session() -> None:
    ladder = LoadLadder(PARAMS)
    ladder.note_refusal(Stage.TTS, 10.0)

    assert ladder.level is Level.NO_HQ


def test_many_refusals_at_a_time_are_one_step() -> None:
    ladder = LoadLadder(PARAMS)
    levels = []
    for now_s in (10.0, 10.0, 12.9, 13.0, 15.9, 16.0, 19.0):
        ladder.note_refusal(Stage.TTS, now_s)
        levels.append(int(ladder.level))

    assert levels == [1, 1, 1, 2, 2, 3, 3]


def test_answers_that_were_asked_for_before_a_step_lead_to_no_other() -> None:
    ladder = shared_house()
    ladder.note_refusal(Stage.TTS, 10.0)
    for _ in range(9):
        ladder.note_wait(Stage.TTS, 10.1, 20.0)
    before = ladder.level
    for _ in range(3):
        ladder.note_wait(Stage.TTS, 10.0, 20.0)

    assert (before, ladder.level) == (Level.NO_HQ, Level.FAST_VOICE)


def test_a_step_begins_every_row_anew() -> None:
    ladder = shared_house()
    wait_late(ladder, Stage.TTS, 10.0, 2)
    ladder.note_refusal(Stage.LLM, 20.0)
    wait_late(ladder, Stage.TTS, 30.0, 2)

    assert ladder.level is Level.NO_HQ


@pytest.mark.parametrize("stage", Stage)
def test_each_service_leads_only_so_far(stage: Stage) -> None:
    ladder = LoadLadder(PARAMS)
    for now_s in range(0, 300, 3):
        ladder.note_refusal(stage, float(now_s))

    assert ladder.level is DEEPEST[stage]
    assert DEEPEST[stage] is (Level.TEXT_ONLY if stage is Stage.TTS else Level.FAST_VOICE)


@pytest.mark.parametrize("deepest", Level)
def test_no_load_leads_deeper_than_the_house_wants(deepest: Level) -> None:
    ladder = LoadLadder(LadderParams(deepest=deepest))
    for now_s in range(0, 300, 3):
        ladder.note_refusal(Stage.TTS, float(now_s))

    assert ladder.level is deepest


@pytest.mark.parametrize(
    ("open_sessions", "most", "level"),
    [
        (3, 5, Level.FULL),
        (4, 5, Level.NO_HQ),
        (5, 5, Level.NO_HQ),
        (1, 1, Level.FULL),  # who is alone crowds nobody
        (2, 2, Level.NO_HQ),
        (7, 9, Level.FULL),
        (8, 9, Level.NO_HQ),
    ],
)
def test_a_crowded_house_renders_nothing_anew_and_gives_up_no_more(open_sessions: int, most: int, level: Level) -> None:
    ladder = LoadLadder(PARAMS)
    ladder.note_sessions(open_sessions, most, 10.0)
    for second in range(11, 200):
        ladder.look(second)

    assert ladder.level is level


def test_a_house_that_is_crowded_right_after_a_step_up_steps_down_when_that_has_settled() -> None:
    ladder = at(Level.NO_HQ)
    back_s = looked_until(ladder, Level.FULL, 98.0)
    ladder.note_sessions(5, 5, back_s + 1.0)
    before = ladder.level
    ladder.look(back_s + 3.0)

    assert (before, ladder.level) == (Level.FULL, Level.NO_HQ)


def test_calm_counts_from_the_moment_at_which_the_house_was_no_longer_crowded() -> None:
    ladder = LoadLadder(PARAMS)
    ladder.note_sessions(5, 5, 10.0)
    ladder.note_sessions(3, 5, 50.5)
    ladder.look(80.4)
    before = ladder.level
    ladder.look(80.5)

    assert (before, ladder.level) == (Level.NO_HQ, Level.FULL)


def test_everything_comes_back_one_step_after_the_other() -> None:
    ladder = at(Level.TEXT_ONLY)

    assert looked_until(ladder, Level.FAST_VOICE, 98.0) == 127.0
    assert looked_until(ladder, Level.NO_HQ, 128.0) == 157.0
    assert looked_until(ladder, Level.FULL, 158.0) == 187.0


def test_a_long_silence_is_still_one_step_at_a_look() -> None:
    ladder = at(Level.TEXT_ONLY)
    ladder.look(10_000.0)

    assert ladder.level is Level.FAST_VOICE


def test_one_slow_answer_now_and_then_holds_nothing_down() -> None:
    ladder = at(Level.NO_HQ)
    for second in range(101, 126, 2):
        ladder.note_wait(Stage.TTS, 2.0, second)
        ladder.note_wait(Stage.TTS, 0.5, second + 1)

    assert looked_until(ladder, Level.FULL, 127.0) == 127.0


def test_pressure_that_goes_on_holds_the_house_where_it_is() -> None:
    ladder = at(Level.TEXT_ONLY)
    ladder.note_refusal(Stage.TTS, 120.0)

    assert looked_until(ladder, Level.FAST_VOICE, 121.0) == 150.0


def test_a_slow_language_model_does_not_keep_the_voice_away() -> None:
    ladder = at(Level.TEXT_ONLY)
    levels = []
    for second in range(101, 301):
        ladder.note_wait(Stage.LLM, 5.0, second)
        ladder.look(second)
        levels.append(ladder.level)

    assert (levels[25], levels[26], levels[-1]) == (Level.TEXT_ONLY, Level.FAST_VOICE, Level.FAST_VOICE)


def test_who_falls_again_soon_after_a_step_up_waits_longer_up_to_the_longest() -> None:
    ladder, now_s = at(Level.NO_HQ), 97.0
    waits = []
    for _ in range(4):
        back_s = looked_until(ladder, Level.FULL, now_s)
        waits.append(back_s - now_s)
        now_s = back_s + 59.0
        ladder.note_refusal(Stage.TTS, now_s)

    assert waits == [30.0, 60.0, 120.0, 120.0]


def test_a_fall_of_several_steps_after_a_step_up_makes_the_wait_longer_once() -> None:
    ladder = at(Level.TEXT_ONLY)
    looked_until(ladder, Level.NO_HQ, 98.0)
    ladder.note_refusal(Stage.TTS, 160.0)
    ladder.note_refusal(Stage.TTS, 163.0)

    assert looked_until(ladder, Level.FAST_VOICE, 164.0) == 223.0


def test_a_step_up_that_held_is_as_good_as_the_first() -> None:
    ladder, now_s = at(Level.NO_HQ), 97.0
    for _ in range(2):  # the wait is the longest now
        now_s = looked_until(ladder, Level.FULL, now_s) + 1.0
        ladder.note_refusal(Stage.TTS, now_s + 2.0)
    ladder.note_refusal(Stage.TTS, now_s + 5.0)
    climbed_s = looked_until(ladder, Level.NO_HQ, now_s + 6.0)
    whole_s = looked_until(ladder, Level.FULL, climbed_s)
    ladder.note_refusal(Stage.TTS, whole_s + 60.0)

    assert climbed_s == now_s + 5.0 + 120.0
    assert whole_s == climbed_s + 60.0
    assert looked_until(ladder, Level.FULL, whole_s + 60.0) == whole_s + 90.0


STAGES = st.sampled_from(Stage)
WAITS_S = st.one_of(st.floats(0.0, 4.0), st.floats(0.0, 60.0))


class Loaded(RuleBasedStateMachine):
    """Whatever happens in whatever order, with the times of all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.ladder = LoadLadder(PARAMS)
        self.now_s = 1_000.0
        self.seen = Level.FULL
        self.stepped_s = -math.inf
        self.refused_s = dict.fromkeys(Level, -math.inf)  # by the level to which that may lead
        self.may_fall = False

    @rule(by_s=st.one_of(st.floats(0.0, 5.0), st.floats(0.0, 200.0)))
    def pass_time(self, by_s: float) -> None:
        self.now_s += by_s

    @rule(stage=STAGES, waited_s=WAITS_S, has_come=st.booleans())
    def wait(self, stage: Stage, waited_s: float, has_come: bool) -> None:
        is_late = waited_s > (PARAMS.late_sound_s if stage is Stage.TTS else PARAMS.late_word_s)
        self.may_fall = is_late and self.now_s - waited_s >= self.stepped_s
        self.ladder.note_wait(stage, waited_s, self.now_s, has_come=has_come)
        self._note(DEEPEST[stage])

    @rule(stage=STAGES)
    def refuse(self, stage: Stage) -> None:
        self.may_fall = True
        self.ladder.note_refusal(stage, self.now_s)
        self.refused_s[DEEPEST[stage]] = self.now_s
        self._note(DEEPEST[stage])

    @rule(open_sessions=st.integers(0, 6), most=st.integers(1, 6))
    def count(self, open_sessions: int, most: int) -> None:
        self.may_fall = True
        self.ladder.note_sessions(min(open_sessions, most), most, self.now_s)
        self._note(Level.NO_HQ)

    @rule()
    def look(self) -> None:
        self.may_fall = True  # a crowd presses
        self.ladder.look(self.now_s)
        self._note(Level.NO_HQ)

    def _note(self, deepest: Level) -> None:
        """What a call did, against what it may do."""
        level, before, self.seen = self.ladder.level, self.seen, self.ladder.level
        if level > before:
            assert level == before + 1
            assert self.may_fall
            assert level <= deepest
            assert self.now_s - self.stepped_s >= PARAMS.settle_s
        if level < before:
            assert level == before - 1
            assert self.now_s - self.stepped_s >= PARAMS.calm_s
            assert all(self.now_s - self.refused_s[depth] >= PARAMS.calm_s for depth in Level if depth >= before)
        if level is not before:
            self.stepped_s = self.now_s


TestLoaded = Loaded.TestCase

Happening = tuple[float, Stage | None, float]
HAPPENINGS = st.lists(st.tuples(st.floats(0.0, 40.0), st.none() | STAGES, WAITS_S), max_size=60)


def lead(ladder: LoadLadder, happenings: list[Happening]) -> float:
    """Let it all happen: refusals (waits of none), late answers, crowds (no service); when the last of it was."""
    now_s = 0.0
    for after_s, stage, waited_s in happenings:
        now_s += after_s
        if stage is None:
            ladder.note_sessions(int(waited_s) % 6, 5, now_s)
        elif waited_s < 1.0:
            ladder.note_refusal(stage, now_s)
        else:
            ladder.note_wait(stage, waited_s, now_s)
        ladder.look(now_s)
    ladder.note_sessions(2, 5, now_s)
    return now_s


@given(HAPPENINGS)
def test_whatever_happened_everything_is_back_after_three_longest_waits(happenings: list[Happening]) -> None:
    ladder = LoadLadder(PARAMS)
    now_s = lead(ladder, happenings)
    for second in range(3 * int(PARAMS.longest_calm_s) + 3):
        ladder.look(now_s + second)

    assert ladder.level is Level.FULL


@given(HAPPENINGS, st.lists(st.tuples(st.floats(0.0, 5.0), STAGES, st.floats(0.0, 1.5)), max_size=60))
def test_answers_in_time_lead_nowhere_down(
    happenings: list[Happening], after: list[tuple[float, Stage, float]]
) -> None:
    ladder = LoadLadder(PARAMS)
    now_s = lead(ladder, happenings)
    levels = [ladder.level]
    for after_s, stage, waited_s in after:
        now_s += after_s
        ladder.note_wait(stage, waited_s, now_s)
        ladder.look(now_s)
        levels.append(ladder.level)

    assert all(later <= earlier for earlier, later in itertools.pairwise(levels))


@given(HAPPENINGS)
def test_a_crowd_and_a_slow_model_never_take_the_voice(happenings: list[Happening]) -> None:
    ladder = LoadLadder(PARAMS)
    lead(ladder, [(after_s, stage and Stage.LLM, waited_s) for after_s, stage, waited_s in happenings])

    assert ladder.level <= Level.FAST_VOICE
