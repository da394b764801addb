"""When a server that failed is asked again."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llm_service.core.breaker import Breaker, BreakerParams, Outcome, Pass, State

pytestmark = pytest.mark.core

PARAMS = BreakerParams(failures=3, open_s=5.0, longest_s=15.0)


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker(PARAMS)
    for _ in range(PARAMS.failures):
        fails(breaker, now_s)
    return breaker


def admitted(breaker: Breaker, now_s: float) -> Pass:
    given = breaker.admit(now_s)
    assert given is not None
    return given


def fails(breaker: Breaker, now_s: float) -> None:
    breaker.note(admitted(breaker, now_s), Outcome.FAILED, now_s)


def answers(breaker: Breaker, now_s: float) -> None:
    breaker.note(admitted(breaker, now_s), Outcome.ANSWERED, now_s)


def test_it_opens_after_enough_failures_on_end() -> None:
    breaker = Breaker(PARAMS)
    states = []
    for _ in range(3):
        states.append(breaker.state)
        fails(breaker, 0.0)

    assert [*states, breaker.state] == [State.CLOSED, State.CLOSED, State.CLOSED, State.OPEN]


def test_an_answer_between_failures_begins_the_count_again() -> None:
    breaker = Breaker(PARAMS)
    for step in (fails, fails, answers, fails, fails):
        step(breaker, 0.0)

    assert breaker.state is State.CLOSED


def test_a_request_that_was_given_up_says_nothing() -> None:
    breaker = Breaker(PARAMS)
    fails(breaker, 0.0)
    fails(breaker, 0.0)
    breaker.note(admitted(breaker, 0.0), Outcome.ABANDONED, 0.0)
    before = breaker.state
    fails(breaker, 0.0)

    assert (before, breaker.state) == (State.CLOSED, State.OPEN)


def test_while_open_nothing_passes_and_the_wait_is_told() -> None:
    breaker = opened(now_s=100.0)

    assert [breaker.admit(now_s) for now_s in (100.0, 104.9)] == [None, None]
    assert [breaker.retry_in_s(now_s) for now_s in (100.0, 104.0, 105.0, 200.0)] == [5.0, 1.0, 0.0, 0.0]


def test_after_the_wait_one_probe_passes_at_a_time() -> None:
    breaker = opened()
    probe = admitted(breaker, 5.0)

    assert (breaker.state, breaker.admit(5.0), breaker.retry_in_s(5.0)) == (State.HALF_OPEN, None, 0.0)
    breaker.note(probe, Outcome.ANSWERED, 5.0)
    assert breaker.state is State.CLOSED
    assert all(breaker.admit(5.0) for _ in range(10))


def test_a_probe_that_is_given_up_leaves_its_place() -> None:
    breaker = opened()
    breaker.note(admitted(breaker, 5.0), Outcome.ABANDONED, 5.0)

    before = breaker.state
    answers(breaker, 5.0)

    assert (before, breaker.state) == (State.HALF_OPEN, State.CLOSED)


def test_each_failed_probe_doubles_the_wait_up_to_the_longest_and_an_answer_makes_it_short_again() -> None:
    breaker, now_s, waits = opened(), 0.0, []
    for _ in range(3):
        waits.append(breaker.retry_in_s(now_s))
        now_s += waits[-1]
        fails(breaker, now_s)
    waits.append(breaker.retry_in_s(now_s))
    now_s += waits[-1]
    answers(breaker, now_s)
    for _ in range(PARAMS.failures):
        fails(breaker, now_s)

    assert [*waits, breaker.retry_in_s(now_s)] == [5.0, 10.0, 15.0, 15.0, 5.0]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_comes_late_changes_nothing(outcome: Outcome) -> None:
    breaker = Breaker(PARAMS)
    late = admitted(breaker, 0.0)
    for _ in range(PARAMS.failures):
        fails(breaker, 0.0)
    breaker.note(late, outcome, 1.0)
    assert (breaker.state, breaker.retry_in_s(1.0)) == (State.OPEN, 4.0)

    admitted(breaker, 5.0)
    breaker.note(late, outcome, 5.0)
    assert (breaker.state, breaker.admit(5.0)) == (State.HALF_OPEN, None)


@given(st.lists(st.sampled_from(Outcome), max_size=30))
def test_it_is_open_exactly_after_a_run_of_failures(outcomes: list[Outcome]) -> None:
    breaker, run = Breaker(PARAMS), 0
    for outcome in outcomes:
        if breaker.state is State.OPEN:
            break
        breaker.note(admitted(breaker, 0.0), outcome, 0.0)
        run = run + 1 if outcome is Outcome.FAILED else run if outcome is Outcome.ABANDONED else 0

    assert (breaker.state is State.OPEN) == (run >= PARAMS.failures)


class AnyLife(RuleBasedStateMachine):
    """Requests begin and end in any order while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(PARAMS)
        self.now_s = 0.0
        self.passes: list[tuple[Pass, State]] = []

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def a_request_begins(self) -> None:
        wait_s = self.breaker.retry_in_s(self.now_s)
        was = self.breaker.state
        given = self.breaker.admit(self.now_s)
        if was is State.CLOSED:
            assert given is not None
        if wait_s > 0:
            assert given is None
        if was is State.OPEN and wait_s == 0:
            assert given is not None
            assert self.breaker.state is State.HALF_OPEN
        if given:
            self.passes.append((given, self.breaker.state))

    @rule(which=st.integers(0, 50), outcome=st.sampled_from(Outcome))
    def a_request_ends(self, which: int, outcome: Outcome) -> None:
        if self.passes:
            given, state = self.passes.pop(which % len(self.passes))
            was = self.breaker.state
            self.breaker.note(given, outcome, self.now_s)
            if state is not was:
                assert self.breaker.state is was

    @invariant()
    def a_wait_is_never_longer_than_the_longest(self) -> None:
        assert 0 <= self.breaker.retry_in_s(self.now_s) <= PARAMS.longest_s

    @invariant()
    def nothing_is_stuck_when_every_request_has_ended_and_the_wait_is_over(self) -> None:
        if not self.passes and self.breaker.retry_in_s(self.now_s) == 0:
            assert deepcopy(self.breaker).admit(self.now_s) is not None


TestAnyLife = AnyLife.TestCase
