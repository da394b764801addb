"""Conversation: no order of events, and no id in them, breaks a law (tests/support/conversation_laws.py)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.conversation import Conversation
from gateway.core.params import ConversationParams
from gateway.core.transitions import State
from tests.support.conversation_laws import Watched, names
from tests.support.conversation_sequences import CELLS, many
from tests.support.conversation_steps import AGAIN, KINDS, PICKS, WAITS_S, Step, play

pytestmark = pytest.mark.core

SEQUENCES = 5_000  # of the hundred thousand of tests/service/test_bench_conversation_laws.py
params = st.builds(
    ConversationParams,
    speculates=st.booleans(),
    speculations_per_turn=st.integers(0, 3),
    replies=st.booleans(),
    barge_in_words=st.integers(0, 3),
    passes_backchannels=st.booleans(),
    apology=st.sampled_from(["", "Sorry."]),
)
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(KINDS),
        st.integers(0, PICKS - 1),
        st.integers(0, PICKS - 1),
        st.sampled_from(WAITS_S),
        st.sampled_from(sorted(set(AGAIN))),
    ),
    max_size=40,
)


@given(params, steps)
def test_events_in_any_order_break_no_law(params: ConversationParams, steps: list[Step]) -> None:
    watched = Watched(Conversation(params, names()))
    watched.close(play(watched, steps))


@given(params, steps)
def test_ticks_alone_end_whatever_was_begun(params: ConversationParams, steps: list[Step]) -> None:
    watched = Watched(Conversation(params, names()))
    watched.settle(play(watched, steps))


@given(params, params, steps, steps)
def test_wishes_that_change_on_the_way_break_no_law(
    before: ConversationParams, after: ConversationParams, first: list[Step], then: list[Step]
) -> None:
    watched = Watched(Conversation(before, names()))
    now = play(watched, first)
    watched.conversation.params = after
    watched.settle(play(watched, then, now + 1.0))


def test_thousands_of_conversations_by_chance_break_no_law_and_reach_every_cell() -> None:
    reached = many(7, range(SEQUENCES))

    assert reached.breaches == []
    assert reached.states == set(State)
    assert sorted(CELLS - reached.cells, key=str) == []
    assert SEQUENCES * 10 < reached.stale < reached.events
