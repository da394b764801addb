"""Events: facts, which nobody changes, and one list of them all."""

import dataclasses
import inspect

import pytest

from gateway.core import events
from gateway.core.events import EVENT_TYPES, ConversationEvent, FinishReason, Stage

pytestmark = pytest.mark.core


@pytest.mark.parametrize("event", EVENT_TYPES)
def test_an_event_cannot_be_changed_and_says_what_it_means(event: type[ConversationEvent]) -> None:
    assert vars(event)["__dataclass_params__"].frozen
    assert "__slots__" in vars(event)
    assert (event.__doc__ or "").endswith(".")


def test_every_event_is_in_the_list_of_them_all() -> None:
    """SegmentHeard is a part of a final, not an event."""
    defined = {kind for _, kind in inspect.getmembers(events, dataclasses.is_dataclass)}
    assert defined - set(EVENT_TYPES) == {events.SegmentHeard}


def test_two_facts_that_say_the_same_are_equal() -> None:
    assert events.FinalHeard("utt_1", "hello") == events.FinalHeard("utt_1", "hello", "", ())


def test_stages_and_reasons_have_the_names_that_the_wire_uses() -> None:
    assert list(Stage) == ["asr", "llm", "tts"]
    assert list(FinishReason) == ["stop", "length", "interrupted", "error"]
