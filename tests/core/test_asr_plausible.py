"""Plausible: what of a model's reading is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.plausible import PHANTOMS, Reading, plain, plausible, without_loops

pytestmark = pytest.mark.core


def believed(text: str, no_speech: float = 0.0, log_probability: float = -0.2, loudness: float = 0.1) -> str:
    return plausible(Reading(text, no_speech, log_probability, loudness))


def test_speech_is_believed_as_it_came() -> None:
    assert believed(" What is the capital of France?") == " What is the capital of France?"


@pytest.mark.parametrize("text", ["", "  ", "...", " - "])
def test_no_word_is_nothing(text: str) -> None:
    assert believed(text) == ""


@pytest.mark.parametrize(
    ("no_speech", "log_probability", "expected"),
    [
        (0.61, -1.01, ""),
        (0.61, -1.0, " hello there"),  # the text is sure enough
        (0.6, -9.0, " hello there"),  # somebody spoke
        (1.0, float("-inf"), ""),
    ],
)
def test_a_doubtful_text_is_nothing_where_nobody_seems_to_speak(
    no_speech: float, log_probability: float, expected: str
) -> None:
    assert believed(" hello there", no_speech, log_probability) == expected


@pytest.mark.parametrize("text", [" Thank you.", "谢谢观看！", "시청해주셔서 감사합니다.", " Thanks for watching!"])
def test_a_phantom_is_nothing_near_silence_and_believed_when_it_was_said(text: str) -> None:
    assert believed(text, loudness=0.0099) == ""
    assert believed(text, no_speech=0.61) == ""
    assert believed(text, loudness=0.01, no_speech=0.6) == text


def test_a_phantom_within_a_sentence_is_none() -> None:
    assert believed("thank you for the book", loudness=0.001) == "thank you for the book"


def test_phantoms_are_kept_as_they_are_compared() -> None:
    assert {plain(phantom) for phantom in PHANTOMS} == PHANTOMS
    assert "" not in PHANTOMS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" I see" + " you" * 40, " I see you"),
        ("好" + "谢谢你" * 6, "好谢谢你"),
        (" it is the end of the" * 6 + " day", " it is the end of the day"),
        (" no no no no no", " no no no no no"),
        ("我我我我我", "我我我我我"),
        (" one million is 1000000", " one million is 1000000"),
        (" call 0 0 0 0 0 0 0", " call 0 0 0 0 0 0 0"),
    ],
)
def test_what_is_said_six_times_in_a_row_is_said_once(text: str, expected: str) -> None:
    assert without_loops(text) == expected
    assert believed(text) == expected


def test_a_loop_of_loops_is_none_afterwards() -> None:
    assert without_loops(("ah" * 6 + " oh ") * 6) == "ah oh "


@given(unit=st.text("ab 好1", min_size=1, max_size=5), times=st.integers(1, 20), rest=st.text("ab 好1.", max_size=20))
def test_law_what_is_believed_was_read_and_is_believed_again(unit: str, times: int, rest: str) -> None:
    text = rest + unit * times + rest
    remaining = iter(text)

    shorter = without_loops(text)

    assert all(sign in remaining for sign in shorter), "in the same order"
    assert without_loops(shorter) == shorter
    assert believed(text) in ("", shorter)
