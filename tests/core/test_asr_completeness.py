"""Completeness: sentences that are over, beginnings that are not, in three languages, and the laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.completeness import (
    EN_CLOSED_PAIRS,
    EN_OPEN_PAIRS,
    EN_PREPOSITIONS,
    JUDGES,
    ZH_OPEN,
    is_complete,
    is_sentence_end,
)

pytestmark = pytest.mark.core

COMPLETE = {
    "en": """hello|yes|no|okay|stop|what time is it|how are you|where are you from|who are you|i am fine thank you|
        tell me a story|what is the weather like|turn it on|come on|i think so|what is your name|my name is tom|
        do you remember my name|yes i do|of course i can|do you know what it is|i like her|what do you want|thank you|
        what is that|i will do it|say that again|what is one plus two|let's go|i don’t know|100|where am i|
        what would you like|who is this|who""",
    "zh": """你好|好的|是的|不是|你是谁|你是怎么工作的|我叫小明|法国的首都是哪里|小狗怎么叫|谢谢你|没有|是|不|
        我很好|法国的首都|今天天气怎么样|我想听小猫的故事|再来一个|我喜欢|三加二等于几|你有没有|喜欢""",
    "ko": """안녕하세요|네|아니요|오늘 날씨 어때요|저는 서울에 살아요|
        반갑습니다|어디입니까|갑니까|이야기 하나 해 줘|그만|
        좋아|이리 와|하지 마|제 이름은 안나예요|맞지|고마워|왜""",
}
OPEN = {
    "en": """|the|what is the capital of|my name is|i live in|and|tell me a story about the|i want to|well|so|um|
        hello and|tell me|what about|i want|i like|turn on the light and then|can you|and i|because|i am|how old are|
        what is|i would like|it's|you know|i went to the shop with my|what is the weather like in|what can i|okay so|
        i like the|look at|my name|and my name|if you|whose|does it""",
    "zh": """|我|我叫|我住在|但是|因为|我的名字是|三加|我来自|告诉我中国的|我想|嗯|那个|请问|你喜欢巧克力吗然后|
        我喜欢吃|我要一个|给我|今天|红色的""",
    "ko": """|저는|제 이름은|저는 서울에|커피를|그리고|오늘 날씨가|고양이 이야기를|제가 가고|비가 오면|비가 오니까|
        추운데|캐나다|바다|어|음|있잖아요|가고 싶지만|서울""",
}


def texts(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(code, text.strip()) for code, listed in table.items() for text in listed.split("|")]


@pytest.mark.parametrize(("language", "text"), texts(COMPLETE))
def test_a_sentence_that_can_be_over_is_complete(language: str, text: str) -> None:
    assert is_complete(text, language)


@pytest.mark.parametrize(("language", "text"), texts(OPEN))
def test_a_beginning_is_open(language: str, text: str) -> None:
    assert not is_complete(text, language)


def test_the_language_is_told_from_the_script_where_one_language_is_written_in_it() -> None:
    assert is_complete("你好")
    assert is_complete("안녕하세요")
    assert is_complete("你好", "cmn-Hans-CN")
    assert is_complete("Hello there", "EN-gb")
    for text in ("hello there", "ありがとう", "日本はどこですか"):
        assert not is_complete(text)
    assert not is_complete("bonjour", "fr")


def test_who_sets_marks_says_with_them_whether_a_sentence_is_over() -> None:
    assert is_complete("Et voilà.", "fr")
    assert is_complete("I live in the.", "en")
    for text in (
        "Hello, my friend",
        "Well. Good morning",
        "hello there,",
        "hello there -",
        "hello there –",
        "one: two",
    ):
        assert not is_complete(text, "en")
    assert is_complete("a well-known man", "en")


def test_the_stop_of_a_single_letter_ends_nothing() -> None:
    assert not is_sentence_end("i live in the u. s.")
    assert not is_sentence_end("b.")
    assert is_sentence_end("Is it Bob.")
    assert is_sentence_end("In 1999.")
    assert not is_complete("plan b.", "en")


def test_only_final_punctuation_of_any_script_ends_a_sentence() -> None:
    for mark in [*".!?。！？…．｡؟।", "..."]:
        assert is_sentence_end(f"say{mark}")
        assert is_sentence_end(f"say{mark} ”）\u3000")
    for text in ["", " ", "say", "say,", "。好", "吗，", "”", "a;", "네"]:
        assert not is_sentence_end(text)


SOME = ("i", "you", "can", "what", "is", "the", "story", "of", "and", "like", "my", "name", "tom", "yes", "it", "to")
WORDS = st.lists(st.sampled_from(SOME), max_size=6)
TEXTS = WORDS.map(" ".join) | st.text(max_size=12)
LANGUAGES = st.sampled_from(["en", "zh", "ko", "", "fr"])


@given(TEXTS, LANGUAGES)
def test_law_neither_space_nor_case_change_a_judgement(text: str, language: str) -> None:
    assert is_complete(text + "  ", language) == is_complete(text, language)
    if text.isascii():
        assert is_complete(text.upper(), language) == is_complete(text, language)


@given(TEXTS, LANGUAGES, st.sampled_from([",", "、", "，", ":", "-"]))
def test_law_an_open_mark_at_the_end_opens_any_text(text: str, language: str, mark: str) -> None:
    assert not is_complete(text + mark, language)


@given(TEXTS, LANGUAGES)
def test_law_final_punctuation_completes_any_text(text: str, language: str) -> None:
    assert is_complete(text + "!", language)


@given(WORDS, st.sampled_from(sorted(EN_PREPOSITIONS)))
def test_law_an_english_text_that_asks_nothing_does_not_end_on_a_preposition(words: list[str], last: str) -> None:
    pair = " ".join([*words, last])
    if words[:1] != ["what"] and "_".join([*words[-1:], last]) not in EN_CLOSED_PAIRS:  # "turn it on"
        assert not is_complete(pair, "en")
    assert not is_complete(f"{pair} the", "en")


@given(st.text(alphabet="你我他好吃大山", max_size=6), st.sampled_from(["和", "但是", "因为", "如果", "然后"]))
def test_law_a_conjunction_opens_any_mandarin_text(text: str, conjunction: str) -> None:
    assert conjunction in ZH_OPEN or conjunction.endswith("是")
    assert not is_complete(text + conjunction, "zh")


def test_every_pair_is_of_two_words() -> None:
    assert {len(pair.split("_")) for pair in EN_OPEN_PAIRS} == {2}
    assert set(JUDGES) == {"en", "zh", "cmn", "ko"}
