"""Echo path: what it learns of how loud an echo comes back, and how long it lasts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.echo_path import (
    DECAY_DB,
    DISTORTION_DB,
    FIRST_GAIN_DB,
    FIRST_STRAY_DB,
    LIFT_MOST_DB,
    LIKELY_GAIN_DB,
    MARGIN_DB,
    STRAYS,
    EchoPath,
)

pytestmark = pytest.mark.core

FIRST_DB = FIRST_GAIN_DB + STRAYS * FIRST_STRAY_DB + MARGIN_DB
QUIET = [-80.0, -80.0]


def taught(heard: list[float], frames: int = 400) -> EchoPath:
    path = EchoPath(len(heard))
    for _ in range(frames):
        path.play([[-20.0] * len(heard)])
        path.learn(heard, [-80.0] * len(heard), is_slow=False)
    return path


def test_before_anything_is_known_an_echo_may_be_louder_than_what_is_played() -> None:
    path = EchoPath(2)
    path.play([[-20.0, -25.0], [-22.0, -21.0]])

    assert path.most == pytest.approx([-20.0 + FIRST_DB, -21.0 + FIRST_DB])


def test_an_echo_dies_away_no_faster_than_a_room() -> None:
    path = EchoPath(2)
    path.play([[-20.0, -20.0]])
    path.play([[-100.0, -22.0]])

    assert path.most == pytest.approx([-20.0 - DECAY_DB + FIRST_DB, -22.0 + FIRST_DB])


def test_a_loudspeaker_that_distorts_gives_each_band_some_of_the_loudest() -> None:
    path = EchoPath(2)
    path.play([[-20.0, -100.0]])

    assert path.most == pytest.approx([-20.0 + FIRST_DB, -20.0 + DISTORTION_DB + FIRST_DB])


def test_after_a_silence_nothing_is_left() -> None:
    path = EchoPath(2)
    path.play([[-20.0, -20.0]])
    path.fall_silent()

    assert max(path.most) < -90.0


def test_the_gain_of_each_band_is_learnt() -> None:
    most = taught([-32.0, -45.0]).most

    assert most == pytest.approx([-32.0, -45.0], abs=2.0)


def test_that_there_is_hardly_an_echo_is_learnt_within_a_second() -> None:
    path = taught([-76.0, -76.0], frames=50)

    assert max(path.most) < -20.0 - 12.0


def test_what_a_talker_adds_to_a_band_for_a_while_is_hardly_learnt() -> None:
    path = taught([-32.0, -32.0, -32.0])
    before = path.most
    for _ in range(50):
        path.play([[-20.0] * 3])
        path.learn([-15.0, -32.0, -32.0], [-80.0] * 3, is_slow=True)

    assert path.most == pytest.approx(before, abs=2.0)


def test_what_all_bands_have_in_common_is_the_echo_s_within_bounds() -> None:
    path = taught([-32.0, -32.0])
    before = path.most
    found = []
    for heard in (-26.0, -32.0, 10.0):
        for _ in range(15):
            path.play([[-20.0, -20.0]])
            path.learn([heard, heard], QUIET, is_slow=False)
        found.append(path.most[0] - before[0])

    assert found[:2] == pytest.approx([6.0, 0.0], abs=2.0)
    assert 6.0 < found[2] < LIFT_MOST_DB + 4.0


@pytest.mark.parametrize("played", [-20.0, -80.0])
def test_where_neither_echo_nor_sound_stands_out_nothing_is_learnt(played: float) -> None:
    path = EchoPath(2)
    path.play([[played, played]])
    before = path.most
    path.learn([played + 20.0, -48.0], [0.0, -50.0] if played > -50.0 else QUIET, is_slow=False)

    assert (path.most == before) is (played < -50.0)


def test_a_delay_that_is_found_makes_a_louder_echo_likely() -> None:
    path = taught([-50.0, -50.0], frames=2_000)
    path.relearn(is_first=False)
    assert max(path.most) < -45.0
    path.relearn(is_first=True)

    assert min(path.most) > -20.0 + LIKELY_GAIN_DB


@given(
    st.lists(
        st.tuples(*[st.lists(st.floats(-100, 20), min_size=2, max_size=2)] * 3, st.booleans()).map(
            lambda drawn: (drawn[0], drawn[1], drawn[2], drawn[3])
        ),
        max_size=40,
    )
)
def test_whatever_is_heard_the_echo_that_is_expected_stays_finite(
    levels: list[tuple[list[float], list[float], list[float], bool]],
) -> None:
    path = EchoPath(2)
    for played, heard, noise, is_slow in levels:
        path.play([played])
        path.learn(heard, noise, is_slow=is_slow)
        assert all(math.isfinite(level) and abs(level) < 1_000 for level in path.most)
