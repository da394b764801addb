"""How Chinese says numbers, dates, times and signs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.spoken import spoken
from tts_service.core.spoken_chinese import Chinese, Traditional
from tts_service.core.spoken_forms import find_forms

pytestmark = pytest.mark.core

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases" / "spoken.json").read_text("utf-8"))
OURS = [case for case in CASES if case["lang"].startswith("zh")]


@pytest.mark.parametrize("case", OURS, ids=[case["id"] for case in OURS])
def test_a_case_is_said_as_people_say_it(case: dict[str, Any]) -> None:
    assert spoken(case["text"], case["lang"]) == case["said"]


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "零"),
        ("10", "十"),
        ("11", "十一"),
        ("20", "二十"),
        ("101", "一百零一"),
        ("110", "一百一十"),
        ("222", "二百二十二"),
        ("1001", "一千零一"),
        ("1010", "一千零一十"),
        ("2000", "两千"),
        ("10001", "一万零一"),
        ("20002", "两万零二"),
        ("22222", "两万两千二百二十二"),
        ("100000", "十万"),
        ("1000001", "一百万零一"),
        ("100000001", "一亿零一"),
        ("100010000", "一亿零一万"),
        ("1234567890123", "一万亿两千三百四十五亿六千七百八十九万零一百二十三"),
    ],
)
def test_a_number_has_words(digits: str, words: str) -> None:
    assert Chinese().cardinal(digits) == words


@given(st.integers(0, 10**15 - 1))
def test_a_number_is_written_with_its_own_characters(number: int) -> None:
    words = Chinese().cardinal(str(number))
    assert set(words) <= set("零一二两三四五六七八九十百千万亿")
    assert "零零" not in words


def test_every_word_has_its_traditional_form() -> None:
    found = next(find_forms("2.5 kHz"))
    assert Traditional().say(found, "", "").words == "二點五千赫"
