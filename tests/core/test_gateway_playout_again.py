"""Playout that goes on after a cut of the line, or after its server was killed."""

import pytest

from gateway.core.playout import Playout

pytestmark = pytest.mark.core

RATE = 1000  # Hz: a sample is a millisecond
SEGMENTS = [("One two.", 1_000), ("Three four.", 500)]


def taken_up(heard_ms: int) -> Playout:
    playout = Playout(RATE)
    playout.take_up(SEGMENTS, heard_ms, now=10.0)
    return playout


def test_it_waits_for_the_client_where_another_one_was() -> None:
    playout = taken_up(1_100)
    assert (playout.heard_ms(10.0), playout.heard_ms(99.0)) == (1_100, 1_100)
    assert playout.heard_text(99.0) == "One two."
    playout.resume(100.0)
    assert playout.heard_ms(100.2) == 1_300
    playout.add_audio(500, 100.2)
    assert playout.heard_ms(101.0) == 2_000


def test_its_segments_are_those_that_were_sent_and_those_that_come() -> None:
    playout = taken_up(0)
    playout.add_segment("Five.", 1_500)
    assert playout.segments == [("One two.", 0), ("Three four.", 1_000), ("Five.", 1_500)]


def test_it_never_heard_more_than_was_sent() -> None:
    assert taken_up(9_000).heard_ms(10.0) == 1_500


def test_after_a_cut_the_clock_counts_from_the_last_mark_until_the_next_one() -> None:
    playout = taken_up(0)
    playout.resume(10.0)
    playout.mark(400, 10.0)
    assert playout.heard_ms(12.0) == 400
    playout.trust_clock(20.0)
    assert (playout.heard_ms(20.0), playout.heard_ms(20.1)) == (400, 500)
    playout.mark(450, 20.1)
    assert playout.heard_ms(30.0) == 500
    playout.mark(700, 30.0)
    assert playout.heard_ms(40.0) == 700


def test_by_the_clock_alone_nothing_changes() -> None:
    playout = taken_up(0)
    playout.resume(10.0)
    playout.trust_clock(10.5)
    assert playout.heard_ms(10.75) == 750
