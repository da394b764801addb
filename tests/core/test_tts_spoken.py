"""What is said of a text by an engine that does not read numbers: the cases, the laws, and whose language it is."""

import json
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.spoken import LONGEST_WORDS_CHARS, spoken

pytestmark = pytest.mark.core

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases" / "spoken.json").read_text("utf-8"))
FOUR = ["en", "zh-Hans", "zh-Hant", "ko", "ja"]

SPACED_PIECES = """
    1 2 20 999 1999 2026 1,234 0 007 3.14 .5 : / - – ~ . , % ° °C km km/h m² $ € £ ¥ ₩ k M 万 만 个 개 명 시 月
    年 日 時 人 本 am pm p.m. v th st s ½ ² ^ # @ & + = < > * ( ) https:// www. .com example.com x@y.z :) ^^ ㅋㅋ
    ㅋ 〇 ① ２ ， ： The in 你好 안녕 こんにちは 제 第 No. GB Nov. November 的 は ４ ٣ 𝟏 ⑳ \ud800 \u0301 é ん - >= Да ꧐
"""
PIECES = [*SPACED_PIECES.split(), " ", " ", " ", "7" * 30]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(
    st.characters(codec=None, categories=None), max_size=40
)
LANGUAGES = st.sampled_from(FOUR)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case_is_said_as_people_say_it(case: dict[str, Any]) -> None:
    assert spoken(case["text"], case["lang"]) == case["said"]


def test_there_are_enough_cases_in_every_language() -> None:
    for language, least in (("en", 150), ("zh", 90), ("ko", 75), ("ja", 50)):
        assert sum(case["lang"].startswith(language) for case in CASES) >= least
    assert len({case["id"] for case in CASES}) == len(CASES)


# The laws


@given(TEXTS, LANGUAGES)
def test_no_digit_is_left(text: str, language: str) -> None:
    assert [char for char in spoken(text, language) if char.isdigit()] == []


@given(TEXTS, st.sampled_from([*FOUR, "de", "ru", "", "x-unknown"]), st.booleans())
def test_what_has_been_said_stays_as_it_is(text: str, language: str, reads_numbers: bool) -> None:
    said = spoken(text, language, reads_numbers)
    assert spoken(said, language, reads_numbers) == said
    assert len(said) <= LONGEST_WORDS_CHARS * len(text)


WORDS = st.lists(
    st.sampled_from(
        ["Hello", "world,", "it's", "good.", "(yes)", "“no!”", "你好，", "안녕하세요.", "はい。", "été", "—", "VIII"]
    ),
    min_size=1,
)


@given(WORDS, LANGUAGES)
def test_words_and_plain_punctuation_are_unchanged(words: list[str], language: str) -> None:
    text = " ".join(words)
    assert spoken(text, language) == text


def calls_made(text: str) -> int:
    """How many functions, of Python or C, are called to say it."""
    count = 0

    def see(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        spoken(text, "ko")
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    "piece", ["7", "1,", "1.", "1-", "1:", "1/", "a@", "a.", ":)", "$", "½", "www.", "+1 ", "a ", " "]
)
def test_twice_the_text_is_twice_the_work(piece: str) -> None:
    text = piece * (4_000 // len(piece))
    assert calls_made(text * 2) <= 2.4 * calls_made(text) + 200


def test_an_endless_number_is_said_digit_by_digit() -> None:
    assert spoken("7" * 5_000, "ko") == "칠" * 5_000


# Whose language it is


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("I paid 5 for it.", "zh-Hans", "I paid five for it."),
        ("我付了5。", "en", "我付了五。"),
        ("Да, 5.", "en", "Да, five."),
        ("Да5ㅋㅋ", "ko", "Да 오"),
        ("5", "ja", "ご"),
        ("5", "fr", "5"),
        ("Lies 3个 auf example.com", "de", "Lies 3个 auf example.com"),
        ("5G", "ko", "오 G"),
        ("5G", "en", "five G"),
        ("OK 3개", "en", "OK 세 개"),
        ("iPhone 15", "zh-Hans", "iPhone 十五"),
        ("iPhone 15", "ko", "iPhone 십오"),
        ("the new one is 15", "ko", "the new one is fifteen"),
        ("GPT-4", "ko", "GPT four"),
        ("GPT-4", "zh-Hans", "GPT 四"),
        ("제3", "ko", "제삼"),
        ("총3", "ko", "총 삼"),
        ("第3", "ja", "第さん"),
        ("2個", "zh-Hant", "兩個"),
        ("2個", "zh_TW", "兩個"),
        ("2個", "zh", "两個"),
    ],
)
def test_a_number_is_said_in_the_language_around_it(text: str, language: str, said: str) -> None:
    assert spoken(text, language) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3 pears at https://www.example.com/a?b=1 :)", "3 pears at example dot com"),
        ("Mail a@b.org, 5 times & more.", "Mail a at b dot org, 5 times & more."),
        ("On 2026-11-20 at 5:30 p.m.", "On 2026-11-20 at 5:30 p.m."),
        ("２０", "２０"),
    ],
)
def test_for_an_engine_that_reads_numbers_only_addresses_and_faces_change(text: str, said: str) -> None:
    assert spoken(text, "en", reads_numbers=True) == said


def test_a_text_of_many_blocks_is_said_like_a_short_one() -> None:
    assert spoken("word " * 800 + "5", "en") == "word " * 800 + "five"
