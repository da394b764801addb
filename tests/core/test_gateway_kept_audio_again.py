"""Kept audio that another one takes up: it is sent again as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.kept_audio import Content, KeptAudio, Kind
from gateway.core.loudspeaker import Played

pytestmark = pytest.mark.core

SECOND = bytes(2 * 16_000)
PIECES = st.lists(st.sampled_from(["audio", "flush", "send"]), max_size=12)


def all_of(kept: KeptAudio) -> list[Content]:
    sent = []
    while (content := kept.next()) is not None:
        sent.append(content)
    return sent


def again(kept: KeptAudio) -> KeptAudio:
    """What another one makes of what this one kept."""
    config, begin_s, pieces = kept.spoken()
    after = KeptAudio(config)
    after.take_up(
        begin_s,
        [(kind, piece, len(piece) / len(SECOND) if isinstance(piece, bytes) else 0.0) for kind, piece in pieces],
    )
    return after


@given(PIECES)
def test_another_connection_of_another_one_is_sent_the_same(steps: list[str]) -> None:
    kept = KeptAudio("first")
    for step in steps:
        if step == "audio":
            kept.add_audio(SECOND, 1.0, 0.0)
        elif step == "flush":
            kept.add_message(Kind.FLUSH, "flush")
        else:
            kept.next()
    after = again(kept)

    assert (after.position_s, after.is_full) == (kept.position_s, False)
    assert after.rewind() == kept.rewind()
    assert all_of(after) == all_of(kept)


def test_what_is_played_is_left_out_and_the_settings_are_those_of_the_beginning() -> None:
    kept = KeptAudio("first")
    kept.add_message(Kind.CONFIG, "second")
    kept.next()
    kept.loudspeaker.play(Played(SECOND, 16_000), 0.0)
    kept.add_audio(SECOND, 1.0, 0.0)

    assert kept.spoken() == ("first", 0.0, [(Kind.CONFIG, "second"), (Kind.AUDIO, SECOND)])


def test_without_anything_kept_it_goes_on_at_its_position() -> None:
    kept = KeptAudio("first")
    kept.take_up(7.5, [])
    assert (kept.position_s, kept.spoken()) == (7.5, ("first", 7.5, []))
