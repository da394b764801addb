"""Playout: what was heard of a reply, by the server's clock or by the client's marks."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.playout import Playout
from gateway.core.words import joined

pytestmark = pytest.mark.core

RATE = 1000  # Hz: a sample is a millisecond


def reply(*segments: tuple[str, int], has_client_marks: bool = False, is_ended: bool = True) -> Playout:
    """A reply of segments and their lengths, all sent at the moment 0."""
    playout = Playout(RATE, has_client_marks)
    for text, samples in segments:
        playout.add_segment(text, playout.lead_ms(-1.0))
        playout.add_audio(samples, 0.0)
    if is_ended:
        playout.end(None)
    return playout


# -- by the clock -----------------------------------------------------------------------------------------------------


def test_audio_is_heard_from_the_moment_it_is_sent() -> None:
    playout = Playout(24_000)
    playout.add_audio(24_000, 5.0)
    assert [playout.heard_samples(now) for now in (4.0, 5.0, 5.5, 6.0, 9.0)] == [0, 0, 12_000, 24_000, 24_000]
    assert [playout.lead_ms(now) for now in (5.0, 5.25, 7.0)] == [1000, 750, 0]
    assert playout.heard_ms(5.5) == 500


def test_audio_sent_ahead_is_heard_without_a_gap() -> None:
    playout = Playout(RATE)
    playout.add_audio(400, 0.0)
    playout.add_audio(400, 0.1)
    assert playout.heard_samples(0.6) == 600


def test_a_late_chunk_is_not_heard_at_once() -> None:
    playout = Playout(RATE)
    playout.add_audio(400, 0.0)
    playout.add_audio(400, 3.0)
    assert [playout.heard_samples(now) for now in (2.0, 3.0, 3.1, 4.0)] == [400, 400, 500, 800]


def test_the_next_change_is_when_all_that_was_sent_will_have_been_heard() -> None:
    playout = Playout(RATE)
    assert playout.next_change_at(0.0) is None
    playout.add_audio(400, 1.0)
    playout.add_audio(300, 1.2)
    assert playout.next_change_at(1.3) == pytest.approx(1.7)
    assert playout.next_change_at(2.0) is None


def test_a_reply_is_finished_when_it_has_ended_and_was_heard() -> None:
    playout = reply(("Hello.", 400), is_ended=False)
    assert not playout.is_finished(1.0)
    playout.end("Hello.")
    assert not playout.is_finished(0.3)
    assert playout.is_finished(0.4)


def test_audio_after_the_end_is_none() -> None:
    playout = reply(("Hello.", 400))
    playout.add_audio(400, 0.1)
    assert playout.is_finished(0.4)


def test_audio_of_no_length_is_none() -> None:
    playout = Playout(RATE)
    playout.add_audio(0, 0.0)
    playout.add_audio(-5, 0.0)
    assert playout.lead_ms(0.0) == 0


# -- by marks ---------------------------------------------------------------------------------------------------------


def test_a_client_that_is_known_to_mark_is_the_only_clock() -> None:
    playout = reply(("Hello.", 400), has_client_marks=True)
    assert playout.heard_samples(9.0) == 0
    assert playout.next_change_at(0.0) is None
    playout.mark(150, 9.0)
    assert playout.heard_samples(99.0) == 150


def test_from_the_first_mark_on_the_clock_counts_no_more() -> None:
    playout = reply(("Hello.", 1000))
    playout.mark(300, 0.2)
    assert playout.heard_ms(0.9) == 300


def test_a_first_mark_takes_nothing_back() -> None:
    playout = reply(("Hello.", 1000))
    playout.mark(100, 0.3)
    assert playout.heard_ms(0.9) == 300


def test_marks_never_go_back_and_never_beyond_what_was_sent() -> None:
    playout = reply(("Hello.", 1000), has_client_marks=True, is_ended=False)
    for ms in (500, 200, -7, 10**30):
        playout.mark(ms, 0.0)
    playout.add_audio(1000, 0.0)
    assert playout.heard_ms(9.0) == 1000


def test_a_mark_close_to_the_end_is_the_end() -> None:
    playout = reply(("Hello.", 1000), has_client_marks=True)
    playout.mark(979, 0.0)
    assert not playout.is_finished(0.0)
    playout.mark(980, 0.0)
    assert playout.is_finished(0.0)
    assert playout.heard_text(0.0) == "Hello."


def test_a_very_short_reply_is_not_heard_before_a_mark_says_so() -> None:
    assert not reply(("Hm.", 15), has_client_marks=True).is_finished(1.0)


# -- the words --------------------------------------------------------------------------------------------------------


def test_words_are_heard_in_proportion_to_their_segment() -> None:
    playout = reply(("one two three.", 1100), ("four.", 400))
    heard = {now: playout.heard_text(now) for now in (0.0, 0.29, 0.3, 0.6, 1.09, 1.1, 1.2, 1.5)}
    assert heard == {
        0.0: "",
        0.29: "",
        0.3: "one",
        0.6: "one two",
        1.09: "one two",
        1.1: "one two three.",
        1.2: "one two three.",
        1.5: "one two three. four.",
    }


def test_characters_are_heard_where_words_have_no_spaces() -> None:
    playout = reply(("现在是中午。", 500), ("再见。", 200))
    assert [playout.heard_text(now) for now in (0.1, 0.25, 0.5, 0.6, 0.7)] == [
        "现",
        "现在",
        "现在是中午。",
        "现在是中午。再",
        "现在是中午。再见。",
    ]


def test_an_ideograph_takes_as_long_as_three_letters() -> None:
    assert reply(("abc 你", 600)).heard_text(0.3) == "abc"


def test_the_last_word_of_a_segment_is_not_heard_before_its_audio_is_known_to_end() -> None:
    playout = reply(("one two three", 200), is_ended=False)
    assert playout.heard_text(0.2) == ""
    playout.add_audio(9800, 0.2)
    assert playout.heard_text(10.0) == "one two"
    playout.end(None)
    assert playout.heard_text(10.0) == "one two three"


def test_the_pace_of_a_voice_is_known_from_its_earlier_segments() -> None:
    playout = reply(("abcd", 4000), ("ab cd", 500), is_ended=False)
    assert playout.heard_text(4.5) == "abcd"
    playout.add_audio(1500, 4.5)
    assert playout.heard_text(6.0) == "abcd ab"


def test_what_was_told_as_heard_stays_told_when_the_voice_turns_out_slower() -> None:
    playout = reply(("one two three", 600), is_ended=False)
    assert playout.heard_text(0.6) == "one two"
    playout.add_audio(9400, 0.6)
    playout.end(None)
    assert playout.heard_text(0.7) == "one two"


def test_a_segment_announced_ahead_ends_the_one_before() -> None:
    playout = reply(("one two", 500), is_ended=False)
    playout.add_segment("three", 500)
    assert playout.heard_text(0.5) == "one two"


def test_a_segment_without_audio_counts_with_what_follows_it() -> None:
    playout = reply(("Hello.", 400), ("😀", 0), ("Bye.", 400))
    assert playout.heard_text(0.4) == "Hello."
    assert playout.heard_text(0.8) == "Hello. 😀 Bye."


def test_last_segments_without_audio_count_once_all_was_heard() -> None:
    playout = reply(("Hello.", 400), ("😀", 0), is_ended=False)
    assert playout.heard_text(0.4) == "Hello."
    playout.end("Hello. 😀")
    assert playout.heard_text(0.4) == "Hello. 😀"


def test_signs_that_were_given_audio_are_heard_with_it() -> None:
    playout = reply(("…", 300), ("so", 300), is_ended=False)
    assert playout.heard_text(0.2) == ""
    assert playout.heard_text(0.3) == "…"
    assert reply(("— no", 300)).heard_text(0.2) == ""


def test_a_segment_that_says_nothing_is_none() -> None:
    assert reply((" ", 0), (" Hello. ", 400)).heard_text(0.4) == "Hello."


def test_a_segment_that_claims_to_start_before_the_last_starts_with_it() -> None:
    playout = reply(("one", 300), ("two", 300), is_ended=False)
    playout.add_segment("three", -50)
    playout.end(None)
    assert playout.heard_text(0.3) == "one"


def test_a_reply_without_audio_is_heard_when_it_was_shown() -> None:
    playout = Playout(RATE)
    assert playout.heard_text(0.0) == ""
    assert not playout.is_finished(0.0)
    playout.end(" It is noon. ")
    assert playout.is_finished(0.0)
    assert playout.heard_text(0.0) == "It is noon."
    assert playout.heard_ms(0.0) == 0


def test_a_reply_that_was_neither_spoken_nor_shown_is_not_heard() -> None:
    assert reply(("😀", 0)).heard_text(0.0) == ""


def test_in_a_pause_nothing_is_heard_and_then_it_goes_on_from_the_same_sample() -> None:
    playout = Playout(8000)
    playout.add_audio(8000, 0.0)
    playout.pause(0.25)
    playout.pause(0.3)
    playout.add_audio(800, 0.5)
    assert (playout.heard_samples(9.0), playout.next_change_at(9.0), playout.lead_ms(9.0)) == (2000, None, 850)
    playout.resume(10.0)
    playout.resume(10.1)
    assert playout.heard_samples(10.5) == 6000
    assert playout.next_change_at(10.5) == pytest.approx(10.85)


def test_a_pause_after_all_was_heard_waits_for_more() -> None:
    playout = Playout(8000)
    playout.add_audio(800, 0.0)
    playout.pause(1.0)
    playout.add_audio(800, 1.0)
    assert playout.heard_samples(5.0) == 800
    playout.resume(5.0)
    assert playout.heard_samples(5.0625) == 1300


def test_a_reply_that_pauses_before_it_sounds_is_heard_from_its_first_sample() -> None:
    playout = Playout(8000)
    playout.pause(0.0)
    playout.add_audio(800, 1.0)
    playout.resume(2.0)
    assert playout.heard_samples(2.0625) == 500


@given(st.integers(1, 80_000), st.floats(0, 20), st.floats(0, 100), st.floats(0, 20))
def test_a_pause_moves_all_that_is_heard_after_it_by_its_length(
    samples: int, before_s: float, pause_s: float, after_s: float
) -> None:
    paused, plain = Playout(8000), Playout(8000)
    for playout in (paused, plain):
        playout.add_audio(samples, 0.0)
    paused.pause(before_s)
    paused.resume(before_s + pause_s)
    assert paused.heard_samples(before_s + pause_s + after_s) == pytest.approx(
        plain.heard_samples(before_s + after_s), abs=2
    )


# -- laws -------------------------------------------------------------------------------------------------------------


@dataclass
class Played:
    """A reply to which anything may happen, while what it tells is held against the laws."""

    playout: Playout
    sent: int = 0
    heard: int = 0
    text: str = ""
    whole: str = ""
    is_ended: bool = False
    now: float = 0.0
    segments: list[str] = field(default_factory=list)

    def check(self) -> None:
        heard, text = self.playout.heard_samples(self.now), self.playout.heard_text(self.now)
        assert self.heard <= heard <= self.sent
        assert text.startswith(self.text)
        assert self.whole.startswith(text)
        assert self.playout.lead_ms(self.now) == (self.sent - heard) * 1000 // 8000
        if self.playout.is_finished(self.now):
            assert self.is_ended
            assert heard == self.sent
            assert text == (self.whole if self.sent else "")
        next_at = self.playout.next_change_at(self.now)
        if next_at is not None:
            assert next_at > self.now
            assert self.playout.heard_samples(next_at) == self.sent
        self.heard, self.text = heard, text


numbers = st.integers(-10, 30_000) | st.integers()
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("segment"), st.text(st.sampled_from("ab 你한😀。,")), numbers | st.none()),
        st.tuples(st.just("audio"), st.just(""), st.integers(-1, 9000)),
        st.tuples(st.just("mark"), st.just(""), numbers),
        st.tuples(st.just("wait"), st.just(""), st.integers(0, 2000)),
        st.tuples(st.just("wait"), st.just(""), st.integers(0, 2000)),
        st.tuples(st.just("pause"), st.just(""), st.just(0)),
        st.tuples(st.just("resume"), st.just(""), st.just(0)),
        st.tuples(st.just("end"), st.just(""), st.just(0)),
    ),
    max_size=30,
)


def happen(played: Played, what: str, text: str, number: int | None) -> None:
    match what:
        case "segment":
            played.playout.add_segment(text, played.sent if number is None else number)
            played.whole = joined(played.whole, text)
        case "audio":
            assert number is not None
            played.playout.add_audio(number, played.now)
            played.sent += 0 if played.is_ended else max(0, number)
        case "mark":
            assert number is not None
            played.playout.mark(number, played.now)
        case "wait":
            played.now += (number or 0) / 1000
        case "pause":
            played.playout.pause(played.now)
        case "resume":
            played.playout.resume(played.now)
        case _:
            played.playout.end(None)
            played.is_ended = True


@given(happenings, st.booleans())
def test_whatever_happens_heard_grows_within_what_was_sent(
    happened: list[tuple[str, str, int | None]], has_marks: bool
) -> None:
    played = Played(Playout(8000, has_marks))
    for what, text, number in happened:
        happen(played, what, text, number)
        played.check()


@given(st.lists(st.integers(1, 9000), min_size=1), st.floats(0, 1e9))
def test_by_the_clock_every_reply_is_heard_to_its_end(chunks: list[int], start: float) -> None:
    playout = Playout(44_100)
    for samples in chunks:
        playout.add_audio(samples, start)
    playout.end(None)
    end = playout.next_change_at(start)
    assert end is not None
    assert playout.is_finished(end)
