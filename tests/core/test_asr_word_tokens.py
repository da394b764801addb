"""Words and their tokens: nothing is lost, nothing is shared, and scripts without spaces have words too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.word_tokens import TokenWord, token_words, written_words

pytestmark = pytest.mark.core

TEXTS = st.text(st.sampled_from("ab é，。天气怎《》(-'안녕 \u0301ไท"), max_size=12) | st.text(max_size=12)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, list[int]]:
    """A text, and its tokens' lengths in bytes."""
    text = draw(TEXTS)
    left, lengths = len(text.encode()), []
    while left:
        lengths.append(draw(st.integers(1, left)))
        left -= lengths[-1]
    return text, lengths


def by_characters(text: str) -> list[int]:
    return [len(character.encode()) for character in text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", ["  "]),
        (" can you hear me?", [" can", " you", " hear", " me?"]),
        (" (well-known) e.g. $5", [" (well-known)", " e.g.", " $5"]),
        ("今天天气怎么样？", ["今", "天", "天", "气", "怎", "么", "样？"]),
        ("好，我看《红楼梦》。", ["好，", "我", "看", "《红", "楼", "梦》。"]),
        ("我用 Python，Rust写", ["我", "用", " Python，", "Rust", "写"]),
        (" 안녕하세요. 네", [" 안녕하세요.", " 네"]),
        ("กี่", ["กี่"]),
        ("cafe\u0301s 5\u200b6", ["cafe\u0301s", " 5\u200b6"]),
    ],
)
def test_a_word_is_what_stands_between_spaces_or_a_character_where_there_are_none(
    text: str, expected: list[str]
) -> None:
    assert expected == written_words(text)


@pytest.mark.parametrize(
    ("text", "lengths", "expected"),
    [
        (" can you", [4, 3, 1], [TokenWord("can", 0, 1), TokenWord("you", 1, 3)]),
        ("天气好。", [6, 3, 3], [TokenWord("天气", 0, 1), TokenWord("好。", 1, 3)]),
        ("天气", [2, 1, 3], [TokenWord("天", 0, 2), TokenWord("气", 2, 3)]),
        ("天气", [2, 2, 2], [TokenWord("天气", 0, 3)]),
        ("a  b ", [1, 2, 1, 1], [TokenWord("a", 0, 1), TokenWord("b", 1, 3)]),
        ("a b", [3], [TokenWord("a b", 0, 1)]),
        (" ", [1], []),
        ("", [], []),
    ],
)
def test_a_word_has_the_tokens_that_write_it(text: str, lengths: list[int], expected: list[TokenWord]) -> None:
    assert expected == token_words(text, lengths)


@pytest.mark.parametrize("lengths", [[], [2], [4, 1]])
def test_tokens_of_another_text_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="do not write a text of 4"):
        token_words("four", lengths)


@given(written())
def test_words_in_a_row_are_the_text_and_share_no_token(case: tuple[str, list[int]]) -> None:
    text, lengths = case
    words = token_words(text, lengths)

    assert "".join("".join(word.text for word in words).split()) == "".join(text.split())
    assert all(word.text and word.text == word.text.strip() for word in words)
    edges = [edge for word in words for edge in (word.first, word.end)]
    assert sorted(edges) == edges
    assert all(0 <= word.first < word.end <= len(lengths) for word in words)


@given(TEXTS)
def test_a_token_for_each_character_keeps_every_word_apart(text: str) -> None:
    assert [one.strip() for one in written_words(text) if one.strip()] == [
        word.text for word in token_words(text, by_characters(text))
    ]


@given(st.text(st.sampled_from("ab.,!- é안"), max_size=12))
def test_spaces_alone_part_words_of_a_script_that_has_them(text: str) -> None:
    assert " ".join(text.split()) == " ".join(word.text for word in token_words(text, by_characters(text)))
