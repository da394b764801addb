"""Where a text writes what is not words."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.spoken_forms import SIGNS, Form, find_forms

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("text", "form", "written"),
    [
        ("see https://a.io/b?c=1. Then", Form.ADDRESS, "https://a.io/b?c=1"),
        ("see www.a.io, then", Form.ADDRESS, "www.a.io"),
        ("see a-b.co.uk/x now", Form.ADDRESS, "a-b.co.uk/x"),
        ("请看https://a.cn/b?c=d吧", Form.ADDRESS, "https://a.cn/b?c=d"),
        ("to a.b+c@d-e.org.", Form.EMAIL, "a.b+c@d-e.org"),
        ("写信给a@b.cn吧", Form.EMAIL, "a@b.cn"),
        ("so :-) there", Form.FACE, ":-)"),
        ("so ㅠㅠ", Form.FACE, "ㅠㅠ"),
        ("so :D", Form.FACE, ":D"),
        ("call 212-555-0100 now", Form.TELEPHONE, "212-555-0100"),
        ("call +82 10-1234-5678 now", Form.TELEPHONE, "+82 10-1234-5678"),
        ("card 1234 5678 1234 5678", Form.TELEPHONE, "1234 5678 1234 5678"),
        ("on 2026-11-20.", Form.DATE, "2026-11-20"),
        ("2026. 11. 20. 오후", Form.DATE, "2026. 11. 20."),
        ("2026. 11. 20.", Form.DATE, "2026. 11. 20"),
        ("am 20.11.2026", Form.DATE, "20.11.2026"),
        ("on Nov. 20, 2026, we", Form.MONTH_DAY, "Nov. 20, 2026"),
        ("on 20 November.", Form.MONTH_DAY, "20 November"),
        ("at 5:30 p.m. we", Form.TIME, "5:30 p.m."),
        ("at 3pm", Form.HOUR, "3pm"),
        ("use v2.0", Form.VERSION, "v2.0"),
        ("at 10.0.0.1:80", Form.VERSION, "10.0.0.1:80"),
        ("1 1/2 cups", Form.FRACTION, "1 1/2"),
        ("2½ cups", Form.FRACTION, "2½"),
        ("it is 16:9", Form.RATIO, "16:9"),
        ("the 21st", Form.ORDINAL, "21st"),
        ("in the 90s", Form.DECADE, "90s"),
        ("x^2", Form.POWER, "^2"),
        ("it is -$3.50 now", Form.QUANTITY, "-$3.50"),
        ("it is 3–5 km away", Form.QUANTITY, "3–5 km"),
        ("a 5k run", Form.QUANTITY, "5k"),
        ("a & b", Form.SIGN, "&"),
        ("a > b", Form.SIGN, ">"),
        ("~5", Form.SIGN, "~"),
    ],
)
def test_a_form_is_found_first(text: str, form: Form, written: str) -> None:
    found = next(find_forms(text))
    assert (found.form, text[found.start : found.stop]) == (form, written)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello, world.",
        "It's 'so'.",
        "e.g. this",
        "注：(重要)",
        "a<b",
        "well-known",
        "Yes - no",
        "a:b",
        "node.js",
        "~네",
    ],
)
def test_words_are_no_form(text: str) -> None:
    assert list(find_forms(text)) == []


SPACED_PIECES = "1 23 4,567 . , : / - ( ) $ % km v a x @ .com https:// ½ ² ^ pm 年 개 \u0301 Nov"
PIECES = [*SPACED_PIECES.split(), *SIGNS, " "]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=40)


@given(TEXTS)
def test_every_digit_and_sign_is_in_one_form(text: str) -> None:
    found = list(find_forms(text))
    assert all(one.stop <= other.start for one, other in pairwise(found))
    assert all(one.start < one.stop for one in found)
    covered = {at for one in found for at in range(one.start, one.stop)}
    assert [char for at, char in enumerate(text) if at not in covered and (char in SIGNS or char in "0123456789")] == []


@given(TEXTS)
def test_the_parts_of_a_form_are_in_its_text(text: str) -> None:
    for found in find_forms(text):
        assert all(part in text[found.start : found.stop] for part in found.parts.values())
