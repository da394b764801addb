"""How English says numbers, dates, times and signs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.spoken import spoken
from tts_service.core.spoken_english import English

pytestmark = pytest.mark.core

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases" / "spoken.json").read_text("utf-8"))
OURS = [case for case in CASES if case["lang"].startswith("en")]


@pytest.mark.parametrize("case", OURS, ids=[case["id"] for case in OURS])
def test_a_case_is_said_as_people_say_it(case: dict[str, Any]) -> None:
    assert spoken(case["text"], case["lang"]) == case["said"]


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zero"),
        ("19", "nineteen"),
        ("20", "twenty"),
        ("99", "ninety-nine"),
        ("100", "one hundred"),
        ("110", "one hundred ten"),
        ("1001", "one thousand one"),
        ("1000000", "one million"),
        (
            "999999999999999",
            "nine hundred ninety-nine trillion nine hundred ninety-nine billion nine hundred "
            "ninety-nine million nine hundred ninety-nine thousand nine hundred ninety-nine",
        ),
    ],
)
def test_a_number_has_words(digits: str, words: str) -> None:
    assert English().cardinal(digits) == words


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("1000", "one thousand"),
        ("1066", "ten sixty-six"),
        ("1800", "eighteen hundred"),
        ("1905", "nineteen oh five"),
        ("1999", "nineteen ninety-nine"),
        ("2000", "two thousand"),
        ("2009", "two thousand nine"),
        ("2010", "twenty ten"),
        ("2026", "twenty twenty-six"),
    ],
)
def test_a_year_has_two_pairs(digits: str, words: str) -> None:
    assert English().year(digits) == words


@given(st.integers(0, 10**15 - 1))
def test_a_number_is_words_alone(number: int) -> None:
    words = English().cardinal(str(number))
    assert words.replace(" ", "").replace("-", "").isalpha()
    assert English().place(str(number))[-2:] in ("st", "nd", "rd", "th")
