"""What a client missed: any cut, any number of times, gives every frame once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.replay import Frame, Place, Replay

pytestmark = pytest.mark.core

FRAMES = st.lists(st.one_of(st.just("message"), st.binary(min_size=1, max_size=6)), max_size=30)


def filled(frames: list[Frame], **bounds: int) -> Replay:
    replay, seq = Replay(**bounds), 0
    for frame in frames:
        seq += isinstance(frame, str)
        replay.add(frame, seq if isinstance(frame, str) else 0)
    return replay


def flat(frames: list[Frame]) -> list[object]:
    """Messages one by one and audio byte by byte."""
    return [part for frame in frames for part in ([frame] if isinstance(frame, str) else frame)]


def sent_from(replay: Replay, place: Place) -> list[Frame]:
    sent: list[Frame] = []
    while (frame := replay.frame(place)) is not None:
        sent.append(frame)
        place = Place(place.at + 1)
    return sent


@given(FRAMES, st.integers(0, 200))
def test_wherever_it_is_cut_both_parts_together_are_all_frames_once(frames: list[Frame], cut: int) -> None:
    replay, whole = filled(frames), flat(frames)
    got = whole[:cut]
    messages = [at for at, part in enumerate(got) if part == "message"]
    audio_bytes = len(got) - (messages[-1] + 1) if messages else len(got)
    place = replay.place_after(len(messages), audio_bytes)

    if not messages and frames and not isinstance(frames[0], str):
        return  # a session begins with a message
    assert place is not None
    assert got + flat(sent_from(replay, place)) == whole


@given(FRAMES, st.integers(1, 5), st.integers(1, 12))
def test_what_is_kept_is_bounded_and_nothing_older_is_made_up(
    frames: list[Frame], most_frames: int, most_bytes: int
) -> None:
    replay = filled(frames, most_frames=most_frames, most_bytes=most_bytes)
    kept = [frame for _, frame in replay.frames]

    assert len(kept) <= most_frames
    assert len(kept) <= 1 or sum(map(len, kept)) <= most_bytes
    assert frames[len(frames) - len(kept) :] == kept
    assert replay.end == len(frames)
    messages = sum(isinstance(frame, str) for frame in frames)
    for last_seq in range(1, messages + 1):
        place = replay.place_after(last_seq, 0)
        is_kept = any(seq == last_seq for seq, _ in replay.frames)
        assert (place is not None) is is_kept


def test_a_client_that_got_nothing_is_sent_all_as_long_as_all_is_kept() -> None:
    assert filled(["message", b"ab"]).place_after(0, 0) == Place(0)
    assert filled(["message", b"ab"], most_frames=1).place_after(0, 0) is None


def test_who_goes_on_with_what_another_one_kept_has_no_beginning() -> None:
    replay = Replay()
    replay.add("message", 7)
    assert replay.place_after(0, 0) is None
    assert Replay().place_after(0, 0) == Place(0)


def test_a_message_that_was_never_sent_has_no_place() -> None:
    assert filled(["message"]).place_after(2, 0) is None


def test_audio_that_a_client_counts_beyond_what_came_before_the_next_message_is_none() -> None:
    assert filled(["message", b"ab", "message"]).place_after(1, 99) == Place(2)


def test_a_frame_that_came_in_part_is_sent_from_there() -> None:
    replay = filled(["message", b"abcd"])
    place = replay.place_after(1, 3)

    assert place == Place(1, 3)
    assert replay.frame(place) == b"d"
