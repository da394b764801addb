"""Conversation: no order of events, and no id in them, breaks a law (tests/support/conversation_laws.py)."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.conversation import Conversation
from gateway.core.params import ConversationParams
from tests.support.conversation_laws import Watched, names
from tests.support.conversation_steps import KINDS, PICKS, WAITS_S, Step, play, random_steps

pytestmark = pytest.mark.core

SEQUENCES, LENGTH = 3_000, 30
params = st.builds(
    ConversationParams,
    speculates=st.booleans(),
    replies=st.booleans(),
    barge_in_words=st.integers(0, 3),
    passes_backchannels=st.booleans(),
    apology=st.sampled_from(["", "Sorry."]),
)
steps = st.lists(
    st.builds(
        Step, st.sampled_from(KINDS), st.integers(0, PICKS - 1), st.integers(0, PICKS - 1), st.sampled_from(WAITS_S)
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


def test_thousands_of_conversations_by_chance_break_no_law() -> None:
    chance = Random(7)
    for _ in range(SEQUENCES):
        wanted = ConversationParams(
            barge_in_words=chance.choice([1, 2]),
            passes_backchannels=chance.choice([True, False]),
            apology=chance.choice(["", "Sorry."]),
        )
        watched = Watched(Conversation(wanted, names()))
        watched.close(watched.settle(play(watched, random_steps(chance, LENGTH))))
