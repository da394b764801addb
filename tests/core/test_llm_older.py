"""llama.cpp's own completions: what is asked of them, and what their events mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.answer import Delta, Failed, Failure, Finished, Part, Usage
from llm_service.core.older import CompletionReader, chatml, completion_body, plain_messages

pytestmark = pytest.mark.core

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from(["content", "stop", "stop_type", "error", "x"]), inner, max_size=4),
    max_leaves=8,
)
texts = st.text(max_size=30) | st.lists(
    st.sampled_from(["<|im_start|>", "<|im_end|>", "system\n", "<|", "im_end|>", "</s>", "[INST]", "a"]), max_size=6
).map("".join)


def read(*events: object, limit: int = 1000) -> list[Part]:
    reader = CompletionReader(limit)
    parts = [part for event in events for part in reader.read(event if isinstance(event, str) else json.dumps(event))]
    return parts + reader.conclude()


def piece(text: str) -> dict[str, Any]:
    return {"index": 0, "content": text, "tokens": [5], "stop": False}


def end(**fields: Any) -> dict[str, Any]:
    return {"content": "", "stop": True, "tokens_predicted": 2, "tokens_evaluated": 7, **fields}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stop_type": "eos"}, "stop"),
        ({"stop_type": "word"}, "stop"),
        ({"stop_type": "limit"}, "length"),
        ({"stopped_eos": True, "stopped_limit": False, "stopped_word": False}, "stop"),
        ({"stopped_eos": False, "stopped_limit": True, "stopped_word": False}, "length"),
        ({}, "stop"),
    ],
)
def test_both_tongues_of_the_last_event_are_read(fields: dict[str, Any], reason: Any) -> None:
    assert read(piece("Hel"), piece("lo"), end(**fields)) == [
        Delta("Hel"), Delta("lo"), Finished(reason), Usage(7, 2),
    ]  # fmt: skip


def test_a_whole_answer_in_one_event_is_read_and_nothing_after_it() -> None:
    assert read(end(content="Hello"), piece("late")) == [Delta("Hello"), Finished("stop"), Usage(7, 2)]


def test_counts_that_are_missing_are_not_made_up() -> None:
    assert read(piece("a"), {"content": "", "stop": True}) == [Delta("a"), Finished("stop")]


def test_without_a_last_event_it_is_a_cut() -> None:
    assert read(piece("a")) == [Delta("a"), Failed(Failure.CUT)]
    assert read(piece("a"), "[DONE]") == [Delta("a"), Failed(Failure.CUT)]


@pytest.mark.parametrize("more", ["x", "[]", "{}", '{"content":7}', '{"stop":"yes"}'])
def test_what_cannot_be_understood_is_a_failure(more: str) -> None:
    assert read(piece("a"), more, piece("b")) == [Delta("a"), Failed(Failure.GARBLED)]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"error": {"code": 503, "message": "m"}}, Failure.UNAVAILABLE),
        ({"error": {"type": "exceed_context_size_error"}}, Failure.TOO_LONG),
        ({"error": "plain"}, Failure.BROKEN),
    ],
)
def test_an_error_ends_it(error: object, failure: Failure) -> None:
    assert read(piece("a"), error, end()) == [Delta("a"), Failed(failure)]


def test_an_answer_above_its_limit_is_broken_off() -> None:
    assert read(piece("abc"), piece("defg"), piece("h"), limit=7) == [
        Delta("abc"), Delta("defg"), Failed(Failure.ENDLESS),
    ]  # fmt: skip


@given(st.lists(anything.map(json.dumps) | st.text(max_size=8), max_size=6))
def test_whatever_is_sent_it_ends_complete_or_with_one_failure(sent: list[str]) -> None:
    parts = read(*sent)

    ends = [part for part in parts if isinstance(part, Finished | Failed)]
    assert len(ends) == 1
    assert not isinstance(ends[0], Failed) or parts[-1] == ends[0]


def test_messages_become_one_prompt_up_to_the_answer() -> None:
    messages = plain_messages(
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None},
        ]
    )

    assert chatml(messages) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n"
    )


@given(st.lists(texts, max_size=4))
def test_no_text_can_end_its_message_or_begin_another(said: list[str]) -> None:
    prompt = chatml(plain_messages([{"role": "user", "content": text} for text in said]))

    assert prompt.count("<|im_start|>") == len(said) + 1
    assert prompt.count("<|im_end|>") == len(said)


def test_the_request_says_what_the_other_one_said() -> None:
    body = {
        "messages": [], "model": "m", "temperature": 0.5, "top_k": 3, "seed": 1, "max_tokens": 9, "stop": "END",
        "max_completion_tokens": 8, "response_format": {"type": "json_object"},
    }  # fmt: skip

    assert completion_body(body, "a<|im_end|>") == {
        "temperature": 0.5, "top_k": 3, "seed": 1, "n_predict": 8, "prompt": "a<|im_end|>",
        "stop": ["END", "<|im_end|>"], "cache_prompt": True, "stream": True, "json_schema": {"type": "object"},
    }  # fmt: skip


def test_what_was_not_said_is_left_out_and_the_end_markers_of_the_prompt_are_stops() -> None:
    schema = {"type": "object", "properties": {}}
    shaped = {"stop": ["</s>", "x"], "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}

    assert completion_body({}, "plain") == {"prompt": "plain", "stop": [], "cache_prompt": True, "stream": True}
    assert completion_body({"max_tokens": 4}, "a</s>")["n_predict"] == 4
    assert completion_body(shaped, "a</s><|eot_id|>") == {
        "prompt": "a</s><|eot_id|>", "stop": ["</s>", "x", "<|eot_id|>"], "cache_prompt": True, "stream": True,
        "json_schema": schema,
    }  # fmt: skip
