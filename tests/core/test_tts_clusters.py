"""Where a text must not be parted."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.clusters import parts_cluster, parts_word

pytestmark = pytest.mark.core


def pieces(text: str) -> list[str]:
    """The text cut wherever no cluster is parted."""
    cuts = [0, *(at for at in range(1, len(text)) if not parts_cluster(text, at)), len(text)]
    return [text[start:stop] for start, stop in pairwise(cuts)]


@pytest.mark.parametrize(
    "clusters",
    [
        ["a", "b", " ", "你", "好"],
        ["e\u0301", "e\u0301\u0302", "x"],
        ["👨‍👩‍👧‍👦", "👋🏽", "❤️", "🏴\U000e0067\U000e0062\U000e007f", "1\ufe0f\u20e3"],
        ["🇰🇷", "🇯🇵", "🇨"],
        ["a", "🇰🇷", "🇯🇵", "b"],
        ["🇦🇿", "🇿🇦"],
        ["a\U0001f3fb", "b\U0001f3ff", "\U0001f400"],
        ["a\U000e0020", "b\U000e007f"],
        ["a\u1160", "b\u11ff", "\u1200"],
        ["a\ud7b0", "b\ud7fb"],
        ["\u1100가", "\u115f가"],
        ["क्षि", "क"],
        ["क्", "."],
        ["각", "한", "ᄀ", "a"],
        ["ᄒ한", "가"],
        ["ก็", "ก"],
        ["\r", "\n", "\u0301"],
        ["a\u200c", "b"],
    ],
)
def test_clusters_stay_whole(clusters: list[str]) -> None:
    assert pieces("".join(clusters)) == clusters


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("1", "2", True),
        ("ab", "cd", True),
        ("1,", "000", True),
        ("1", ",000", True),
        ("U.", "S", True),
        ("a", ".io", True),
        ("３．", "１４", True),
        ("你", "a", False),
        ("a", " b", False),
        ("a ", "b", False),
        ("你.", "5", False),
        (".", "5", False),
        ("5,", " 6", False),
        ("好，", "你", False),
        ("é", "a", False),
    ],
)
def test_numbers_abbreviations_and_latin_words_stay_whole(left: str, right: str, expected: bool) -> None:
    assert parts_word(left + right, len(left)) is expected


@given(st.text(min_size=2))
def test_any_place_in_any_text_has_an_answer(text: str) -> None:
    answers = {ask(text, at) for at in range(1, len(text)) for ask in (parts_cluster, parts_word)}
    assert answers <= {True, False}
