"""What is told of speech that is heard a second time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.retold_speech import SAME_SAMPLES, Heard, Kind, RetoldSpeech

pytestmark = pytest.mark.core


def heard(kind: Kind, at: int = 0, text: str = "", utterance_id: str = "a", committed: str = "") -> Heard:
    return Heard(kind, utterance_id, at, text, committed)


def again(one: Heard) -> Heard:
    """The same, as the second recogniser names it."""
    return replace(one, utterance_id=f"{one.utterance_id}2")


STARTED = heard(Kind.STARTED)
FINAL = heard(Kind.FINAL, 90_000, "tell me a story")


def lost_after(*told: Heard) -> RetoldSpeech:
    """An utterance of which this was told when its recogniser died, begun by another one."""
    retold = RetoldSpeech()
    for one in (STARTED, *told):
        assert retold.take(one) == [one]
    retold.lose()
    assert retold.is_awaited
    assert retold.take(again(STARTED)) == []
    assert not retold.is_awaited
    return retold


@pytest.mark.parametrize("kind", Kind)
def test_what_is_heard_once_passes(kind: Kind) -> None:
    retold = RetoldSpeech()
    for one in (STARTED, heard(kind), heard(kind)):
        assert retold.take(one) == [one]


def test_an_utterance_goes_on_under_its_id_and_has_one_final() -> None:
    retold = lost_after()

    assert retold.take(again(FINAL)) == [FINAL]
    assert not retold.is_unfinished
    assert retold.take(again(STARTED)) == [again(STARTED)]


def test_what_was_told_by_its_position_is_not_told_again() -> None:
    first = heard(Kind.PARTIAL, 16_000, "tell me a", committed="tell")
    retold = lost_after(first)
    early = heard(Kind.PARTIAL, 8_000, "tell")
    later = heard(Kind.PARTIAL, 24_000, "tell me a story")

    assert retold.take(again(early)) == []
    assert retold.take(again(replace(first, committed=""))) == []
    assert retold.take(again(later)) == [replace(later, committed="tell")]


def test_what_is_committed_is_never_taken_back() -> None:
    retold = lost_after(heard(Kind.PARTIAL, 16_000, "tell me", committed="tell"))
    other = heard(Kind.PARTIAL, 24_000, "sell me a", committed="sell")
    longer = heard(Kind.PARTIAL, 32_000, "tell me a", committed="tell me")

    assert retold.take(again(other)) == []
    assert retold.take(again(longer)) == [longer]


def test_a_pause_that_was_told_is_not_told_again() -> None:
    candidate = heard(Kind.CANDIDATE, 16_000, "tell me")
    retold = lost_after(candidate)
    near = replace(candidate, at_samples=16_000 + SAME_SAMPLES)
    resumed = heard(Kind.RESUMED, 30_000)

    assert retold.take(again(near)) == []
    assert retold.take(again(replace(candidate, at_samples=20_000))) == []  # the same words
    assert retold.take(again(resumed)) == [resumed]
    assert retold.take(again(replace(resumed, at_samples=40_000))) == []


def test_a_resumption_that_was_told_is_not_told_again() -> None:
    retold = lost_after(heard(Kind.CANDIDATE, 16_000, "tell me"), heard(Kind.RESUMED, 24_000))
    candidate = heard(Kind.CANDIDATE, 48_000, "tell me a story")

    assert retold.take(again(heard(Kind.CANDIDATE, 16_100, "tell me"))) == []
    assert retold.take(again(heard(Kind.RESUMED, 24_100))) == []
    assert retold.take(again(candidate)) == [candidate]


def test_another_pause_comes_after_the_end_of_the_one_before() -> None:
    retold = lost_after(heard(Kind.CANDIDATE, 16_000, "tell me"))
    candidate = heard(Kind.CANDIDATE, 48_000, "tell me a story")

    assert retold.take(again(candidate)) == [heard(Kind.RESUMED, 48_000), candidate]


def test_after_the_end_only_the_final_comes() -> None:
    retold = lost_after(heard(Kind.ENDPOINT, 80_000))
    for kind in (Kind.PARTIAL, Kind.CANDIDATE, Kind.RESUMED, Kind.ENDPOINT):
        assert retold.take(again(heard(kind, 90_000, "tell me a story"))) == []

    assert retold.take(again(FINAL)) == [FINAL]


def test_an_end_that_was_not_told_is_told() -> None:
    endpoint = heard(Kind.ENDPOINT, 80_000)

    assert lost_after().take(again(endpoint)) == [endpoint]


def test_of_what_was_cleared_nothing_is_told_when_it_is_heard_again() -> None:
    retold = RetoldSpeech()
    retold.take(STARTED)
    retold.lose()
    retold.clear()
    assert not retold.is_awaited
    for kind in Kind:
        assert retold.take(again(heard(kind, 5_000, "x"))) == []


def test_what_was_cleared_before_its_recogniser_died_is_not_waited_for() -> None:
    retold = RetoldSpeech()
    retold.take(STARTED)
    retold.clear()
    retold.lose()

    assert retold.take(again(STARTED)) == [again(STARTED)]


def test_what_comes_to_nothing_leaves_the_next_start_alone() -> None:
    retold = RetoldSpeech()
    retold.take(STARTED)
    retold.lose()
    retold.abandon()

    assert not retold.is_unfinished
    assert retold.take(again(STARTED)) == [again(STARTED)]


def test_a_recogniser_that_dies_before_it_began_leaves_it_to_the_next_one() -> None:
    retold = RetoldSpeech()
    retold.take(STARTED)
    retold.lose()
    retold.lose()
    assert retold.take(replace(STARTED, utterance_id="c")) == []
    retold.lose()

    assert retold.take(replace(STARTED, utterance_id="d")) == []
    assert retold.take(replace(FINAL, utterance_id="d")) == [FINAL]


def test_two_utterances_without_a_final_are_begun_again_in_order() -> None:
    retold = RetoldSpeech()
    both = [STARTED, heard(Kind.ENDPOINT), heard(Kind.STARTED, utterance_id="b")]
    assert [retold.take(one) for one in both] == [[one] for one in both]
    retold.lose()
    retold.take(again(STARTED))
    retold.take(again(heard(Kind.ENDPOINT)))
    retold.take(heard(Kind.STARTED, utterance_id="b2"))

    assert retold.take(again(FINAL)) == [FINAL]
    assert retold.take(replace(FINAL, utterance_id="b2")) == [replace(FINAL, utterance_id="b")]


TURN = [
    STARTED,
    heard(Kind.PARTIAL, 16_000, "tell"),
    heard(Kind.PARTIAL, 32_000, "tell me", committed="tell"),
    heard(Kind.CANDIDATE, 40_000, "tell me"),
    heard(Kind.RESUMED, 48_000),
    heard(Kind.PARTIAL, 64_000, "tell me a story", committed="tell me"),
    heard(Kind.CANDIDATE, 80_000, "tell me a story"),
    heard(Kind.ENDPOINT, 80_000),
    FINAL,
]


@given(lives=st.lists(st.integers(0, len(TURN) - 1), max_size=5), shift=st.integers(-200, 200))
def test_wherever_recognisers_die_a_turn_is_told_as_if_there_had_been_one(lives: list[int], shift: int) -> None:
    retold, told = RetoldSpeech(), list[Heard]()
    for life, steps in enumerate([*lives, len(TURN)]):
        for one in TURN[:steps]:
            moved = one.at_samples + (shift if life and one.kind is not Kind.PARTIAL else 0)
            told += retold.take(replace(one, utterance_id=f"life {life}", at_samples=moved))
        retold.lose()

    assert [one.kind for one in told] == [one.kind for one in TURN]
    assert len({one.utterance_id for one in told}) == 1
    assert [(one.text, one.committed) for one in told] == [(one.text, one.committed) for one in TURN]
