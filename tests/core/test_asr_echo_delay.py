"""Echo delay: found where there is an echo, kept while it holds, and never made up."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.echo_delay import AUDIBLE_DB, LAGS, EchoDelay
from tests.support.echoes import BANDS, NOISE_DB, Levels, frames, late, louder, pairs, silence, together, voice

pytestmark = pytest.mark.core

NOISE = [NOISE_DB] * BANDS
SECONDS = 100  # hops


def follow(delay: EchoDelay, played: Sequence[Levels], heard: Sequence[Levels]) -> list[int | None]:
    """The delay after each frame."""
    found = []
    for hops, frame in zip(pairs(played), frames(heard), strict=True):
        for hop in hops:
            delay.play(hop, is_audible=max(hop) > AUDIBLE_DB)
        delay.hear(frame, NOISE)
        found.append(delay.hops)
    return found


@pytest.mark.parametrize("hops", [0, 7, 20, LAGS - 1])
def test_the_delay_of_an_echo_is_found_within_a_second_and_a_half(hops: int) -> None:
    played = voice(4 * SECONDS, seed=1)
    found = follow(EchoDelay(BANDS), played, together(late(louder(played, -12.0), hops)))

    assert found[74] is not None
    assert all(one is not None and abs(one - hops) <= 1 for one in found[100:])


def test_a_hiss_is_no_echo() -> None:
    random = Random(1)
    hiss = [[NOISE_DB + 10.0 + random.gauss(0.0, 2.0) for _ in range(BANDS)] for _ in range(4 * SECONDS)]
    found = follow(EchoDelay(BANDS), voice(4 * SECONDS, seed=1), hiss)

    assert found == [None] * 200


def test_a_delay_that_changes_is_followed() -> None:
    played = voice(8 * SECONDS, seed=3)
    heard = together(late(played, 10)[: 4 * SECONDS] + late(played, 30)[4 * SECONDS :])
    found = follow(EchoDelay(BANDS), played, heard)

    assert found[199] in (9, 10, 11)
    assert found[-1] in (29, 30, 31)


def test_a_new_reply_makes_another_delay_known_sooner() -> None:
    played, second = voice(4 * SECONDS, seed=4), voice(4 * SECONDS, seed=5)
    begun = []
    for is_told in (False, True):
        delay = EchoDelay(BANDS)
        follow(delay, played, together(late(played, 10)))
        if is_told:
            delay.start_again()
        found = follow(delay, second, together(late(second, 14)))
        begun.append(next(at for at, one in enumerate(found) if one is not None and one > 12))

    assert begun[1] < begun[0]


def test_where_nothing_is_played_nothing_is_found() -> None:
    found = follow(EchoDelay(BANDS), silence(2 * SECONDS), together(voice(2 * SECONDS, seed=6)))

    assert found == [None] * 100


@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(-100, 10), min_size=3, max_size=3), st.lists(st.floats(-100, 10), min_size=3, max_size=3)
        ),
        max_size=60,
    )
)
def test_whatever_is_played_and_heard_the_delay_is_unknown_or_within_bounds(
    levels: list[tuple[Levels, Levels]],
) -> None:
    delay = EchoDelay(3)
    for played, heard in levels:
        delay.play(played, is_audible=max(played) > AUDIBLE_DB)
        delay.hear(heard, [-70.0] * 3)
        assert delay.hops is None or 0 <= delay.hops < LAGS
