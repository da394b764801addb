"""What the word in front of a full stop is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.abbreviations import LONGEST_STARTER, STARTERS, WordKind, kind_before

pytestmark = pytest.mark.core


def kind(text: str, language: str = "en") -> WordKind:
    return kind_before(text, len(text), language)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", WordKind.PLAIN),
        ("It ended", WordKind.PLAIN),
        ("in 2026", WordKind.PLAIN),
        ("走了", WordKind.PLAIN),
        ("Ask Dr", WordKind.NEVER_FINAL),
        ("(Prof", WordKind.NEVER_FINAL),
        ("**Mr", WordKind.NEVER_FINAL),
        ("one more rep", WordKind.PLAIN),
        ("in Jan", WordKind.NEVER_FINAL),
        ("May", WordKind.PLAIN),
        ("See Fig", WordKind.NEVER_FINAL),
        ("a fig", WordKind.BEFORE_NUMBER),
        ("e.g", WordKind.NEVER_FINAL),
        ("E.g", WordKind.NEVER_FINAL),
        ("vs", WordKind.NEVER_FINAL),
        ("No", WordKind.BEFORE_NUMBER),
        ("p", WordKind.BEFORE_NUMBER),
        ("P", WordKind.ACRONYM),
        ("milk, etc", WordKind.MAYBE_FINAL),
        ("5 p.m", WordKind.MAYBE_FINAL),
        ("a Ph.D", WordKind.MAYBE_FINAL),
        ("St", WordKind.ACRONYM),
        ("Roe v", WordKind.ACRONYM),
        ("the U.S", WordKind.ACRONYM),
        ("J", WordKind.ACRONYM),
        ("А", WordKind.ACRONYM),
        ("x", WordKind.PLAIN),
        ("So did I", WordKind.PRONOUN_I),
        ("我是Dr", WordKind.NEVER_FINAL),
    ],
)
def test_a_word_has_a_kind(text: str, expected: WordKind) -> None:
    assert kind(text) is expected


@pytest.mark.parametrize("text", ["5p.m", "AT&T", "a@b.c", "the dog's", "/etc", "supercalifragilisticexpialidocious"])
def test_what_is_glued_to_something_is_a_plain_word(text: str) -> None:
    assert kind(text) is WordKind.PLAIN


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("bzw", "de", WordKind.NEVER_FINAL),
        ("bzw", "de-AT", WordKind.NEVER_FINAL),
        ("bzw", "en", WordKind.PLAIN),
        ("Sra", "es", WordKind.NEVER_FINAL),
        ("Dr", "zh-Hans", WordKind.NEVER_FINAL),
    ],
)
def test_a_language_has_words_of_its_own_beside_the_english_ones(text: str, language: str, expected: WordKind) -> None:
    assert kind(text, language) is expected


def test_only_the_text_before_the_stop_counts() -> None:
    assert kind_before("Dr. Smith", 2, "en") is WordKind.NEVER_FINAL
    assert kind_before("Dr. Smith", 9, "en") is WordKind.PLAIN


def test_starters_are_capitalised_and_no_longer_than_stated() -> None:
    assert all(word[0].isupper() for word in STARTERS)
    assert max(len(word) for word in STARTERS) == LONGEST_STARTER


@given(st.text(), st.text(max_size=5))
def test_any_text_in_any_language_has_a_kind(text: str, language: str) -> None:
    assert kind(text, language) in WordKind
