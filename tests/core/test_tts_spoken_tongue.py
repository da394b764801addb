"""What all tongues share: how a form is taken apart and put into words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.spoken_amounts import Amount
from tts_service.core.spoken_chinese import Chinese
from tts_service.core.spoken_english import English
from tts_service.core.spoken_forms import find_forms
from tts_service.core.spoken_japanese import Japanese
from tts_service.core.spoken_korean import Korean
from tts_service.core.spoken_tongue import Said, Tongue

pytestmark = pytest.mark.core

ENGLISH, CHINESE, KOREAN, JAPANESE = English(), Chinese(), Korean(), Japanese()


def said(text: str, tongue: Tongue = ENGLISH) -> Said:
    """The words of the first form in a text."""
    found = next(find_forms(text))
    return tongue.say(found, text[: found.start], text[found.stop :])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://user@www2.example.com:8080?x=1", "www two dot example dot com"),
        ("example.com/help/", "example dot com slash help"),
        ("example.com/a/b", "example dot com"),
        ("a-b.example.com", "a b dot example dot com"),
        ("j.doe@example.com", "j dot doe at example dot com"),
        (":)", ""),
        ("555-1234", "five five five, one two three four"),
        ("+49 30 1234567", "plus four nine, three zero, one two three four five six seven"),
        ("2026-11-20", "November twentieth, twenty twenty-six"),
        ("11/20/2026", "November twentieth, twenty twenty-six"),
        ("20/11/2026", "November twentieth, twenty twenty-six"),
        ("20.11.2026", "November twentieth, twenty twenty-six"),
        ("11.20.2026", "November twentieth, twenty twenty-six"),
        ("0.11.2026", "zero, eleven, two thousand twenty-six"),
        ("40/11/2026", "forty, eleven, two thousand twenty-six"),
        ("13/13/2026", "thirteen, thirteen, two thousand twenty-six"),
        ("Sept. 3", "September third"),
        ("3 Sep", "the third of September"),
        ("5:30 PM", "five thirty p.m."),
        ("5 a.m.", "five a.m."),
        ("v1.2", "version one point two"),
        ("10.0.0.1:80", "ten point zero point zero point one, eighty"),
        ("2½", "two and a half"),
        ("3/1", "three one"),
        ("01/12", "zero one twelve"),
        ("1 3/1", "one three one"),
        ("3:200", "three to two hundred"),
        ("1,000th", "one thousandth"),
        ("1990s", "nineteen nineties"),
        ("x^2", "squared"),
        ("x³", "cubed"),
        ("#5", "number"),
        ("C#", "sharp"),
        ("#x", "hash"),
        ("no. 5", "number"),
        (">=", "at least"),
        ("10 - 3 = 7", "ten"),
        ("3–5", "three to five"),
        ("5–3", "five to three"),
        ("1588-1234", "one five eight eight, one two three four"),
        ("010-5", "zero one zero, five"),
        ("00.5–3", "zero zero point five to three"),
        ("1990–2000", "nineteen ninety to two thousand"),
        ("4K", "four K"),
        ("3/4", "three quarters"),
        ("2 3/4", "two and three quarters"),
        ("$4K", "four thousand dollars"),
        ("$3–5M", "three to five million dollars"),
        ("20€", "twenty euros"),
        ("-5 km", "minus five kilometres"),
        ("1 km", "one kilometre"),
        ("£3m", "three million pounds"),
        ("5'6\"", "five feet six inches"),
        ("BA117", "one one seven"),
        ("BA11", "eleven"),
        ("FY2024", "twenty twenty-four"),
        ("2x4", "two"),
        ("9/month", "nine"),
        ("50/50", "fifty fifty"),
        ("dial 12345", "one two three four five"),
        ("dial 12", "twelve"),
        ("dial 12,345", "twelve thousand three hundred forty-five"),
    ],
)
def test_a_form_has_words(text: str, words: str) -> None:
    found = next(find_forms(text))
    assert ENGLISH.say(found, text[: found.start], text[found.stop :]).words == words


@pytest.mark.parametrize(
    ("text", "tongue", "expected"),
    [
        ("3개", KOREAN, Said("세 개", 1)),
        ("3~5개", KOREAN, Said("세 개에서 다섯 개", 1)),
        ("5~3", KOREAN, Said("오 대 삼")),
        ("3本", JAPANESE, Said("さんぼん", 1)),
        ("3–5本", JAPANESE, Said("さんからごほん", 1)),
        ("2个", CHINESE, Said("两")),
        ("3万", CHINESE, Said("三万")),
        ("$3万", CHINESE, Said("三万美元")),
        ("$3.50", CHINESE, Said("三点五美元")),
        ("$3.50–4.00", CHINESE, Said("三点五到四美元")),
        ("版本v2", CHINESE, Said("二")),
        ("v2", CHINESE, Said("版本二")),
        ("20 Nov", KOREAN, Said("십일월 이십일")),
        ("90s", KOREAN, Said("구십 초")),
        ("1990s", JAPANESE, Said("せんきゅうひゃくきゅうじゅうねんだい")),
        ("1990–2000年", KOREAN, Said("천구백구십에서 이천")),
    ],
)
def test_a_tongue_says_the_parts_its_own_way(text: str, tongue: Tongue, expected: Said) -> None:
    assert said(text, tongue) == expected


def test_digits_are_named_one_by_one_where_they_are_no_number() -> None:
    assert ENGLISH.whole(Amount("007")) == "zero zero seven"
    assert ENGLISH.amount(Amount("3", "14", "+")) == "plus three point one four"
    assert ENGLISH.spelt("a_b-2") == "a b two"


@given(
    st.text(alphabet=st.sampled_from("0123456789.,:/-–%$€km²½^xv#@() 年월개本amst"), max_size=16),
    st.sampled_from([ENGLISH, CHINESE, KOREAN, JAPANESE]),
)
def test_every_form_has_words_without_digits(text: str, tongue: Tongue) -> None:
    for found in find_forms(text):
        words = tongue.say(found, text[: found.start], text[found.stop :])
        assert not any(char.isdigit() for char in words.words)
        assert 0 <= words.taken <= len(text) - found.stop
