"""What a recogniser is told of what is played: by a model of the person's ear and one of the stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.loudspeaker import AHEAD_S, OFF_S, Hush, Loudspeaker, Played, Reel

pytestmark = pytest.mark.core

RATE = 100  # samples a second
OFF = round(OFF_S * RATE)


def audio(first: int, samples: int) -> bytes:
    """Samples that count from `first`."""
    return b"".join(at.to_bytes(2, "little") for at in range(first, first + samples))


class Room:
    """Somebody hears what is played by the clock, a recogniser by the audio that it is sent."""

    def __init__(self) -> None:
        self.loudspeaker = Loudspeaker()
        self.now = self.made = 0  # samples
        self.ear, self.stream = b"", b""  # what is still to be heard
        self.is_paused = False
        self.told: list[Played | Hush] = []

    def play(self, samples: int) -> bool:
        piece = Played(audio(self.made, samples), RATE)
        self.made += samples
        is_taken = self.loudspeaker.play(piece, self.now / RATE)
        self.ear += piece.audio if is_taken else b""
        return is_taken

    def wait(self, samples: int) -> None:
        """The clock goes on, and no audio comes."""
        self.now += samples
        self.ear = self.ear if self.is_paused else self.ear[2 * samples :]

    def hear(self, samples: int) -> list[Played | Hush]:
        """Audio comes all at once; what is told before it."""
        told = self.loudspeaker.tell(samples / RATE, self.now / RATE)
        for one in told:
            self.stream = b"" if isinstance(one, Hush) else self.stream + one.audio
        self.check()
        self.stream = self.stream[2 * samples :]
        self.told += told
        return told

    def check(self) -> None:
        """What the recogniser expects is what is left, give or take what the clock and the stream may be apart."""
        ear = b"" if self.is_paused else self.ear
        assert self.stream.endswith(ear) or ear.endswith(self.stream)
        assert abs(len(self.stream) - len(ear)) <= 2 * OFF

    def live(self, samples: int) -> list[Played | Hush]:
        """Audio as it is spoken."""
        self.wait(samples)
        return self.hear(samples)

    def hush(self) -> None:
        self.loudspeaker.hush()
        self.ear, self.is_paused = b"", False

    def pause(self) -> None:
        self.loudspeaker.pause(self.now / RATE)
        self.is_paused = True

    def resume(self) -> None:
        self.loudspeaker.resume(self.now / RATE)
        self.is_paused = False


def test_each_piece_is_told_once_before_the_audio_that_follows_it() -> None:
    room = Room()
    assert room.live(2) == []
    room.play(10)
    room.play(5)

    assert room.live(2) == [Played(audio(0, 10), RATE), Played(audio(10, 5), RATE)]
    assert room.live(2) == []


def test_what_is_played_while_no_audio_comes_is_told_as_far_as_it_is_left() -> None:
    room = Room()
    room.play(3 * RATE)
    room.hear(2)
    room.wait(2 * RATE)

    assert room.hear(2) == [Hush(), Played(audio(2 * RATE, RATE), RATE)]


def test_what_nobody_listened_to_is_never_told() -> None:
    room = Room()
    for _ in range(10):
        room.play(RATE)
        room.wait(RATE)

    assert room.hear(2) == []


def test_a_line_that_stutters_is_no_reason_to_tell_anything_anew() -> None:
    room = Room()
    room.play(3 * RATE)
    room.live(2)
    room.wait(OFF - 4)

    assert [room.hear(2) for _ in range(OFF // 2)] == [[]] * (OFF // 2)


def test_audio_that_is_lost_for_good_is_a_reason() -> None:
    room = Room()
    room.play(5 * RATE)
    room.live(2)
    room.wait(OFF // 2)
    told = [one for _ in range(OFF // 2 + 1) for one in room.live(2)]

    assert told == [Hush(), Played(audio(OFF + 4, 5 * RATE - OFF - 4), RATE)]


def test_what_is_hushed_is_hushed_before_the_next_audio_and_once() -> None:
    room = Room()
    room.play(RATE)
    room.live(2)
    room.play(RATE)
    room.hush()
    room.play(3)

    assert room.live(2) == [Hush(), Played(audio(2 * RATE + 2, 1), RATE)]
    room.hush()
    assert room.live(2) == []


def test_a_loudspeaker_that_has_nothing_left_is_not_hushed() -> None:
    room = Room()
    room.play(2)
    room.live(2)
    room.hush()

    assert room.live(2) == []


def test_what_is_left_at_a_pause_is_told_again_when_it_goes_on() -> None:
    room = Room()
    room.play(2 * RATE)
    room.live(RATE)
    room.pause()
    room.play(RATE)

    assert room.live(3 * RATE) == [Hush()]
    assert room.live(3 * RATE) == []
    room.resume()
    assert room.live(2) == [Played(audio(RATE + 2, RATE - 2), RATE), Played(audio(2 * RATE, RATE), RATE)]


def test_going_on_without_a_pause_changes_nothing() -> None:
    room = Room()
    room.play(2 * RATE)
    room.live(2)
    room.resume()

    assert room.live(2) == []


def test_a_hush_ends_a_pause() -> None:
    room = Room()
    room.play(RATE)
    room.pause()
    room.hush()
    room.play(RATE)

    assert room.live(2) == [Played(audio(RATE + 2, RATE - 2), RATE)]


def test_what_nobody_was_told_after_all_is_told_again() -> None:
    room = Room()
    room.play(RATE)
    room.live(2)
    room.loudspeaker.forget_told()
    room.stream = b""

    assert room.live(2) == [Played(audio(4, RATE - 4), RATE)]


def test_what_comes_too_far_ahead_is_not_told() -> None:
    room = Room()
    most = round(AHEAD_S) * RATE

    assert (room.play(most), room.play(1)) == (True, False)
    room.wait(1)
    assert room.play(1)


def test_a_reel_plays_on_over_the_ends_of_its_pieces() -> None:
    reel = Reel()
    for first in (0, 10, 20):
        reel.add(Played(audio(first, 10), RATE))
    reel.let_pass(0.15)

    assert reel.left_s == pytest.approx(0.15)
    assert reel.rest() == [Played(audio(15, 5), RATE), Played(audio(20, 10), RATE)]
    reel.let_pass(9.0)
    assert (reel.left_s, reel.rest()) == (0.0, [])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["play", "wait", "hear", "live"]), st.integers(1, 2 * OFF)),
        st.tuples(st.sampled_from(["hush", "pause", "resume"]), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_what_a_recogniser_expects_is_never_far_from_what_is_heard(steps: list[tuple[str, int]]) -> None:
    room = Room()  # checks at each audio
    for what, samples in steps:
        if samples:
            getattr(room, what)(samples)
        else:
            getattr(room, what)()
    room.live(1)


@given(samples=st.lists(st.integers(1, 3 * RATE), max_size=20), frame=st.integers(1, 20))
def test_with_a_microphone_that_never_stops_each_piece_is_told_once_and_nothing_else(
    samples: list[int], frame: int
) -> None:
    room, played = Room(), b""
    for count in samples:
        if room.play(count):
            played += audio(room.made - count, count)
        room.live(frame)
    told = b"".join(one.audio if isinstance(one, Played) else b"hush" for one in room.told)

    assert told == played
