"""Which voice reads which stretch of a mixed text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.script_runs import Run, is_cjk, script_of, split_runs

pytestmark = pytest.mark.core

MIXED = st.text(alphabet=st.sampled_from("aÉzя你国のカ한글あ1２ 。,“”「」!\n\u0301\ud800😀αש")) | st.text()
LANGUAGES = st.sampled_from(["en", "de", "zh-Hans", "zh-Hant", "ja", "ko", "ru", "uk", "", "x-unknown"])


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("", "en", []),
        ("Hello.", "en", [("en", "Hello.")]),
        ("你好。", "zh-Hans", [("zh", "你好。")]),
        ("我用iPhone手机。", "zh", [("zh", "我用"), ("en", "iPhone"), ("zh", "手机。")]),
        ("안녕 hello 네", "ko", [("ko", "안녕 "), ("en", "hello "), ("ko", "네")]),
        ("東京", "ja", [("ja", "東京")]),
        ("東京", "ja-JP", [("ja", "東京")]),
        ("東京", "en", [("zh", "東京")]),
        ("東京、大阪へ行く。", "en", [("ja", "東京、大阪へ行く。")]),
        (
            "日语里说「こんにちは」，意思是你好。",
            "zh-Hans",
            [("zh", "日语里说「"), ("ja", "こんにちは」，"), ("zh", "意思是你好。")],
        ),
        ("日本語です。中文。", "zh", [("ja", "日本語です。"), ("zh", "中文。")]),
        ("Guten Tag", "de", [("de", "Guten Tag")]),
        ("Guten Tag", "de_AT", [("de", "Guten Tag")]),
        ("Привет", "en", [("ru", "Привет")]),
        ("Привіт", "uk", [("uk", "Привіт")]),
        ("ｱｲｳ ＡＢ", "ja", [("ja", "ｱｲｳ "), ("en", "ＡＢ")]),
        ("κόσμε", "en", [("el", "κόσμε")]),
    ],
)
def test_a_text_is_cut_where_its_script_changes(text: str, language: str, expected: list[tuple[str, str]]) -> None:
    assert split_runs(text, language) == [Run(*run) for run in expected]


def test_digits_and_punctuation_stay_with_the_run_before_them() -> None:
    assert split_runs("你好 123, abc 4.5!", "zh") == [Run("zh", "你好 123, "), Run("en", "abc 4.5!")]


def test_leading_digits_and_punctuation_join_the_run_behind_them() -> None:
    assert split_runs("(12) 你好", "en") == [Run("zh", "(12) 你好")]


def test_a_text_of_no_script_is_read_in_the_language_of_the_reply() -> None:
    assert split_runs("3.14!", "zh-Hant") == [Run("zh", "3.14!")]


def test_a_combining_mark_stays_with_its_letter() -> None:
    assert split_runs("你e\u0301好", "zh") == [Run("zh", "你"), Run("en", "e\u0301"), Run("zh", "好")]


@pytest.mark.parametrize(
    ("char", "script"),
    [
        ("a", "Latin"),
        ("A", "Latin"),
        ("z", "Latin"),
        ("ß", "Latin"),
        ("ー", "Kana"),
        ("々", "Han"),
        ("ㄱ", "Hangul"),
        ("\U00020000", "Han"),
    ],
)
def test_letters_have_a_script(char: str, script: str) -> None:
    assert script_of(char) == script


@pytest.mark.parametrize("char", ["1", " ", "\x00", "。", "・", "×", "😀", "\ud800", "\U0010ffff"])
def test_what_is_no_letter_of_a_known_script_has_none(char: str) -> None:
    assert script_of(char) is None


@pytest.mark.parametrize(("char", "expected"), [("你", True), ("の", True), ("한", True), ("A", False), ("。", False)])
def test_cjk_is_han_kana_and_hangul(char: str, expected: bool) -> None:
    assert is_cjk(char) is expected


@given(MIXED, LANGUAGES)
def test_the_runs_joined_are_the_text(text: str, language: str) -> None:
    assert "".join(run.text for run in split_runs(text, language)) == text


@given(MIXED, LANGUAGES)
def test_neighbours_differ_in_language_and_none_is_empty(text: str, language: str) -> None:
    runs = split_runs(text, language)
    assert all(run.text for run in runs)
    assert all(one.language != next_one.language for one, next_one in pairwise(runs))
