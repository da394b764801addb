"""One answer, as the servers of different makers tell it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.answer import (
    DONE,
    AnswerReader,
    Delta,
    Failed,
    Failure,
    Finished,
    Part,
    ToolCallDelta,
    Usage,
    is_count,
)

pytestmark = pytest.mark.core

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "finish_reason", "usage", "error", "tool_calls", "index", "function"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
payloads = st.lists(
    anything.map(json.dumps)
    | st.just(DONE)
    | st.just('{"choices":[{"delta":{"content":"a"}}]}')
    | st.just('{"choices":[{"delta":{},"finish_reason":"stop"}]}')
    | st.text(max_size=10),
    max_size=8,
)


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}], **more}


def read(*events: object, limit: int = 10_000) -> list[Part]:
    reader = AnswerReader(limit)
    parts = [part for event in events for part in reader.read(event if isinstance(event, str) else json.dumps(event))]
    return parts + reader.conclude()


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_a_stream_as_openai_sends_it() -> None:
    role = {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}], "usage": None}
    counts = {"choices": [], "usage": USAGE}

    parts = read(role, chunk("Hel"), chunk("lo"), chunk(finish="stop"), counts, DONE)

    assert parts == [Delta("Hel"), Delta("lo"), Finished("stop"), Usage(3, 2)]


def test_counts_on_every_chunk_are_cumulative_and_the_last_ones_hold() -> None:
    first, last = {"prompt_tokens": 3, "completion_tokens": 1}, {"prompt_tokens": 3, "completion_tokens": 2}

    parts = read(chunk("a", usage=first), chunk("b", finish="length", usage=last), DONE)

    assert parts == [Delta("a"), Delta("b"), Finished("length"), Usage(3, 2)]


def test_counts_without_choices_are_read() -> None:
    assert read({"usage": USAGE}, chunk(finish="stop")) == [Finished("stop"), Usage(3, 2)]


def test_an_answer_without_done_is_complete_when_it_has_a_finish_reason() -> None:
    assert read(chunk("a"), chunk(finish="stop")) == [Delta("a"), Finished("stop")]


def test_done_without_a_finish_reason_is_a_cut() -> None:
    assert read(chunk("a"), DONE) == [Delta("a"), Failed(Failure.CUT)]


def test_nothing_at_all_is_a_cut() -> None:
    assert read() == [Failed(Failure.CUT)]


def test_a_whole_message_in_place_of_a_stream_is_read() -> None:
    whole = {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}], "usage": USAGE}

    assert read(whole) == [Delta("Hi"), Finished("stop"), Usage(3, 2)]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "tool_calls"), ("eos", "stop")],
)
def test_finish_reasons_are_openais(theirs: str, ours: str) -> None:
    assert read(chunk(finish=theirs)) == [Finished(ours)]  # type: ignore[arg-type]


def test_nothing_but_the_counts_is_told_after_the_finish_reason() -> None:
    late = [chunk("b"), called({"index": 0, "id": "a"}), {"choices": [7]}, {"choices": [{"delta": 7}]}]

    parts = read(chunk("a"), chunk(finish="length"), *late, chunk("c", usage=USAGE), DONE)

    assert parts == [Delta("a"), Finished("length"), Usage(3, 2)]


def test_an_error_after_the_finish_reason_is_still_one() -> None:
    assert read(chunk(finish="stop"), {"error": {"code": 503}}) == [Finished("stop"), Failed(Failure.UNAVAILABLE)]


def test_an_empty_finish_reason_is_none() -> None:
    assert read(chunk("a", ""), chunk("b", ""), chunk(finish="stop")) == [Delta("a"), Delta("b"), Finished("stop")]


def test_only_the_first_choice_is_the_answer() -> None:
    second = {"index": 1, "delta": {"content": "B"}, "finish_reason": "length"}
    both = {"choices": [second, {"index": 0, "delta": {"content": "c"}, "finish_reason": None}]}

    parts = read(
        chunk("a"), {"choices": [second]}, both, {"choices": [{"delta": {"content": "d"}}]}, chunk(finish="stop")
    )

    assert parts == [Delta("a"), Delta("c"), Delta("d"), Finished("stop")]


def test_text_that_comes_in_parts_is_read_and_parts_of_other_kinds_are_not() -> None:
    other = [{"type": "thinking", "text": "hm"}, {"type": "text", "text": 7}, "x"]
    parts = [{"type": "text", "text": "a"}, *other, {"text": "b"}]
    events = [{"choices": [{"delta": {"content": content}}]} for content in (parts, [], [{"type": "text", "text": ""}])]

    assert read(*events, chunk(finish="stop")) == [Delta("ab"), Finished("stop")]


@given(payloads)
def test_after_the_end_come_only_counts_or_a_failure(sent: list[str]) -> None:
    parts = read(*sent)
    ends = [place for place, part in enumerate(parts) if isinstance(part, Finished)]

    assert [part for place in ends for part in parts[place + 1 :] if not isinstance(part, Usage | Failed)] == []


def test_a_second_finish_reason_is_not_told_again() -> None:
    assert read(chunk(finish="stop"), chunk(finish="stop"), DONE) == [Finished("stop")]


@pytest.mark.parametrize("more", ["x", "null", "[]", '"text"', "{}", '{"choices":7}', '{"choices":[7]}', "{" * 100_000])
def test_what_cannot_be_understood_is_a_failure(more: str) -> None:
    assert read(chunk("a"), more, chunk("b")) == [Delta("a"), Failed(Failure.GARBLED)]


def test_a_delta_of_the_wrong_kind_is_a_failure() -> None:
    assert read({"choices": [{"delta": "text"}]}) == [Failed(Failure.GARBLED)]


def test_a_delta_of_no_text_is_no_part() -> None:
    assert read(chunk(), {"choices": [{"delta": {"content": 7}}]}, chunk(finish="stop")) == [Finished("stop")]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"error": {"message": "m", "type": "server_error", "code": 500}}, Failure.BROKEN),
        ({"error": {"message": "m", "code": None}}, Failure.BROKEN),
        ({"error": {"message": "m", "code": 503}}, Failure.UNAVAILABLE),
        ({"error": {"type": "exceed_context_size_error", "code": 400}}, Failure.TOO_LONG),
        ({"error": {"code": "context_length_exceeded"}}, Failure.TOO_LONG),
        ({"code": "some_text", "error": "flat"}, Failure.BROKEN),
        ({"error": "This model's maximum context length is 10 tokens"}, Failure.TOO_LONG),
        ({"object": "error", "message": "m", "code": 400}, Failure.REFUSED),
        ({"error": "plain"}, Failure.BROKEN),
    ],
)
def test_errors_of_every_shape_are_known_and_nothing_follows_them(error: object, failure: Failure) -> None:
    assert read(chunk("a"), error, chunk("b"), DONE) == [Delta("a"), Failed(failure)]


def test_nothing_is_read_after_done() -> None:
    assert read(chunk(finish="stop"), DONE, chunk("b"), {"error": "late"}) == [Finished("stop")]


def test_an_empty_error_is_none() -> None:
    assert read(chunk("a", finish="stop", error=None)) == [Delta("a"), Finished("stop")]


@given(payloads)
def test_whatever_is_sent_there_is_one_end_at_most_and_nothing_after_a_failure(sent: list[str]) -> None:
    parts = read(*sent)

    failures = [part for part in parts if isinstance(part, Failed)]
    assert len([part for part in parts if isinstance(part, Finished)]) <= 1
    assert failures in ([], [parts[-1]])


@given(payloads)
def test_every_answer_ends_complete_or_with_a_failure(sent: list[str]) -> None:
    assert [part for part in read(*sent) if isinstance(part, Finished | Failed)] != []


def called(*pieces: object, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"tool_calls": list(pieces)}, "finish_reason": finish}]}


def test_pieces_of_tool_calls_are_handed_on() -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}

    parts = read(called(first), called({"index": 0, "function": {"arguments": '{"x"'}}), called(second), called(
        {"index": 0, "function": {"arguments": ":1}"}}, finish="tool_calls"
    ), DONE)  # fmt: skip

    assert parts == [
        ToolCallDelta(0, "a", "f", ""),
        ToolCallDelta(0, None, None, '{"x"'),
        ToolCallDelta(1, "b", "g", "{}"),
        ToolCallDelta(0, None, None, ":1}"),
        Finished("tool_calls"),
    ]


def test_calls_of_a_whole_message_are_told_apart_by_their_place() -> None:
    calls = [{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}, {"id": "b", "function": {"name": "g"}}]

    parts = read({"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]})

    assert parts == [ToolCallDelta(0, "a", "f", '{"x": 1}'), ToolCallDelta(1, "b", "g", ""), Finished("tool_calls")]


@pytest.mark.parametrize(("theirs", "ours"), [("stop", "tool_calls"), ("eos", "tool_calls"), ("length", "length")])
def test_an_answer_that_calls_tools_ends_for_them_whatever_its_server_says(theirs: str, ours: Any) -> None:
    assert read(called({"index": 0, "id": "a"}), chunk(finish=theirs)) == [ToolCallDelta(0, "a"), Finished(ours)]


@pytest.mark.parametrize(
    "calls",
    [7, ["x"], [{"index": -1}], [{"index": 128}], [{"index": "0"}], [{"index": 0, "function": "f"}], [{}, None]],
)
def test_calls_that_cannot_be_understood_are_a_failure(calls: object) -> None:
    assert read({"choices": [{"delta": {"tool_calls": calls}}]}) == [Failed(Failure.GARBLED)]


def test_no_calls_are_none() -> None:
    assert read({"choices": [{"delta": {"content": "a", "tool_calls": []}, "finish_reason": "stop"}]}) == [
        Delta("a"), Finished("stop"),
    ]  # fmt: skip


def test_reasoning_is_no_text() -> None:
    thought = [{"choices": [{"delta": {name: "hm"}}]} for name in ("reasoning_content", "reasoning")]

    assert read(*thought, chunk("a"), chunk(finish="stop")) == [Delta("a"), Finished("stop")]


def test_an_answer_above_its_limit_is_broken_off() -> None:
    call = {"index": 0, "function": {"name": "fn", "arguments": "12"}}

    assert read(chunk("abc"), chunk("de"), chunk("f"), limit=5) == [
        Delta("abc"), Delta("de"), Failed(Failure.ENDLESS),
    ]  # fmt: skip
    assert read(called(call), chunk("a"), limit=4) == [ToolCallDelta(0, None, "fn", "12"), Failed(Failure.ENDLESS)]


def test_events_without_text_are_counted_too() -> None:
    assert read(*[chunk("")] * 4, limit=3) == [Failed(Failure.ENDLESS)]


@given(payloads, st.integers(1, 12))
def test_no_answer_is_longer_than_its_limit(sent: list[str], limit: int) -> None:
    assert sum(len(part.text) for part in read(*sent, limit=limit) if isinstance(part, Delta)) <= limit


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"error": {"message": "m", "type": "rate_limit_exceeded"}}, Failure.OVERLOADED),
        ({"error": {"message": "m", "type": "authentication_error", "code": None}}, Failure.KEY_REFUSED),
        ({"error": {"message": "m", "code": "model_not_found"}}, Failure.NOT_THERE),
        ({"error": {"message": "m", "code": "503"}}, Failure.UNAVAILABLE),
        ({"error": "m", "code": "invalid_request_error"}, Failure.REFUSED),
        ({"error": {"message": "m", "type": "made_up"}}, Failure.BROKEN),
        ({"error": {"type": "BadRequestError", "message": "maximum context length is 9"}}, Failure.TOO_LONG),
    ],
)
def test_an_error_without_a_number_is_known_by_its_name(error: object, failure: Failure) -> None:
    assert read(error) == [Failed(failure)]


@pytest.mark.parametrize("count", [-1, 2**53 + 1, 10**400, True, 1.0, "7", None])
def test_what_is_no_count_of_tokens_is_not_told(count: object) -> None:
    reader = AnswerReader()
    reader.read(json.dumps({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}))
    reader.read(json.dumps({"choices": [], "usage": {"prompt_tokens": count, "completion_tokens": 1}}))

    assert not is_count(count)
    assert reader.conclude() == []
