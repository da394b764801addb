"""Text completions, read out of an upstream's events."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.answer import Delta, Failed, Failure, Finished, Usage
from llm_service.core.text_answer import TextReader

pytestmark = pytest.mark.core


def said(text: str | None, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": reason}]}


def read(*events: object) -> list[object]:
    reader = TextReader()
    parts: list[object] = []
    for event in events:
        parts += reader.read(event if isinstance(event, str) else json.dumps(event))
    return [*parts, *reader.conclude()]


def test_a_completion_is_read_to_its_end() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}

    assert read(said("a"), said("b"), said("", "stop"), usage, "[DONE]") == [
        Delta("a"),
        Delta("b"),
        Finished("stop"),
        Usage(3, 2),
    ]


@pytest.mark.parametrize(("reason", "ours"), [("length", "length"), ("stop", "stop"), ("eos", "stop")])
def test_the_last_text_and_the_reason_may_come_together_and_the_first_reason_holds(reason: str, ours: str) -> None:
    assert read(said("a", reason), said(None, "length")) == [Delta("a"), Finished(ours)]  # type: ignore[arg-type]


def test_an_empty_reason_is_no_end_and_nothing_is_told_after_the_end() -> None:
    other = {"choices": [{"index": 1, "text": "b", "finish_reason": "length"}]}

    assert read(said("a", ""), other, said("c", ""), said("", "stop"), said("d"), "[DONE]") == [
        Delta("a"), Delta("c"), Finished("stop"),
    ]  # fmt: skip


def test_a_completion_without_a_reason_was_cut() -> None:
    assert read(said("a"), "[DONE]") == [Delta("a"), Failed(Failure.CUT)]


def test_a_choice_that_is_none_cannot_be_understood() -> None:
    assert read({"choices": ["x"]}) == [Failed(Failure.GARBLED)]


def test_an_error_ends_it() -> None:
    assert read(said("a"), {"error": {"code": 500}}, said("b")) == [Delta("a"), Failed(Failure.BROKEN)]


@given(st.lists(st.text() | st.dictionaries(st.sampled_from(["choices", "text", "error"]), st.integers() | st.none())))
def test_whatever_is_sent_is_read_without_a_fault(events: list[object]) -> None:
    failures = [part for part in read(*events) if isinstance(part, Failed)]

    assert len(failures) <= 1
