"""ConversationParams: as shipped, each limit outlasts what it waits for."""

import dataclasses

import pytest

from gateway.core.params import ConversationParams

pytestmark = pytest.mark.core


def test_params_are_values() -> None:
    assert ConversationParams() == ConversationParams(overlap_s=0.15)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ConversationParams().overlap_s = 1.0  # type: ignore[misc]


def test_an_overlap_is_decided_long_before_anything_else_is_given_up() -> None:
    shipped = ConversationParams()
    waits = [shipped.final_timeout_s, shipped.playout_stall_s, shipped.reply_timeout_s, shipped.utterance_timeout_s]
    assert 0 < shipped.overlap_s < min(waits)
    assert waits == sorted(waits)
