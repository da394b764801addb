"""Parts of a stretch in a row: their texts are joined, and their times are those of the stretch."""

import pytest

from asr_service.engines.base import Result, Span, Word
from asr_service.engines.parts import Parts

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("between", [" ", ""])
def test_parts_are_one_text_with_the_times_of_the_stretch(between: str) -> None:
    parts = Parts(between)
    assert parts.result() == Result("")
    assert parts.with_text("one") == "one"
    parts.close("one", (Span(10, 80, "one", (Word(10, 70, "one"),)),), 100)
    assert parts.with_text("") == "one"
    parts.close("", (), 50)
    assert parts.with_text("two") == f"one{between}two"
    parts.close("two", (Span(0, 30, "two"),), 40)

    assert parts.from_samples == 190
    assert parts.result() == Result(
        f"one{between}two", (Span(10, 80, "one", (Word(10, 70, "one"),)), Span(150, 180, "two"))
    )
