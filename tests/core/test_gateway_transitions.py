"""The table of a conversation: whole, and true to the methods that it names."""

import inspect
from typing import get_args, get_type_hints

import pytest

from gateway.core import conversation
from gateway.core import events as on
from gateway.core.conversation import Conversation
from gateway.core.events import EVENT_TYPES, ConversationEvent
from gateway.core.floor import Actions
from gateway.core.params import ConversationParams
from gateway.core.transitions import IGNORED, TRANSITIONS, State
from tests.support.conversation_laws import names

pytestmark = pytest.mark.core

CELLS = [(state, event, decision) for state, row in TRANSITIONS.items() for event, decision in row.items()]
DECISIONS = sorted({(event, decision) for _, event, decision in CELLS if not decision.startswith(IGNORED)}, key=str)


def test_every_state_but_the_last_has_a_row() -> None:
    assert set(State) - set(TRANSITIONS) == {State.CLOSED}


@pytest.mark.parametrize("state", TRANSITIONS)
def test_no_cell_is_missing_and_none_is_too_many(state: State) -> None:
    assert set(TRANSITIONS[state]) == set(EVENT_TYPES)


@pytest.mark.parametrize(("event", "decision"), DECISIONS)
def test_every_cell_names_a_method_that_takes_this_event(event: type[ConversationEvent], decision: str) -> None:
    hints = get_type_hints(getattr(Conversation, decision), vars(conversation))
    accepted = get_args(hints["event"]) or (hints["event"],)
    assert event in accepted
    assert hints["now"] is float
    assert hints["return"] == Actions


def test_every_ignored_cell_has_a_reason() -> None:
    ignored = [decision for _, _, decision in CELLS if decision.startswith(IGNORED)]
    assert len(ignored) > 0
    assert [decision for decision in ignored if len(decision.removeprefix(IGNORED).split()) < 3] == []


def test_every_decision_is_somewhere_in_the_table() -> None:
    """A method that takes an event and is named in no cell is dead, unless another method calls it."""
    named = {decision for _, decision in DECISIONS}
    deciding = {
        name
        for name, method in inspect.getmembers(Conversation, inspect.isfunction)
        if list(inspect.signature(method).parameters) == ["self", "event", "now"]
    }
    assert deciding - named == {"handle"}


@pytest.mark.parametrize("event", EVENT_TYPES)
def test_a_closed_conversation_absorbs_everything(event: type[ConversationEvent]) -> None:
    closed = Conversation(ConversationParams(), names())
    closed.handle(on.Disconnected(), 0.0)
    assert closed.handle(object.__new__(event), 1.0) == []
    assert closed.state is State.CLOSED
