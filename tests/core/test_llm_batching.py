"""What goes into each batch, case by case; the laws are in test_llm_batching_laws.py."""

import pytest

from llm_service.core.batching import BatchParams, Cut, Refusal, Run, Scheduler, SlotState

pytestmark = pytest.mark.core

PARAMS = BatchParams(slots=2, slot_tokens=20, batch_tokens=8, chunk_tokens=4, waiting=1)


def scheduler(**bounds: int) -> Scheduler:
    values = {
        name: getattr(PARAMS, name) for name in ("slots", "slot_tokens", "batch_tokens", "chunk_tokens", "waiting")
    }
    return Scheduler(BatchParams(**(values | bounds)))


def step(found: Scheduler) -> tuple[Run, ...]:
    """One step that is decoded; where a token is wanted, 9 is written."""
    found.admit()
    runs = found.plan()
    if runs:
        for key, _ in found.decoded():
            found.written(key, 9)
    return runs


def until_idle(found: Scheduler) -> None:
    while not found.is_idle:
        step(found)


def counts(runs: tuple[Run, ...]) -> dict[int, int]:
    return {run.key: len(run.tokens) for run in runs}


def tokens(count: int, first: int = 100) -> list[int]:
    return list(range(first, first + count))


def test_a_prompt_is_read_in_chunks_and_its_last_token_is_sampled() -> None:
    found = scheduler()
    found.submit(1, tokens(6), 5)

    assert found.admit() == [Cut(1, 0, 0)]
    assert found.plan() == (Run(1, 0, 0, (100, 101, 102, 103), is_sampled=False),)
    assert found.decoded() == []
    assert found.plan() == (Run(1, 0, 4, (104, 105), is_sampled=True),)
    assert found.decoded() == [(1, 1)]
    assert found.written(1, 7)
    assert found.plan() == (Run(1, 0, 6, (7,), is_sampled=True),)


def test_a_reply_goes_first_and_bounds_what_is_read_beside_it() -> None:
    found = scheduler(slots=3)
    found.submit(1, tokens(4), 9)
    step(found)
    found.submit(2, tokens(9), 9)
    found.submit(3, tokens(9), 9)

    assert [counts(step(found)) for _ in range(3)] == [{1: 1, 2: 4}, {1: 1, 3: 4}, {1: 1, 2: 4}]


def test_prompts_alone_share_the_whole_step() -> None:
    found = scheduler(slots=3)
    for key in (1, 2, 3):
        found.submit(key, tokens(6), 9)

    assert [counts(step(found)) for _ in range(2)] == [{1: 4, 2: 4}, {3: 4, 1: 2, 2: 2}]


def test_the_place_of_each_wanted_token_counts_the_tokens_before_it() -> None:
    found = scheduler(slots=3)
    for key in (1, 2, 3):
        found.submit(key, tokens(key), 9)
    found.admit()
    found.plan()

    assert found.decoded() == [(1, 0), (2, 2), (3, 5)]


@pytest.mark.parametrize(
    ("prompt", "refusal"), [([], Refusal.EMPTY), (tokens(20), Refusal.TOO_LONG), (tokens(19), None)]
)
def test_a_prompt_that_leaves_no_room_for_a_reply_is_refused(prompt: list[int], refusal: Refusal | None) -> None:
    assert scheduler().submit(1, prompt, 5) == refusal


def test_more_prompts_than_may_wait_are_refused() -> None:
    found = scheduler()

    assert [found.submit(key, [1], 5) for key in range(4)] == [None, None, None, Refusal.TOO_MANY]
    found.admit()
    assert (found.waiting, found.submit(4, [1], 5)) == (1, Refusal.TOO_MANY)


def test_a_reply_ends_at_its_limit_and_one_without_room_at_the_end_of_its_slot() -> None:
    found = scheduler()
    found.submit(1, [1], 2)
    found.submit(2, tokens(17), 100)
    written: dict[int, int] = {1: 0, 2: 0}
    while not found.is_idle:
        for run in step(found):
            written[run.key] += run.is_sampled

    assert written == {1: 2, 2: 3}


def test_the_next_turn_reads_only_what_is_new() -> None:
    found = scheduler()
    found.submit(1, tokens(6), 3)
    until_idle(found)
    found.submit(2, [*tokens(6), 9, 9, 50, 51], 3)

    assert found.states()[0] == SlotState(None, 8)
    assert found.admit() == [Cut(2, 0, 8)]
    assert found.plan() == (Run(2, 0, 8, (50, 51), is_sampled=True),)


def test_the_same_prompt_again_reads_its_last_token_for_its_scores() -> None:
    found = scheduler()
    found.submit(1, tokens(6), 1)
    until_idle(found)
    found.submit(2, tokens(6), 1)

    assert found.admit() == [Cut(2, 0, 5)]


def test_a_dialogue_is_not_thrown_away_for_the_persona_that_another_shares_with_it() -> None:
    found = scheduler(slot_tokens=40)
    found.submit(1, [*tokens(4), *tokens(12, 200)], 1)
    until_idle(found)
    found.submit(2, [*tokens(4), 300], 1)

    assert found.admit() == [Cut(2, 1, 0)]


def test_a_persona_is_shared_when_little_is_lost() -> None:
    found = scheduler()
    found.submit(1, [*tokens(8), 200], 1)
    until_idle(found)
    found.submit(2, [*tokens(8), 300], 1)

    assert found.admit() == [Cut(2, 0, 8)]
    assert found.plan() == (Run(2, 0, 8, (300,), is_sampled=True),)


def test_without_anything_in_common_the_slot_used_longest_ago_is_taken() -> None:
    found = scheduler()
    for key, prompt in ((1, tokens(12, 200)), (2, tokens(3, 300))):
        found.submit(key, prompt, 1)
        until_idle(found)
    assert [state.tokens for state in found.states()] == [12, 3]
    found.submit(3, [1], 1)

    assert found.admit() == [Cut(3, 0, 0)]


def test_a_prompt_that_is_cancelled_while_it_waits_is_never_read() -> None:
    found = scheduler()
    found.submit(1, [1], 5)
    found.end(1)

    assert (found.admit(), found.plan(), found.is_idle) == ([], (), True)


def test_what_was_read_for_a_cancelled_reply_serves_the_next() -> None:
    found = scheduler()
    found.submit(1, tokens(10), 5)
    found.admit()
    found.plan()
    found.end(1)
    assert not found.is_wanted()
    assert found.decoded() == []
    found.submit(2, tokens(10), 5)

    assert found.admit() == [Cut(2, 0, 4)]


def test_a_step_is_wanted_as_long_as_one_of_its_replies_is() -> None:
    found = scheduler()
    for key in (1, 2):
        found.submit(key, tokens(6), 5)
    found.admit()
    found.plan()
    found.end(1)

    assert found.is_wanted()


def test_a_step_that_was_broken_off_is_planned_anew_without_what_was_cancelled() -> None:
    found = scheduler()
    found.submit(1, tokens(6), 5)
    step(found)
    found.submit(2, tokens(3, 200), 5)
    found.admit()
    planned = found.plan()
    found.end(2)

    assert found.undone() == [Cut(1, 0, 4), Cut(2, 1, 0)]
    assert found.plan() == tuple(run for run in planned if run.key == 1)


def test_a_step_that_cannot_be_decoded_ends_its_replies_and_empties_their_slots() -> None:
    found = scheduler()
    for key in (1, 2):
        found.submit(key, tokens(6), 5)
    found.admit()
    found.plan()
    found.end(1)

    assert found.failed() == [2]
    assert found.states() == [SlotState(None, 0), SlotState(None, 0)]


def test_a_slot_that_was_emptied_is_read_from_the_start() -> None:
    found = scheduler()
    found.submit(1, tokens(6), 1)
    until_idle(found)
    found.submit(2, tokens(6), 1)
    found.admit()
    found.forget(0)

    assert found.plan()[0].start == 0


def test_a_token_for_a_reply_that_ended_is_dropped() -> None:
    found = scheduler()
    found.submit(1, [1], 5)
    found.admit()
    found.plan()
    found.decoded()
    found.end(1)

    assert not found.written(1, 7)


def test_a_key_is_used_once_at_a_time() -> None:
    found = scheduler()
    found.submit(1, [1], 5)
    with pytest.raises(ValueError, match="in use"):
        found.submit(1, [1], 5)
    found.admit()
    with pytest.raises(ValueError, match="in use"):
        found.submit(1, [1], 5)


def test_steps_do_not_overlap() -> None:
    found = scheduler()
    with pytest.raises(RuntimeError, match="no step"):
        found.decoded()
    found.submit(1, [1], 5)
    found.admit()
    found.plan()
    for call in (found.plan, found.admit):
        with pytest.raises(RuntimeError, match="being decoded"):
            call()


@pytest.mark.parametrize(
    "bounds", [{"slots": 0}, {"slot_tokens": 1}, {"chunk_tokens": 0}, {"waiting": -1}, {"slots": 5, "batch_tokens": 4}]
)
def test_bounds_within_which_nothing_can_be_done_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"batch|room"):
        BatchParams(**bounds)
