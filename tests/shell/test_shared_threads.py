"""The crossing to a thread: order, bounds, and that nothing is left running when a block was left."""

import threading
from collections.abc import Iterator

import anyio
import pytest
from anyio import CapacityLimiter, from_thread
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream

from shared import threads
from shared.threads import StopToken, iterate

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


class Counter:
    """An engine that yields 0, 1, 2 … until it is closed, and notes the threads on which it worked."""

    def __init__(self) -> None:
        self.made = 0
        self.began_on = self.ended_on = 0
        self.saw_stop = False

    def count(self, stop: StopToken) -> Iterator[int]:
        self.began_on = threading.get_ident()
        try:
            while True:
                self.made += 1
                yield self.made - 1
        finally:
            self.ended_on = threading.get_ident()
            self.saw_stop = stop.is_stopped()


async def until_full(stream: MemoryObjectReceiveStream[int]) -> None:
    """Until the producer waits for room."""
    while not stream.statistics().tasks_waiting_send:
        await checkpoint()


@pytest.mark.parametrize("capacity", [0, 1, 7])
async def test_items_arrive_in_order_and_the_stream_ends_with_the_iterator(capacity: int) -> None:
    async with iterate(lambda _: iter(range(100)), capacity) as stream:
        assert list(range(100)) == [item async for item in stream]


@pytest.mark.parametrize("capacity", [0, 1, 3])
async def test_a_fast_producer_is_held_back_at_the_capacity(capacity: int) -> None:
    counter = Counter()
    async with iterate(counter.count, capacity) as stream:
        for received in range(20):
            await until_full(stream)
            assert counter.made == received + capacity + 1  # waiting in the stream, and one in the producer's hand
            assert await stream.receive() == received


async def test_leaving_early_closes_the_iterator_on_its_own_thread_before_the_block_is_left() -> None:
    counter = Counter()
    async with iterate(counter.count, 2) as stream:
        assert await stream.receive() == 0
    assert counter.began_on == counter.ended_on != threading.get_ident()
    assert counter.saw_stop


async def test_an_iterator_that_asks_the_stop_token_ends_by_itself() -> None:
    ends = []

    def wait_for_stop(stop: StopToken) -> Iterator[int]:
        yield 1
        while not stop.is_stopped():
            pass
        ends.append("of itself")

    async with iterate(wait_for_stop, 1) as stream:
        assert await stream.receive() == 1
    assert ends == ["of itself"]


async def test_an_exception_of_the_iterator_is_raised_as_itself_after_what_came_before_it() -> None:
    failure, received = ValueError("odd"), []

    def fail(_: StopToken) -> Iterator[int]:
        yield 1
        raise failure

    with pytest.raises(ValueError) as raised:
        async with iterate(fail, 4) as stream:
            received += [item async for item in stream]
    assert raised.value is failure
    assert received == [1]


async def test_an_exception_while_the_iterator_is_made_or_closed_is_raised_too() -> None:
    def refuse(_: StopToken) -> Iterator[int]:
        raise ValueError("not made")

    def fail_at_the_end(_: StopToken) -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("not closed")

    with pytest.raises(ValueError, match="not made"):
        async with iterate(refuse, 1) as stream:
            assert [item async for item in stream] == []
    with pytest.raises(ValueError, match="not closed"):
        async with iterate(fail_at_the_end, 0) as stream:
            assert await stream.receive() == 1


async def test_an_exception_of_the_body_is_raised_as_itself_and_the_iterator_has_ended() -> None:
    counter, failure = Counter(), KeyError("the body's own")
    with pytest.raises(KeyError) as raised:
        async with iterate(counter.count, 2) as stream:
            await stream.receive()
            raise failure
    assert raised.value is failure
    assert counter.ended_on


async def test_the_exception_of_the_body_goes_before_that_of_the_iterator() -> None:
    def fail(_: StopToken) -> Iterator[int]:
        yield 1
        raise ValueError("the iterator's")

    with pytest.raises(KeyError, match="the body's"):
        async with iterate(fail, 4) as stream:
            async for _ in stream:
                pass
            raise KeyError("the body's")


async def test_a_cancel_of_the_surrounding_scope_stops_the_thread() -> None:
    counter = Counter()
    with anyio.CancelScope() as scope:
        async with iterate(counter.count, 2) as stream:
            await stream.receive()
            scope.cancel()
            await checkpoint()
        pytest.fail("the cancel did not go on after the block")
    assert scope.cancelled_caught
    assert counter.began_on == counter.ended_on != 0


async def test_an_iterator_that_still_waits_for_a_thread_is_never_made() -> None:
    counter, limiter = Counter(), CapacityLimiter(1)
    async with limiter:
        async with iterate(counter.count, 2, limiter):
            await anyio.wait_all_tasks_blocked()
            assert limiter.statistics().tasks_waiting == 1
        assert limiter.statistics().tasks_waiting == 0
    assert counter.made == 0


async def test_the_limiter_counts_the_thread_while_it_runs() -> None:
    counter, limiter = Counter(), CapacityLimiter(1)
    async with iterate(counter.count, 2, limiter) as stream:
        await stream.receive()
        assert limiter.borrowed_tokens == 1
    assert limiter.borrowed_tokens == 0


async def test_two_hundred_iterations_leave_no_thread_beyond_the_pool() -> None:
    before = threading.active_count()
    for _ in range(200):
        async with iterate(Counter().count, 1) as stream:
            assert await stream.receive() == 0
    assert threading.active_count() <= before + 1


async def test_a_call_runs_on_a_thread_and_returns_what_the_function_returns() -> None:
    def add(one: int, other: int) -> tuple[int, int]:
        return one + other, threading.get_ident()

    total, thread = await threads.call(add, 2, 3)
    assert total == 5
    assert thread != threading.get_ident()


async def test_a_call_raises_what_the_function_raises() -> None:
    with pytest.raises(ValueError, match="broken"):
        await threads.call(_raise, ValueError("broken"))


async def test_a_cancelled_call_waits_for_its_step() -> None:
    entered, may_return = anyio.Event(), threading.Event()
    steps: list[str] = []

    def step() -> None:
        from_thread.run_sync(entered.set)
        may_return.wait()
        steps.append("ended")

    async def call() -> None:
        await threads.call(step)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await entered.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            steps.append("the call waits")
        may_return.set()
    assert steps == ["the call waits", "ended"]


def test_a_stop_token_is_set_once_for_all() -> None:
    stop = StopToken()
    assert not stop.is_stopped()
    stop.stop()
    stop.stop()
    assert stop.is_stopped()


def _raise(failure: Exception) -> None:
    raise failure
