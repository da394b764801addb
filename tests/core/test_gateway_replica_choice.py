"""Which replica is asked next, and when one that failed comes back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.core.replica_choice import OUT, ChoiceParams, Condition, ReplicaChoice

pytestmark = pytest.mark.core

PARAMS = ChoiceParams(first_s=1.0, longest_s=4.0, steady_s=30.0)
NAMES = ("a", "b", "c")


def ready(*names: str) -> ReplicaChoice:
    choice = ReplicaChoice(names, PARAMS)
    for name in names:
        choice.see(name, Condition.READY, 0.0)
    return choice


def test_the_least_busy_is_taken_and_equals_take_turns() -> None:
    choice = ready("a", "b")
    taken = [choice.take() for _ in range(4)]
    choice.give("b")

    assert taken == ["a", "b", "a", "b"]
    assert choice.take() == "b"
    assert choice.users == {"a": 2, "b": 2}


def test_a_ready_one_goes_before_one_that_is_not_however_busy_it_is() -> None:
    choice = ReplicaChoice("ab", PARAMS)
    choice.see("b", Condition.READY, 0.0)

    assert [choice.take() for _ in range(3)] == ["b", "b", "b"]


def test_one_that_refuses_is_asked_last_until_it_was_looked_at() -> None:
    choice = ready("a", "b")
    choice.refuse("a")
    taken = [choice.take(), choice.take()]
    choice.see("a", Condition.READY, 0.0)

    assert (taken, choice.take()) == (["b", "b"], "a")


def test_one_that_failed_is_not_asked_before_it_was_seen_again() -> None:
    choice = ready("a", "b")
    assert choice.lose("a", 0.0)
    choice.refuse("a")  # refusing does not bring it in

    assert [choice.take(), choice.take()] == ["b", "b"]
    assert choice.due(0.9) == ["b"]
    assert not choice.see("a", Condition.READY, 0.9)  # of a look that began before it failed
    assert choice.due(1.0) == ["a", "b"]
    assert choice.see("a", Condition.READY, 1.0)
    assert choice.take() == "a"


def test_nobody_else_is_named_when_all_others_are_out() -> None:
    choice = ready("a", "b")
    choice.lose("b", 0.0)

    assert choice.take({"a"}) is None
    assert choice.take({"a", "b"}) is None


def test_when_all_are_out_the_one_that_is_back_soonest_is_tried() -> None:
    choice = ready("a", "b")
    choice.lose("b", 0.0)
    choice.lose("a", 0.5)

    assert choice.take() == "b"


@pytest.mark.parametrize("condition", [Condition.LOST, Condition.SILENT])
def test_each_wait_that_follows_soon_is_twice_as_long_up_to_the_longest(condition: Condition) -> None:
    choice, now_s, waits = ready("a"), 0.0, []
    for _ in range(4):
        due_s = next(at / 4 for at in range(1_000) if _waits(choice, condition, now_s, at / 4))
        waits.append(due_s - now_s)
        choice.see("a", Condition.READY, due_s)
        now_s = due_s + 5.0

    assert waits == [1.0, 2.0, 4.0, 4.0]


def _waits(choice: ReplicaChoice, condition: Condition, failed_s: float, at_s: float) -> bool:
    """Fail at `failed_s` (again at the same moment changes nothing); whether it is due at `at_s`, later than that."""
    if condition is Condition.LOST:
        choice.lose("a", failed_s)
    else:
        choice.see("a", Condition.SILENT, failed_s)
    return at_s > failed_s and choice.due(at_s) == ["a"]


def test_a_silent_one_that_stays_silent_waits_longer_each_time() -> None:
    choice = ready("a")
    outs = [choice.see("a", Condition.SILENT, at_s) for at_s in (0.0, 0.5, 1.0, 3.0)]

    assert outs == [True, False, False, False]
    assert (choice.due(6.9), choice.due(7.0)) == ([], ["a"])


def test_after_a_steady_time_a_failure_is_a_first_one_again() -> None:
    choice = ready("a")
    choice.lose("a", 0.0)
    choice.see("a", Condition.READY, 1.0)
    choice.lose("a", 31.0)

    assert choice.due(32.0) == ["a"]


def test_those_that_stay_are_known_still_and_those_that_went_are_not() -> None:
    choice = ready("a", "b")
    choice.lose("a", 0.0)
    choice.take()
    choice.replace(["a", "c"])
    choice.give("b")
    choice.refuse("b")

    assert not choice.lose("b", 0.0)
    assert not choice.see("b", Condition.READY, 0.0)
    assert choice.conditions == {"a": Condition.LOST, "c": Condition.UNKNOWN}
    assert choice.users == {"a": 0, "c": 0}


def test_there_is_always_one() -> None:
    choice = ready("a")
    choice.replace([])

    assert choice.conditions == {"a": Condition.READY}


def test_giving_more_than_was_taken_changes_nothing() -> None:
    choice = ready("a")
    choice.give("a")

    assert choice.users == {"a": 0}


class Choosing(RuleBasedStateMachine):
    """Whatever happens in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.choice = ReplicaChoice(NAMES, PARAMS)
        self.now_s = 0.0
        self.failed_s = dict.fromkeys(NAMES, -math.inf)

    @rule(by_s=st.floats(0, 3))
    def wait(self, by_s: float) -> None:
        self.now_s += by_s

    @rule(besides=st.sets(st.sampled_from(NAMES)))
    def take(self, besides: set[str]) -> None:
        before, users = self.choice.conditions, self.choice.users
        taken = self.choice.take(besides)
        able = {one for one in before if one not in besides and before[one] not in OUT}
        if taken is None:
            assert besides
            assert not able
            return
        assert taken not in besides
        if able:
            assert taken in able
            peers = {one for one in able if before[one] is Condition.READY} or able
            assert taken in peers
            assert users[taken] == min(users[one] for one in peers)
        assert self.choice.users == users | {taken: users[taken] + 1}

    @rule(name=st.sampled_from(NAMES))
    def give(self, name: str) -> None:
        self.choice.give(name)

    @rule(name=st.sampled_from(NAMES))
    def lose(self, name: str) -> None:
        was_out = self.choice.conditions.get(name, Condition.LOST) in OUT
        assert self.choice.lose(name, self.now_s) is (not was_out)
        if not was_out:
            self.failed_s[name] = self.now_s

    @rule(name=st.sampled_from(NAMES))
    def refuse(self, name: str) -> None:
        was_out = self.choice.conditions.get(name, Condition.LOST) in OUT
        self.choice.refuse(name)
        assert (self.choice.conditions.get(name, Condition.LOST) in OUT) is was_out

    @rule(name=st.sampled_from(NAMES), shown=st.sampled_from((Condition.READY, Condition.LOADING, Condition.SILENT)))
    def see(self, name: str, shown: Condition) -> None:
        self.choice.see(name, shown, self.now_s)

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def replace(self, names: set[str]) -> None:
        before = self.choice.conditions
        self.choice.replace(sorted(names))
        after = self.choice.conditions
        assert set(after) == (names or set(before))
        assert all(after[one] is before.get(one, Condition.UNKNOWN) for one in after)
        self.failed_s = {one: self.failed_s[one] if one in before else -math.inf for one in NAMES}

    @invariant()
    def those_in_are_due_and_no_wait_is_too_long(self) -> None:
        conditions, due = self.choice.conditions, self.choice.due(self.now_s)
        assert {one for one in conditions if conditions[one] not in OUT} <= set(due)
        assert set(self.choice.due(self.now_s + PARAMS.longest_s)) == set(conditions)
        assert not [
            one for one in due if conditions[one] in OUT and self.now_s < self.failed_s[one] + PARAMS.first_s / 2
        ]


TestChoosing = Choosing.TestCase


@given(takings=st.integers(1, 60), replicas=st.integers(1, 6))
def test_work_is_shared_out_evenly(takings: int, replicas: int) -> None:
    choice = ready(*map(str, range(replicas)))
    for _ in range(takings):
        choice.take()

    assert max(choice.users.values()) - min(choice.users.values()) <= 1
