"""How Korean says numbers, dates, times and signs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.spoken import spoken
from tts_service.core.spoken_korean import Korean, native

pytestmark = pytest.mark.core

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases" / "spoken.json").read_text("utf-8"))
OURS = [case for case in CASES if case["lang"].startswith("ko")]


@pytest.mark.parametrize("case", OURS, ids=[case["id"] for case in OURS])
def test_a_case_is_said_as_people_say_it(case: dict[str, Any]) -> None:
    assert spoken(case["text"], case["lang"]) == case["said"]


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "영"),
        ("10", "십"),
        ("11", "십일"),
        ("100", "백"),
        ("1111", "천백십일"),
        ("10000", "만"),
        ("11000", "만 천"),
        ("20000", "이만"),
        ("100000000", "일억"),
        ("100010000", "일억 일만"),
        ("1000000000000", "일조"),
    ],
)
def test_a_number_has_words(digits: str, words: str) -> None:
    assert Korean().cardinal(digits) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "한"), (5, "다섯"), (10, "열"), (11, "열한"), (20, "스무"), (21, "스물한"), (99, "아흔아홉")],
)
def test_counters_take_native_numbers(number: int, words: str) -> None:
    assert native(number) == words


@given(st.integers(0, 10**15 - 1))
def test_a_number_is_hangul_alone(number: int) -> None:
    assert all("가" <= char <= "힣" or char == " " for char in Korean().cardinal(str(number)))
