"""Languages by code and by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.languages import NAMES, between, code_of, name_of, primary

pytestmark = pytest.mark.core


def test_whispers_hundred_languages_are_known() -> None:
    assert len(NAMES) == 100
    assert len(set(NAMES.values())) == 100
    assert [NAMES[code] for code in ("en", "zh", "ko", "ht", "yue")] == [
        "english", "chinese", "korean", "haitian creole", "cantonese"
    ]  # fmt: skip


@pytest.mark.parametrize("code", NAMES)
def test_the_code_of_a_name_is_its_code(code: str) -> None:
    assert code_of(name_of(code)) == code
    assert code_of(code) == code
    assert code_of(f" {name_of(code).title()} ") == code


@pytest.mark.parametrize(
    ("tag", "code", "name"),
    [
        ("zh-Hant-TW", "zh", "chinese"),
        ("pt_BR", "pt", "portuguese"),
        ("EN", "en", "english"),
        ("tlh", "tlh", "tlh"),
        ("", "", ""),
    ],
)
def test_a_tag_has_a_primary_language(tag: str, code: str, name: str) -> None:
    assert primary(tag) == code
    assert name_of(tag) == name


@pytest.mark.parametrize(
    ("told", "code"), [("Mandarin", "zh"), ("burmese", "my"), ("zh-CN", "zh"), ("klingon", ""), ("tlh", ""), ("", "")]
)
def test_what_others_call_a_language_is_understood(told: str, code: str) -> None:
    assert code_of(told) == code


@given(st.text())
def test_whatever_is_told_becomes_a_code_of_the_table_or_nothing(told: str) -> None:
    assert code_of(told) in {*NAMES, ""}
    assert primary(primary(told)) == primary(told)


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (("Hello,", "Ada."), "Hello, Ada."),
        (("안녕", "하세요"), "안녕 하세요"),
        (("你好。", "再见。"), "你好。再见。"),
        (("こんにちは", "東京"), "こんにちは東京"),
        (("สวัสดี", "ครับ"), "สวัสดีครับ"),
        (("我用", "Linux"), "我用Linux"),
        (("Linux", "很好"), "Linux很好"),
        (("𠮷", "野"), "𠮷野"),
        (("", "Ada"), "Ada"),
        (("Ada", ""), "Ada"),
        (("", ""), ""),
    ],
)
def test_texts_in_a_row_are_joined_as_their_scripts_are_written(texts: tuple[str, str], whole: str) -> None:
    assert texts[0] + between(*texts) + texts[1] == whole
