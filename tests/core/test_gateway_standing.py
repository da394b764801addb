"""What stands of a conversation survives JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.events import FinishReason
from gateway.core.standing import Standing, StandingReply
from gateway.core.transitions import State

pytestmark = pytest.mark.core

WORDS = st.text(max_size=5)
REPLIES = st.builds(
    StandingReply, WORDS, WORDS, WORDS, st.booleans(), st.sampled_from(FinishReason), st.booleans(), st.booleans()
)  # fmt: skip
STANDINGS = st.builds(
    Standing,
    st.sampled_from(State),
    WORDS,
    WORDS,
    WORDS,
    st.one_of(st.none(), REPLIES),
    WORDS,
    WORDS,
    WORDS,
    st.lists(WORDS, max_size=3).map(tuple),
)


@given(STANDINGS)
def test_what_stands_comes_back_as_it_was(standing: Standing) -> None:
    assert Standing.from_fields(json.loads(json.dumps(standing.as_fields()))) == standing
