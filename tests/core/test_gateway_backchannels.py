"""Backchannels: what a listener says without wanting the word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.backchannels import MOST_PIECES, REMARKS, SOUNDS, is_backchannel
from gateway.core.words import count_words, joined

pytestmark = pytest.mark.core

WANTS_THE_WORD = {
    "en": (
        "stop|no|wait|hold on|what|yeah but|ok stop|right, and in Rome?|good morning|god|not really|never mind|"
        "excuse me|say that again|I see a problem|sorry|thanks|uh what|no way"
    ),
    "zh": "停|等一下|不|不是|不对|别说了|什么|对了，罗马呢|好了别说了|好不好|为什么|等等|再说一遍",
    "ko": "그만|잠깐|잠깐만|아니|아니요|싫어|뭐|네 그런데|아 잠깐|다시 말해|왜|그만해 줘",
    "ja": "止めて|待って|ちょっと待って|いいえ|違う|何|はい、でも|もう一度|ううん|なんで|やめて|そうじゃない",
}
DRAWN_OUT = {
    "en": "Hmmmmm...|Mm-hmm.|Uh-huh, uh-huh.|yeahhhh|OK, right. I see!|Gooood|mhm mhm",
    "zh": "嗯嗯嗯|对对对，没错。|哦，是吗？|ＯＫ",
    "ko": "네네네|아, 그렇군요.|맞아맞아|OK.",
    "ja": "うーん|はい、はい|へえー！|ああ、なるほど。",
}


def each(listed: dict[str, str]) -> list[tuple[str, str]]:
    return [(language, text) for language, texts in listed.items() for text in texts.split("|")]


LISTED = each(REMARKS)


@pytest.mark.parametrize(("language", "remark"), LISTED)
def test_each_listed_remark_is_one_however_it_is_written(language: str, remark: str) -> None:
    assert is_backchannel(remark, language)
    assert is_backchannel(f" {remark.upper()}…", f"{language}-XX")
    assert is_backchannel(f"{remark}!", "tlh")


@pytest.mark.parametrize("sound", SOUNDS.split())
@pytest.mark.parametrize("language", [*REMARKS, "", "de"])
def test_a_sound_is_one_in_every_language(sound: str, language: str) -> None:
    assert is_backchannel(sound, language)


@pytest.mark.parametrize(("language", "text"), each(DRAWN_OUT))
def test_drawn_out_repeated_and_joined_remarks_are_still_ones(language: str, text: str) -> None:
    assert is_backchannel(text, language)
    assert is_backchannel(text)


@pytest.mark.parametrize(("language", "text"), each(WANTS_THE_WORD))
def test_who_wants_the_word_gets_it(language: str, text: str) -> None:
    assert not is_backchannel(text, language)
    assert not is_backchannel(text)


@pytest.mark.parametrize("text", ["", " ", "…", "。", "?!"])
def test_what_says_nothing_is_none(text: str) -> None:
    assert not is_backchannel(text)


def test_a_remark_of_one_language_is_a_word_in_another() -> None:
    assert is_backchannel("right", "en")
    assert not is_backchannel("right", "ko")


def test_letters_tell_the_language_better_than_a_recogniser_does() -> None:
    assert is_backchannel("嗯。", "en")
    assert is_backchannel("네", "ja")


def test_endless_murmuring_is_more_than_a_remark() -> None:
    assert is_backchannel("mhm " * MOST_PIECES)
    assert not is_backchannel("mhm " * (MOST_PIECES + 1))


@given(st.sampled_from(LISTED), st.sampled_from(LISTED))
def test_two_remarks_in_a_row_are_one(first: tuple[str, str], then: tuple[str, str]) -> None:
    both = joined(f"{first[1]},", then[1])
    assert is_backchannel(both) is (count_words(both) <= MOST_PIECES)


@given(st.sampled_from(LISTED), st.sampled_from(["xylophone", "停", "잠깐", "違"]), st.booleans())
def test_a_word_of_no_list_makes_it_none(listed: tuple[str, str], word: str, is_first: bool) -> None:
    assert not is_backchannel(joined(word, listed[1]) if is_first else joined(listed[1], word), listed[0])


@given(st.text(max_size=30), st.text(max_size=6))
def test_any_text_is_judged_and_what_has_no_words_is_none(text: str, language: str) -> None:
    assert not is_backchannel(text, language) or count_words(text) > 0
