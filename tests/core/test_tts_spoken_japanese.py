"""How Japanese says numbers, dates, times and signs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.spoken import spoken
from tts_service.core.spoken_japanese import Japanese

pytestmark = pytest.mark.core

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases" / "spoken.json").read_text("utf-8"))
OURS = [case for case in CASES if case["lang"].startswith("ja")]


@pytest.mark.parametrize("case", OURS, ids=[case["id"] for case in OURS])
def test_a_case_is_said_as_people_say_it(case: dict[str, Any]) -> None:
    assert spoken(case["text"], case["lang"]) == case["said"]


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "ゼロ"),
        ("10", "じゅう"),
        ("14", "じゅうよん"),
        ("100", "ひゃく"),
        ("300", "さんびゃく"),
        ("600", "ろっぴゃく"),
        ("800", "はっぴゃく"),
        ("1000", "せん"),
        ("3000", "さんぜん"),
        ("8000", "はっせん"),
        ("10000", "いちまん"),
        ("10000000", "いっせんまん"),
        ("100000000", "いちおく"),
        ("1000000000000", "いっちょう"),
    ],
)
def test_a_number_has_words(digits: str, words: str) -> None:
    assert Japanese().cardinal(digits) == words


@given(st.integers(0, 10**15 - 1))
def test_a_number_is_kana_alone(number: int) -> None:
    assert all("ぁ" <= char <= "ヿ" for char in Japanese().cardinal(str(number)))
