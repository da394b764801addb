"""Who is decoded next: one at a time of each, the most urgent first, and nobody forgotten."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.decode_queue import DecodeQueue, Urgency

pytestmark = pytest.mark.core

FINAL, CANDIDATE, PARTIAL = Urgency.FINAL, Urgency.CANDIDATE, Urgency.PARTIAL
KEYS = st.sampled_from("abcde")
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), KEYS, st.sampled_from(Urgency)),
        st.tuples(st.just("withdraw"), KEYS, st.none()),
        st.tuples(st.just("take"), st.sets(KEYS), st.integers(1, 3)),
        st.tuples(st.just("done"), KEYS, st.none()),
    )
)


def always(*_: str) -> bool:
    return True


def never(*_: str) -> bool:
    return False


def asked(*wishes: tuple[str, Urgency]) -> DecodeQueue[str]:
    queue: DecodeQueue[str] = DecodeQueue()
    for key, urgency in wishes:
        queue.ask(key, urgency)
    return queue


def taken(queue: DecodeQueue[str], most: int = 1, joins: Callable[[str, str], bool] = always) -> str:
    """The keys of the next batch in a row."""
    return "".join(key for key, _ in queue.take(always, joins, most))


def test_finals_go_before_candidates_and_both_before_partials() -> None:
    queue = asked(("a", PARTIAL), ("b", CANDIDATE), ("c", FINAL))

    assert [taken(queue) for _ in range(4)] == ["c", "b", "a", ""]


def test_among_equals_goes_who_asked_first() -> None:
    assert taken(asked(("b", PARTIAL), ("a", PARTIAL), ("c", PARTIAL)), most=3) == "bac"


def test_asking_again_keeps_the_place_and_makes_what_waited_stale() -> None:
    queue = asked(("a", PARTIAL), ("b", PARTIAL))

    assert queue.ask("a", PARTIAL)
    assert not queue.ask("c", PARTIAL)
    assert taken(queue, most=3) == "abc"


def test_the_more_urgent_wish_of_one_takes_the_place_of_the_less_urgent() -> None:
    queue = asked(("a", PARTIAL), ("b", CANDIDATE))

    assert queue.ask("a", FINAL)
    assert queue.take(always, always, 2) == [("a", FINAL), ("b", CANDIDATE)]


def test_the_less_urgent_wish_of_one_changes_nothing() -> None:
    queue = asked(("a", FINAL))

    assert queue.ask("a", PARTIAL)
    assert queue.waits("a") is FINAL


def test_what_runs_may_wait_again_and_is_not_taken_before_it_is_done() -> None:
    queue = asked(("a", PARTIAL))
    assert taken(queue) == "a"
    assert queue.runs("a")

    assert not queue.ask("a", FINAL)
    assert taken(queue) == ""
    queue.done("a")
    assert taken(queue) == "a"


def test_a_batch_holds_what_joins_its_first() -> None:
    queue = asked(("a", PARTIAL), ("b", PARTIAL), ("c", PARTIAL))

    assert taken(queue, most=3, joins=lambda first, other: (first, other) == ("a", "c")) == "ac"
    assert taken(queue, most=3, joins=never) == "b"


def test_who_cannot_run_lets_the_others_pass_and_keeps_waiting() -> None:
    queue = asked(("a", FINAL), ("b", PARTIAL))

    assert queue.take(lambda key: key == "b", never, 1) == [("b", PARTIAL)]
    assert queue.waits("a") is FINAL


def test_no_more_are_asked_whether_they_can_run_than_are_taken() -> None:
    seen: list[str] = []

    def can_run(key: str) -> bool:
        seen.append(key)
        return True

    asked(("a", PARTIAL), ("b", PARTIAL)).take(can_run, never, 1)
    assert seen == ["a"]


def test_what_is_withdrawn_waits_no_more() -> None:
    queue = asked(("a", PARTIAL))

    assert queue.withdraw("a")
    assert not queue.withdraw("a")
    assert (taken(queue), len(queue)) == ("", 0)


@given(EVENTS)
def test_nothing_runs_twice_nothing_is_forgotten_and_the_urgent_go_first(
    events: list[tuple[str, object, object]],
) -> None:
    queue: DecodeQueue[str] = DecodeQueue()
    waits: dict[str, Urgency] = {}
    running: set[str] = set()
    for name, subject, detail in events:
        if name == "ask":
            assert isinstance(subject, str)
            assert isinstance(detail, Urgency)
            assert queue.ask(subject, detail) == (subject in waits)
            waits[subject] = min(detail, waits.get(subject, detail))
        elif name == "withdraw":
            assert isinstance(subject, str)
            assert queue.withdraw(subject) == (waits.pop(subject, None) is not None)
        elif name == "done":
            assert isinstance(subject, str)
            queue.done(subject)
            running.discard(subject)
        else:
            assert isinstance(subject, set)
            assert isinstance(detail, int)
            able = {key for key in waits if key in subject and key not in running}
            batch = queue.take(subject.__contains__, always, detail)
            assert len(batch) == min(detail, len(able))
            assert all(one[1] <= other[1] for one, other in pairwise(batch))
            for key, urgency in batch:
                assert key in able
                assert waits.pop(key) is urgency
                running.add(key)
            if batch:
                assert all(batch[-1][1] <= waits[key] for key in able if key in waits)
        assert {key: queue.waits(key) for key in "abcde"} == {key: waits.get(key) for key in "abcde"}
        assert {key for key in "abcde" if queue.runs(key)} == running
        assert len(queue) == len(waits)
