"""Speech that goes on at another replica."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.speech_progress import Announced, SpeechProgress

pytestmark = pytest.mark.core

TEXT = "One two. Three four. Five."


def fed(text: str = TEXT) -> SpeechProgress:
    progress = SpeechProgress()
    progress.add_text(text)
    return progress


def test_an_undisturbed_reply_is_handed_on_as_it_comes() -> None:
    progress = fed()
    announced = [progress.take_segment("One two."), progress.take_segment("Three four.")]

    assert announced == [Announced("One two.", 0), Announced("Three four.", 0)]
    assert progress.take_audio(100) == 0
    assert progress.take_segment("Five.") == Announced("Five.", 100)


def test_the_segment_that_was_cut_is_asked_again_and_what_was_heard_of_it_is_left_out() -> None:
    progress = fed()
    progress.take_segment("One two.")
    progress.take_audio(100)
    progress.take_segment("Three four.")
    progress.take_audio(30)

    assert progress.begin_again().strip() == "Three four. Five."
    assert progress.take_segment("Three four.") is None
    assert [progress.take_audio(20), progress.take_audio(20)] == [20, 10]
    assert progress.take_segment("Five.") == Announced("Five.", 140)


def test_before_anything_came_all_is_asked() -> None:
    assert fed().begin_again() == TEXT


def test_another_cut_of_the_text_announces_only_what_is_new() -> None:
    progress = fed()
    progress.take_segment("One two.")
    progress.take_audio(50)
    progress.begin_again()

    assert progress.take_segment("One") is None
    assert progress.take_audio(40) == 40
    assert progress.take_segment("two. Three") == Announced("Three", 50)
    assert progress.take_audio(40) == 10
    assert progress.take_segment("four. Five.") == Announced("four. Five.", 80)


def test_a_second_replica_that_dies_too_is_followed_from_its_own_segment() -> None:
    progress = fed()
    progress.take_segment("One two.")
    progress.take_audio(50)
    progress.begin_again()
    progress.take_segment("One")
    progress.take_audio(40)
    progress.take_segment("two. Three")
    progress.take_audio(5)

    assert progress.begin_again().strip() == "two. Three four. Five."
    progress.take_segment("two.")
    assert progress.take_audio(30) == 10


def test_a_shorter_rendering_costs_nothing_of_what_follows() -> None:
    progress = fed()
    progress.take_segment("One two.")
    progress.take_audio(50)
    progress.begin_again()
    progress.take_segment("One two.")
    progress.take_audio(45)

    assert progress.take_segment("Three four.") == Announced("Three four.", 50)
    assert progress.take_audio(10) == 0


def test_what_says_more_than_the_text_or_nothing_is_taken_as_it_is() -> None:
    progress = fed("Hi")

    assert progress.take_segment("") is None
    assert progress.take_segment("Hi there") == Announced("Hi there", 0)
    assert progress.take_segment("you") == Announced("you", 0)


class Voice:
    """A replica: cuts a text into segments by words and makes two samples of audio a character, each its own."""

    def __init__(self, text: str, words: int) -> None:
        parts = text.split()
        self.segments = [" ".join(parts[at : at + words]) for at in range(0, len(parts), words)]

    def frames(self) -> list[str]:
        return [frame for segment in self.segments for frame in (segment, *("|" + char for char in _letters(segment)))]


def _letters(text: str) -> str:
    return "".join(text.split())


@given(
    text=st.text("ab. \n", min_size=1, max_size=60),
    lives=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 60)), max_size=4),
    last=st.integers(1, 5),
)
def test_whatever_dies_whenever_the_text_and_the_audio_are_whole(
    text: str, lives: list[tuple[int, int]], last: int
) -> None:
    progress, heard, announced = fed(text), "", list[Announced]()
    for words, frames in [*lives, (last, 10_000)]:
        for frame in Voice(progress.begin_again(), words).frames()[:frames]:
            if frame.startswith("|"):
                heard += (frame[1:] * 2)[progress.take_audio(2) :]
            elif (part := progress.take_segment(frame)) is not None:
                announced.append(part)

    assert heard == "".join(char * 2 for char in _letters(text))
    assert "".join(_letters(part.text) for part in announced) == _letters(text)
    assert [part.start_samples for part in announced] == sorted(part.start_samples for part in announced)
    assert "".join(part.text.strip() and part.text for part in announced) == "".join(part.text for part in announced)


@given(st.integers(0, 2), st.integers(0, 40))
def test_another_one_goes_on_where_this_one_was(segments: int, samples: int) -> None:
    parts = ["One two.", "Three four.", "Five."][: segments + 1]
    here = fed()
    for part in parts:
        here.take_segment(part)
        here.take_audio(samples)
    there = SpeechProgress.of(TEXT, [(part, samples) for part in parts])

    assert there.begin_again() == here.begin_again()
    assert there.take_segment(parts[-1]) == here.take_segment(parts[-1]) is None
    assert there.take_audio(50) == here.take_audio(50) == samples
