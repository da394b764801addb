"""Whose segment is made next: the first ones, then the most pressing, files, and what nobody waits for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tts_service.core.synthesis_queue import MOST_PASSES, SynthesisQueue, Urgency

pytestmark = pytest.mark.core

FIRST, LATER, FILE, BACKGROUND = Urgency


def queue_of(*asks: tuple[str, Urgency, float], slots: int = 1) -> SynthesisQueue[str]:
    queue: SynthesisQueue[str] = SynthesisQueue(slots)
    for key, urgency, due_s in asks:
        queue.ask(key, urgency, due_s)
    return queue


def order_of(queue: SynthesisQueue[str]) -> str:
    """All that wait, one after the other in one slot."""
    order = ""
    while (key := queue.grant()) is not None:
        order += key
        queue.done(key)
    return order


def test_first_ones_go_before_later_ones_these_before_files_and_background_comes_last() -> None:
    queue = queue_of(("d", BACKGROUND, 0), ("c", FILE, 0), ("b", LATER, 0), ("a", FIRST, 0))

    assert len(queue) == 4
    assert order_of(queue) == "abcd"
    assert len(queue) == 0


def test_of_the_later_ones_goes_first_who_will_run_out_first() -> None:
    assert order_of(queue_of(("a", LATER, 5.0), ("b", LATER, 3.0), ("c", LATER, 4.0), ("d", LATER, 3.0))) == "bdca"


def test_no_more_are_granted_than_there_are_slots() -> None:
    queue = queue_of(("a", FIRST, 0), ("b", FIRST, 0), ("c", FIRST, 0), slots=2)

    assert [queue.grant(), queue.grant(), queue.grant()] == ["a", "b", None]
    assert queue.free == 0
    queue.done("a")
    assert queue.grant() == "c"


def test_who_withdraws_is_not_granted() -> None:
    queue = queue_of(("a", FIRST, 0), ("b", LATER, 0))
    queue.withdraw("a")
    queue.withdraw("nobody")

    assert order_of(queue) == "b"


def test_a_later_one_waits_for_a_few_first_ones_only() -> None:
    queue = queue_of(("L", LATER, 0), ("F", FILE, 0), *((str(place), FIRST, 0) for place in range(10)))

    assert order_of(queue) == "01234567LF89"


def test_who_begins_to_wait_has_been_passed_by_nobody() -> None:
    queue = queue_of(("F", FILE, 0), *((str(place), FIRST, 0) for place in range(MOST_PASSES)))
    assert order_of(queue) == "01234567F"
    for place in range(MOST_PASSES):
        queue.ask(str(place), FIRST)
    queue.ask("F", FILE)

    assert order_of(queue) == "01234567F"


def test_background_work_leaves_one_slot_free_where_there_are_several() -> None:
    queue = queue_of(("a", BACKGROUND, 0), ("b", BACKGROUND, 0), slots=2)

    assert [queue.grant(), queue.grant()] == ["a", None]
    assert queue.to_yield() == []
    queue.ask("live", FIRST)
    assert queue.grant() == "live"
    assert queue.to_yield() == [], "it has a slot"


def test_background_work_does_not_begin_while_another_waits() -> None:
    queue = queue_of(("a", FILE, 0), ("b", BACKGROUND, 0))

    assert [queue.grant(), queue.grant()] == ["a", None]
    queue.done("a")
    assert queue.grant() == "b"


def test_background_work_is_told_once_to_yield_to_whoever_waits_the_youngest_first() -> None:
    queue = queue_of(("old", BACKGROUND, 0), ("young", BACKGROUND, 0), slots=3)
    assert [queue.grant(), queue.grant()] == ["old", "young"]
    queue.ask("a", FIRST)
    assert queue.grant() == "a"
    queue.ask("b", FIRST)

    assert queue.grant() is None
    assert queue.to_yield() == ["young"]
    assert queue.to_yield() == []
    queue.ask("c", LATER)
    queue.ask("d", LATER)
    assert queue.to_yield() == ["old"]
    queue.done("young")
    assert queue.grant() == "b"


class Queueing(RuleBasedStateMachine):
    """A queue, and what a patient reader of its laws expects of it."""

    @initialize(slots=st.integers(1, 3))
    def begin(self, slots: int) -> None:
        self.slots = slots
        self.queue: SynthesisQueue[int] = SynthesisQueue(slots)
        self.waiting: dict[int, tuple[Urgency, float]] = {}
        self.running: dict[int, Urgency] = {}
        self.told: set[int] = set()
        self.passes = {LATER: 0, FILE: 0}
        self.keys = 0

    @rule(urgency=st.sampled_from(Urgency), due_s=st.integers(0, 3))
    def ask(self, urgency: Urgency, due_s: int) -> None:
        self.keys += 1
        self.waiting[self.keys] = (urgency, due_s)
        self.queue.ask(self.keys, urgency, due_s)

    @precondition(lambda self: self.waiting)
    @rule(choice=st.integers(0, 9))
    def withdraw(self, choice: int) -> None:
        key = list(self.waiting)[choice % len(self.waiting)]
        del self.waiting[key]
        self.queue.withdraw(key)

    @rule()
    def grant(self) -> None:
        key = self.queue.grant()
        urgent = [key for key, (urgency, _) in self.waiting.items() if urgency is not BACKGROUND]
        free = self.slots - len(self.running)
        if key is None:
            may_idle = self.slots > 1 and free == 1
            assert not self.waiting or not free or (not urgent and may_idle)
            return
        urgency, due_s = self.waiting.pop(key)
        assert free > 0
        if urgency is BACKGROUND:
            assert not urgent
            assert self.slots == 1 or free > 1, "one slot stays free"
        alike = [(due, other) for other, (kind, due) in self.waiting.items() if kind is urgency]
        assert all((due_s, key) < other for other in alike)
        self.running[key] = urgency
        for kind in self.passes:
            is_passed = kind is not urgency and any(kind is other for other, _ in self.waiting.values())
            self.passes[kind] = self.passes[kind] + 1 if is_passed else 0
            assert self.passes[kind] <= MOST_PASSES + 1

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 9))
    def done(self, choice: int) -> None:
        key = list(self.running)[choice % len(self.running)]
        del self.running[key]
        self.told.discard(key)
        self.queue.done(key)

    @rule()
    def look_who_yields(self) -> None:
        told = self.queue.to_yield()
        background = {key for key, urgency in self.running.items() if urgency is BACKGROUND}
        assert set(told) <= background - self.told
        self.told.update(told)
        urgent = sum(urgency is not BACKGROUND for urgency, _ in self.waiting.values())
        if urgent > self.slots - len(self.running):
            missing = urgent - (self.slots - len(self.running))
            assert len(self.told) >= min(missing, len(background)), "nobody waits for what nobody waits for"

    @invariant()
    def the_counts_are_right(self) -> None:
        if hasattr(self, "queue"):
            assert len(self.queue) == len(self.waiting)
            assert self.queue.free == self.slots - len(self.running) >= 0


TestQueueing = Queueing.TestCase


@given(st.lists(st.sampled_from(Urgency), max_size=60), st.integers(1, 3))
def test_whatever_asks_is_made_once_when_slots_come_free(urgencies: list[Urgency], slots: int) -> None:
    queue = queue_of(*((str(place), urgency, 0) for place, urgency in enumerate(urgencies)), slots=slots)
    made: list[str] = []
    while (key := queue.grant()) is not None:
        made.append(key)
        queue.done(key)

    assert sorted(made, key=int) == [str(place) for place in range(len(urgencies))]
