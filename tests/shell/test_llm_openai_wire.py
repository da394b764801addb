"""The pieces of an answer as clients see them: who answers, and which tools are called."""

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from llm_service.core.answer import ToolCallDelta, Usage
from llm_service.core.markers import MarkerBreaker
from llm_service.core.tool_calls import ToolCall
from llm_service.engines.base import Manner
from llm_service.openai_wire import ChatRequest, Envelope

pytestmark = pytest.mark.shell


def pieces(event: dict[str, Any]) -> list[dict[str, Any]]:
    (choice,) = event["choices"]
    found: list[dict[str, Any]] = choice["delta"]["tool_calls"]
    return found


def test_only_the_first_piece_of_a_call_says_which_it_is() -> None:
    envelope = Envelope("m")

    (first,) = pieces(envelope.tool_chunk(ToolCallDelta(1, "c1", "f", "{")))
    (second,) = pieces(envelope.tool_chunk(ToolCallDelta(1, "c1", None, "}")))

    assert first == {"index": 1, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    assert second == {"index": 1, "function": {"arguments": "}"}}


def test_a_call_without_an_id_gets_one_of_ours() -> None:
    envelope = Envelope("m")
    ids = [pieces(envelope.tool_chunk(ToolCallDelta(index)))[0]["id"] for index in range(2)]
    whole: Any = envelope.completion("", "tool_calls", None, [ToolCall("", "f", "{}")])

    ids.append(whole["choices"][0]["message"]["tool_calls"][0]["id"])
    assert all(re.fullmatch(r"call_\w+", found) for found in ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize(("text", "content"), [("", None), ("Let me look.", "Let me look.")])
def test_a_whole_answer_has_its_calls_beside_its_text(text: str, content: str | None) -> None:
    whole: Any = Envelope("m").completion(text, "tool_calls", Usage(1, 2), [ToolCall("c1", "f", "{}")])

    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert whole["choices"][0]["message"] == {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


def test_an_answer_without_calls_says_nothing_of_tools() -> None:
    whole: Any = Envelope("m").completion("", "stop", None)

    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "", "refusal": None}


def test_every_piece_names_the_model_that_answers_once_it_is_known() -> None:
    envelope = Envelope("asked")
    envelope.name("far/answering")

    events = [envelope.chunk({}), envelope.tool_chunk(ToolCallDelta(0)), envelope.usage_chunk(Usage(1, 2))]

    assert [event["model"] for event in events] == ["far/answering"] * 3
    assert envelope.completion("", "stop", None)["model"] == "far/answering"


def asked(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"messages": [{"role": "user", "content": "hi"}], **fields})


@pytest.mark.parametrize(
    ("stop", "expected"),
    [("", None), ([""], None), ([], None), (["", "a", ""], ["a"]), ("a", "a"), (["a"], ["a"]), (None, None)],
)
def test_an_empty_stop_stops_nothing(stop: Any, expected: Any) -> None:
    """The model's server would end the answer before it begins."""
    body = asked(stop=stop).for_engine(Manner(model=None), MarkerBreaker(()))

    assert body.get("stop") == expected


@pytest.mark.parametrize(
    "fields",
    [{"logprobs": True}, {"top_logprobs": 3}, {"logit_bias": {"5": 100}}, {"n": 2}, {"modalities": ["text", "audio"]},
     {"functions": [{"name": "f"}]}],
)  # fmt: skip
def test_what_would_change_the_answer_and_is_not_offered_is_refused(fields: dict[str, Any]) -> None:
    (name,) = fields

    with pytest.raises(ValidationError) as refusal:
        asked(**fields)

    assert refusal.value.errors()[0]["loc"][0] == name


@pytest.mark.parametrize(
    "fields",
    [{"logprobs": False}, {"top_logprobs": 0}, {"logit_bias": {}}, {"n": 1}, {"modalities": ["text"]},
     {"logprobs": None, "top_logprobs": None, "logit_bias": None, "n": None}, {"functions": []}, {"store": True}],
)  # fmt: skip
def test_what_asks_for_nothing_is_taken(fields: dict[str, Any]) -> None:
    assert asked(**fields).messages == asked().messages


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": None, "refusal": ""}, ""),
        ({"content": "Hi", "refusal": None, "annotations": [], "audio": None, "function_call": None}, "Hi"),
        ({"content": [{"type": "text", "text": "No: "}, {"type": "refusal", "refusal": "never."}]}, "No: never."),
    ],
)
def test_an_answer_may_be_sent_back_as_it_came(message: dict[str, Any], text: str) -> None:
    request = asked(messages=[{"role": "assistant", **message}])

    told = request.for_engine(Manner(model=None), MarkerBreaker(()))["messages"]

    assert told == [{"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    "message",
    [{"role": "assistant"}, {"role": "assistant", "content": None}, {"role": "user", "refusal": "no"}],
)
def test_a_message_that_says_nothing_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="content is missing"):
        asked(messages=[message])


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [1, 20, 900, 920, 940, 960, 980, 1000, 5000])
def test_what_is_taken_to_be_passed_on_can_still_be_sent_inside_of_something(depth: int) -> None:
    """Where the depth becomes too much depends on who calls; what was taken is never too much later."""
    fields = {
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": {"type": "json_object", "y": nested(depth)},
    }
    try:
        request = ChatRequest.model_validate(fields)
    except ValidationError as refusal:
        assert depth > 20
        assert "cannot be told as JSON" in str(refusal)
    else:
        json.dumps({"inside": [[[request.model_dump()["response_format"]]]]})


@pytest.mark.parametrize("value", [float("nan"), "a\ud800"])
def test_what_no_server_can_read_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="cannot be told as JSON"):
        ChatRequest.model_validate(
            {"messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_object", "y": value}}
        )
