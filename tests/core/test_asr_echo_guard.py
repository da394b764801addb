"""Echo guard: what is only an echo, and who speaks over it."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_service.core.echo_delay import LAGS
from asr_service.core.echo_guard import TAIL_HOPS, EchoGuard, Judgement
from tests.support.echoes import BANDS, Levels, frames, late, louder, pairs, silence, together, voice

pytestmark = pytest.mark.core

SECOND = 100  # hops
LONGEST_HOPS = LAGS + TAIL_HOPS


def judged(played: Sequence[Levels], heard: Sequence[Levels], guard: EchoGuard | None = None) -> list[Judgement | None]:
    guard = guard or EchoGuard(BANDS)
    return [guard.judge(frame, hops) for hops, frame in zip(pairs(played), frames(heard), strict=True)]


def talkers(judgements: Sequence[Judgement | None]) -> list[int]:
    """The frames in which somebody was found to speak over it."""
    return [at for at, one in enumerate(judgements) if one is not None and not one.is_echo]


def reply(seed: int) -> list[Levels]:
    """A second of silence, eight of a voice, and the pause after it."""
    return [*silence(SECOND), *voice(8 * SECOND, seed), *silence(2 * SECOND)]


@pytest.mark.parametrize("delay", [0, 15, 40])
@pytest.mark.parametrize("gain_db", [-6.0, -20.0])
def test_what_is_played_alone_is_nobody_who_speaks(delay: int, gain_db: float) -> None:
    played = reply(1) + reply(2)
    judgements = judged(played, together(late(louder(played, gain_db), delay)))

    assert talkers(judgements) == []


@pytest.mark.parametrize("user_db", [-10.0, 0.0, 10.0])
def test_who_speaks_over_it_is_found_within_a_quarter_of_a_second(user_db: float) -> None:
    played = reply(1)
    echo = late(louder(played, -12.0), 20)
    user = silence(5 * SECOND) + voice(2 * SECOND, 7, -42.0 + user_db) + silence(4 * SECOND)
    found = talkers(judged(played, together(echo, user)))

    assert found[0] * 2 - 5 * SECOND in range(26)
    assert found[-1] * 2 < 7 * SECOND + 20


def test_with_a_headset_who_speaks_is_found_although_no_delay_ever_is() -> None:
    played = reply(1)
    user = silence(5 * SECOND) + voice(2 * SECOND, 7, -42.0) + silence(4 * SECOND)
    found = talkers(judged(played, together(silence(len(played)), user)))

    assert found[0] * 2 - 5 * SECOND in range(26)


def test_where_nothing_is_played_it_has_no_opinion() -> None:
    judgements = judged(silence(4 * SECOND), together(voice(4 * SECOND, 3)))

    assert judgements == [None] * (2 * SECOND)


def test_it_has_an_opinion_until_no_echo_can_come_any_more() -> None:
    played = voice(SECOND, 2) + [[-30.0] * BANDS] * 2 + silence(3 * SECOND)
    judgements = judged(played, together(silence(len(played))))
    without = [at for at, one in enumerate(judgements) if one is None]

    assert without[0] == (SECOND + 2 + LONGEST_HOPS) // 2
    assert without == list(range(without[0], len(judgements)))


def test_an_echo_leaves_the_noise_and_a_talker_what_stands_out() -> None:
    played = reply(1)
    user = silence(5 * SECOND) + [[-20.0] * BANDS] * SECOND + silence(5 * SECOND)
    judgements = judged(played, together(late(louder(played, -12.0), 20), user))

    assert all(one.share < 0.2 for one in judgements[150:240] if one is not None and one.is_echo and one.share < 1.0)
    assert all(one is not None and one.share > 0.8 for one in judgements[260:295])


def test_a_stream_may_begin_with_a_reply() -> None:
    played = voice(4 * SECOND, 5) + silence(2 * SECOND)

    assert talkers(judged(played, together(louder(played, -6.0)))) == []


def test_voices_in_the_background_are_the_noise_of_the_room() -> None:
    played = silence(6 * SECOND) + reply(4)
    room = together(*(voice(len(played), seed, -62.0) for seed in range(20, 28)))
    judgements = judged(played, together(late(louder(played, -12.0), 20), room))

    assert len(talkers(judgements)) < 10


def test_the_noise_may_fall_and_rise_while_nothing_is_played() -> None:
    guard = EchoGuard(BANDS)
    for noise_db in (-60.0, -80.0, -70.0):
        judged(silence(20 * SECOND), [[noise_db] * BANDS] * (20 * SECOND), guard)
    played = reply(6)
    heard = together(late(louder(played, -12.0), 10), [[-70.0] * BANDS] * len(played))

    assert talkers(judged(played, heard, guard)) == []


levels = st.lists(st.floats(-97, 10), min_size=3, max_size=3)


@settings(max_examples=50)
@given(st.lists(st.tuples(levels, levels, levels), max_size=60))
def test_whatever_comes_the_share_is_a_share_and_the_same_levels_give_the_same(
    drawn: list[tuple[Levels, Levels, Levels]],
) -> None:
    one, other = EchoGuard(3), EchoGuard(3)
    for heard, first, second in drawn:
        judgement = one.judge(heard, [first, second])
        assert judgement is None or 0.0 <= judgement.share <= 1.0
        assert other.judge(heard, [first, second]) == judgement
