"""What is kept of what a person says, and sent again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.kept_audio import FRESH_S, MERGED_BYTES, MOST_S, PIECES, PLAYED_S, TAIL_S, Content, KeptAudio, Kind
from gateway.core.loudspeaker import Hush, Played

pytestmark = pytest.mark.core

RATE = 100  # samples a second


def audio(first: int, samples: int) -> bytes:
    """Samples that count from `first`."""
    return b"".join(at.to_bytes(2, "little") for at in range(first, first + samples))


class Speaker:
    """Says samples that count up, in pieces."""

    def __init__(self) -> None:
        self.kept = KeptAudio("config 0")
        self.said = 0

    def say(self, samples: int) -> bool:
        is_kept = self.kept.add_audio(audio(self.said, samples), samples / RATE, self.said / RATE)
        self.said += samples
        return is_kept

    def play(self, first: int, samples: int) -> None:
        """Samples that count from `first` are played to them from now on."""
        self.kept.loudspeaker.play(played(first, samples), self.said / RATE)

    def send(self) -> list[Content]:
        sent = []
        while (content := self.kept.next()) is not None:
            sent.append(content)
        return sent

    def send_again(self) -> tuple[str, float, list[Content]]:
        config, at_s = self.kept.rewind()
        return config, at_s, self.send()


def played(first: int, samples: int) -> Played:
    return Played(audio(first, samples), RATE)


def joined(sent: list[Content]) -> bytes:
    return b"".join(one for one in sent if isinstance(one, bytes))


def left(sent: list[Content]) -> bytes:
    """What is still to be played for a recogniser that was sent this."""
    ahead = b""
    for one in sent:
        match one:
            case bytes():
                ahead = ahead[len(one) :]
            case Played():
                ahead += one.audio
            case Hush():
                ahead = b""
    return ahead


def test_what_comes_leaves_once_and_in_order() -> None:
    speaker = Speaker()
    speaker.say(10)
    speaker.kept.add_message(Kind.FLUSH, "flush")
    speaker.say(10)

    assert speaker.send() == [audio(0, 10), "flush", audio(10, 10)]
    assert speaker.send() == []
    assert speaker.kept.position_s == 0.2


def test_a_new_connection_is_sent_all_of_it_again_in_few_pieces() -> None:
    speaker = Speaker()
    for _ in range(3):
        speaker.say(10)
    speaker.send()
    speaker.say(5)

    assert speaker.send_again() == ("config 0", 0.0, [audio(0, 30), audio(30, 5)])
    assert speaker.send_again() == ("config 0", 0.0, [audio(0, 35)])


def test_large_pieces_are_not_made_larger() -> None:
    speaker = Speaker()
    speaker.say(MERGED_BYTES // 2)
    speaker.say(1)
    speaker.send()

    assert len(speaker.send_again()[2]) == 2


def test_settings_begin_where_the_kept_audio_begins() -> None:
    speaker = Speaker()
    speaker.say(100)
    speaker.kept.add_message(Kind.CONFIG, "config 1")
    speaker.say(100)
    speaker.kept.add_message(Kind.CONFIG, "config 2")
    speaker.send()
    speaker.kept.forget_until(1.5)

    assert speaker.send_again() == ("config 1", 1.5, [audio(150, 50), "config 2"])


def test_while_nobody_speaks_only_the_tail_is_kept() -> None:
    speaker = Speaker()
    for _ in range(10):
        speaker.say(RATE)
        speaker.send()
        speaker.kept.trim()

    assert speaker.kept.kept_s == pytest.approx(TAIL_S)
    assert joined(speaker.send_again()[2]) == audio(8 * RATE, 2 * RATE)


def test_while_somebody_speaks_it_is_kept_from_a_little_before_their_start() -> None:
    speaker = Speaker()
    speaker.say(5 * RATE)
    speaker.send()
    speaker.kept.hold(4.0)
    speaker.say(10 * RATE)
    speaker.send()
    speaker.kept.trim()

    assert speaker.send_again()[1] == pytest.approx(3.0)


def test_of_a_long_utterance_the_end_is_kept() -> None:
    speaker = Speaker()
    speaker.kept.hold(0.0)
    speaker.say(round(MOST_S + 10) * RATE)
    speaker.send()
    speaker.kept.trim()

    assert speaker.kept.kept_s == pytest.approx(MOST_S)


def test_what_has_its_final_is_not_sent_again_nor_the_flush_that_asked_for_it() -> None:
    speaker = Speaker()
    speaker.kept.hold(0.0)
    speaker.say(RATE)
    speaker.kept.add_message(Kind.FLUSH, "flush")
    speaker.say(RATE)
    speaker.kept.add_message(Kind.FLUSH, "flush")
    speaker.send()
    speaker.kept.finish(0.5, is_flush=True)
    speaker.kept.finish(0.5, is_flush=False)

    assert speaker.send_again() == ("config 0", 0.5, [audio(50, 50), audio(100, 100), "flush"])


def test_a_final_for_a_flush_that_is_forgotten_already_is_taken() -> None:
    speaker = Speaker()
    speaker.kept.finish(0.5, is_flush=True)

    assert speaker.send_again() == ("config 0", 0.0, [])


def test_what_was_cleared_is_not_sent_again() -> None:
    speaker = Speaker()
    speaker.kept.add_message(Kind.CONFIG, "config 1")
    speaker.say(RATE)
    speaker.kept.add_message(Kind.CLEAR, "clear")
    speaker.say(RATE)

    assert speaker.send() == ["config 1", audio(0, RATE), "clear", audio(RATE, RATE)]
    assert speaker.send_again() == ("config 1", 1.0, [audio(RATE, RATE)])


def test_what_was_cleared_while_nobody_heard_is_not_sent_again_either() -> None:
    speaker = Speaker()
    speaker.say(RATE)
    speaker.send()
    speaker.kept.add_message(Kind.CONFIG, "config 1")
    speaker.say(RATE)
    speaker.kept.add_message(Kind.CLEAR, "clear")
    speaker.say(RATE)

    assert speaker.send_again() == ("config 1", 2.0, [audio(2 * RATE, RATE)])


def test_forgetting_leaves_the_newest_settings_and_the_position() -> None:
    speaker = Speaker()
    speaker.kept.add_message(Kind.CONFIG, "config 1")
    speaker.say(RATE)
    speaker.send()
    speaker.kept.add_message(Kind.CONFIG, "config 2")
    speaker.say(RATE)
    speaker.kept.forget()

    assert speaker.send_again() == ("config 2", 2.0, [])
    speaker.kept.configure("config 3")
    assert speaker.send_again()[0] == "config 3"


def test_only_fresh_audio_makes_it_full() -> None:
    speaker = Speaker()
    speaker.kept.hold(0.0)
    speaker.say(round(FRESH_S + 1) * RATE)
    assert speaker.kept.is_full
    speaker.send()
    speaker.kept.rewind()
    assert not speaker.kept.is_full
    speaker.say(round(FRESH_S) * RATE)
    assert not speaker.kept.is_full
    speaker.say(1)
    assert speaker.kept.is_full


def test_many_small_pieces_make_it_full_too() -> None:
    speaker = Speaker()
    for _ in range(PIECES):
        speaker.say(0)

    assert speaker.kept.is_full


def test_what_is_played_leaves_before_the_audio_that_follows_it() -> None:
    speaker = Speaker()
    speaker.say(10)
    speaker.play(0, 20)
    speaker.play(20, 5)
    speaker.say(10)
    speaker.kept.loudspeaker.hush()
    speaker.say(10)

    assert speaker.send() == [audio(0, 10), played(0, 20), played(20, 5), audio(10, 10), Hush(), audio(20, 10)]


def test_a_new_connection_is_sent_what_was_still_to_be_played_where_its_audio_begins() -> None:
    speaker = Speaker()
    speaker.play(0, 100)
    speaker.play(100, 100)
    speaker.play(200, 100)
    speaker.say(150)
    speaker.play(300, 100)
    speaker.say(150)
    speaker.send()
    speaker.kept.forget_until(1.2)
    again = [played(120, 80), played(200, 100), audio(120, 30), played(300, 100), audio(150, 150)]

    assert speaker.send_again() == ("config 0", 1.2, again)
    speaker.kept.forget_until(3.0)
    assert speaker.send_again() == ("config 0", 3.0, [played(300, 100)])


def test_what_was_hushed_before_the_kept_audio_is_not_sent_again() -> None:
    speaker = Speaker()
    speaker.play(0, 400)
    speaker.say(10)
    speaker.kept.loudspeaker.hush()
    speaker.say(90)
    speaker.send()
    speaker.kept.forget_until(0.5)

    assert speaker.send_again() == ("config 0", 0.5, [audio(50, 50)])


def test_after_an_outage_what_is_still_to_be_played_is_told_with_the_next_audio() -> None:
    speaker = Speaker()
    speaker.play(0, 400)
    speaker.say(100)
    speaker.send()
    speaker.kept.forget()

    assert speaker.send_again() == ("config 0", 1.0, [])
    speaker.say(10)
    assert speaker.send() == [played(100, 300), audio(100, 10)]


def test_what_is_played_makes_nothing_full() -> None:
    speaker = Speaker()
    speaker.say(0)
    for _ in range(PIECES - 1):
        speaker.play(0, 1)
        speaker.say(0)
    assert speaker.kept.is_full
    speaker.kept.next()

    assert not speaker.kept.is_full


def test_when_too_much_is_played_only_what_is_still_to_be_played_is_sent() -> None:
    speaker = Speaker()
    speaker.kept.hold(0.0)
    for _ in range(3):  # cut short and begun anew: nothing of it has been played
        speaker.play(0, 4_000)
        speaker.say(0)
        speaker.send()
        speaker.kept.loudspeaker.hush()
    speaker.kept.rewind()
    speaker.say(10)
    speaker.play(9_000, 100)
    assert not speaker.say(10)
    assert speaker.kept.played_s == 0.0

    assert speaker.send() == [b"", b"", b"", audio(0, 10), audio(10, 10)]
    assert speaker.say(10)
    assert speaker.send() == [Hush(), played(9_010, 90), audio(20, 10)]


def test_trimming_nothing_changes_nothing() -> None:
    speaker = Speaker()
    speaker.say(1)
    speaker.kept.trim()

    assert speaker.send() == [audio(0, 1)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 400)),
        st.tuples(st.just("send"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["rewind", "trim", "hold", "finish"]), st.integers(0, 2_000)),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_each_connection_hears_a_stretch_without_a_gap_that_reaches_what_comes_next(
    steps: list[tuple[str, int]],
) -> None:
    speaker, heard, begins = Speaker(), b"", 0
    for what, amount in steps:
        if what == "say":
            speaker.say(amount)
        elif what == "send":
            heard += b"".join(one for _ in range(amount) if isinstance(one := speaker.kept.next(), bytes))
            assert heard == audio(begins, len(heard) // 2)
        elif what == "rewind":
            begins = round(speaker.kept.rewind()[1] * RATE)
            heard = b""
        elif what == "trim":
            speaker.kept.trim()
            assert speaker.kept.kept_s <= MOST_S + 1e-6
        elif what == "hold":
            speaker.kept.hold(amount / RATE)
        else:
            speaker.kept.finish(min(amount, begins + len(heard) // 2) / RATE, is_flush=False)
    rest = joined(speaker.send())

    assert heard + rest == audio(begins, len(heard + rest) // 2)
    assert begins + len(heard + rest) // 2 == speaker.said


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["say", "play"]), st.integers(1, 400)),
            st.tuples(st.just("send"), st.integers(1, 5)),
            st.tuples(st.sampled_from(["rewind", "trim", "hold", "finish", "hush", "pause", "resume"]), st.just(0)),
        ),
        max_size=40,
    )
)
def test_a_new_connection_expects_to_hear_what_the_first_one_would(steps: list[tuple[str, int]]) -> None:
    speaker, unbroken, made, sent = Speaker(), Speaker(), 0, list[Content]()
    for what, amount in steps:
        if what == "say":
            speaker.say(amount)
            unbroken.say(amount)
        elif what == "play":
            speaker.play(made, amount)
            unbroken.play(made, amount)
            made += amount
        elif what == "send":
            sent += [one for _ in range(amount) if (one := speaker.kept.next()) is not None]
        elif what == "rewind":
            sent = []
            speaker.kept.rewind()
        elif what == "hold":
            speaker.kept.hold(speaker.said / RATE)
        elif what == "finish":
            speaker.kept.finish(speaker.said / RATE, is_flush=False)
        elif what == "trim":
            speaker.kept.trim()
        else:
            _do(speaker, what)
            _do(unbroken, what)
        assert speaker.kept.played_s <= PLAYED_S

    assert left(sent + speaker.send()) == left(unbroken.send())


def _do(speaker: Speaker, what: str) -> None:
    loudspeaker, now_s = speaker.kept.loudspeaker, speaker.said / RATE
    if what == "hush":
        loudspeaker.hush()
    elif what == "pause":
        loudspeaker.pause(now_s)
    else:
        loudspeaker.resume(now_s)
