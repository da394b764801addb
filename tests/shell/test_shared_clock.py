"""The clock: seconds of the event loop for measuring, the time of day for people."""

import time
from datetime import UTC, timedelta

import anyio
import pytest

from shared import clock, threads

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def test_the_seconds_are_those_of_the_event_loop_so_that_a_virtual_clock_moves_them() -> None:
    before_s, now_s, after_s = anyio.current_time(), clock.now_s(), anyio.current_time()
    assert before_s <= now_s <= after_s


async def test_a_thread_has_seconds_of_its_own_because_it_has_no_loop_to_ask() -> None:
    before_s, now_s, after_s = time.monotonic(), await threads.call(clock.thread_now_s), time.monotonic()
    assert before_s <= now_s <= after_s


def test_the_time_of_day_is_in_utc() -> None:
    now = clock.today()
    assert (now.tzinfo, now.utcoffset()) == (UTC, timedelta(0))
