"""Actions: wishes, which nobody changes, and one list of them all."""

import dataclasses
import inspect
from typing import get_args

import pytest

from gateway.core import actions
from gateway.core.actions import ConversationAction
from gateway.core.events import SegmentHeard

pytestmark = pytest.mark.core

ACTIONS: tuple[type[ConversationAction], ...] = get_args(ConversationAction)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_cannot_be_changed_and_says_what_it_wants(action: type[ConversationAction]) -> None:
    assert vars(action)["__dataclass_params__"].frozen
    assert "__slots__" in vars(action)
    assert (action.__doc__ or "").endswith(".")


def test_every_action_is_in_the_list_of_them_all() -> None:
    defined = {kind for _, kind in inspect.getmembers(actions, dataclasses.is_dataclass)}
    assert defined - set(ACTIONS) == {SegmentHeard}


@pytest.mark.parametrize("action", ACTIONS)
def test_what_is_announced_of_a_turn_names_it_first(action: type[ConversationAction]) -> None:
    first = next(iter(field.name for field in dataclasses.fields(action)), "")
    is_of_a_turn = action.__name__.startswith("Announce") and action is not actions.AnnounceError
    assert (first == "turn_id") is (is_of_a_turn or action in (actions.RequestReply, actions.CommitTurn))
