"""One suite over every store of runs: in memory, in Redis, and in Redis with the other clients at another replica."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest

from llm_service.core.idempotency import IdempotencyParams
from llm_service.runs import Claim, RunLimits
from shared.errors import (
    IdempotencyKeyReused,
    InternalError,
    Overloaded,
    RequestInFlight,
    ServiceTimeout,
    ServiceUnavailable,
)
from tests.support.llm import sample
from tests.support.llm_runs import (
    CLAIM,
    HASTY,
    LASTING,
    SMALL,
    Making,
    Stores,
    Told,
    ask,
    in_memory,
    in_redis,
    redis_server,
)

pytestmark = [pytest.mark.contract, pytest.mark.anyio]

WHOLE = b"one two three"
Open = Callable[[IdempotencyParams, RunLimits], AbstractAsyncContextManager[Stores]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["memory", "redis", "two replicas"])
def opened(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":
        return in_memory
    url = request.getfixturevalue("redis_url")
    replicas = 2 if request.param == "two replicas" else 1

    @asynccontextmanager
    async def stores(params: IdempotencyParams, limits: RunLimits) -> AsyncIterator[Stores]:
        async with in_redis(url, params, limits, replicas, lock_s=0.3) as found:
            yield found

    return stores


@pytest.fixture
async def stores(opened: Open) -> AsyncIterator[Stores]:
    async with opened(SMALL, LASTING) as found:
        yield found


async def test_fifty_at_once_are_one_call_and_the_same_bytes_for_all(stores: Stores) -> None:
    making, told = Making(held_at=1), [Told() for _ in range(50)]
    before = {outcome: sample("parley_llm_idempotency_total", outcome=outcome) for outcome in ("new", "join")}

    async with anyio.create_task_group() as tasks:
        for index, one in enumerate(told):
            tasks.start_soon(ask, stores.other if index % 2 else stores.one, making, CLAIM, one)
        for one in told:
            await one.begun.wait()
        making.gate.set()

    assert making.calls == 1
    assert {one.body for one in told} == {WHOLE}
    assert sorted(bool(one.is_replayed) for one in told) == [False] + [True] * 49
    assert sample("parley_llm_idempotency_total", outcome="new") == before["new"] + 1
    assert sample("parley_llm_idempotency_total", outcome="join") == before["join"] + 49


async def test_who_joins_gets_each_piece_when_it_is_made(stores: Stores) -> None:
    making, first, second = Making(held_at=2), Told(), Told()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, stores.one, making, CLAIM, first)
        await first.begun.wait()
        tasks.start_soon(ask, stores.other, making, CLAIM, second)
        await second.begun.wait()
        assert making.running == 1
        making.gate.set()

    assert (first.body, second.body) == (WHOLE, WHOLE)


async def test_a_repeated_request_gets_what_was_made(stores: Stores) -> None:
    making = Making()

    first = await ask(stores.one, making)
    again = [await ask(store, making) for store in (stores.one, stores.other)]

    assert (first.body, first.is_replayed) == (WHOLE, False)
    assert [(one.body, one.is_replayed) for one in again] == [(WHOLE, True)] * 2
    assert making.calls == 1


async def test_after_its_life_a_key_is_new(stores: Stores) -> None:
    making = Making()
    await ask(stores.one, making)
    stores.expire()

    told = await ask(stores.other, making)

    assert (told.body, told.is_replayed, making.calls) == (WHOLE, False, 2)


async def test_the_key_with_another_request_is_a_conflict(stores: Stores) -> None:
    making, other, first = Making(held_at=1), Claim(CLAIM.key, "another"), Told()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, stores.one, making, CLAIM, first)
        await first.begun.wait()
        meanwhile = await ask(stores.other, making, other)
        making.gate.set()
    afterwards = await ask(stores.other, making, other)

    assert [type(told.failure) for told in (meanwhile, afterwards)] == [IdempotencyKeyReused] * 2
    assert (first.body, making.calls) == (WHOLE, 1)


async def test_other_keys_are_other_answers(stores: Stores) -> None:
    making = Making()

    told = [await ask(stores.one, making, Claim(key, "fingerprint")) for key in "abc"]

    assert ([one.is_replayed for one in told], making.calls) == ([False] * 3, 3)


@pytest.mark.parametrize("pieces", [(), (b"one ",)], ids=["at once", "in the middle"])
async def test_a_failure_is_told_to_all_who_wait_and_not_kept(stores: Stores, pieces: tuple[bytes, ...]) -> None:
    failure = Overloaded("No room.", service="llm", param="p", retry_after_ms=7)
    making, told = Making(*pieces, b"two", held_at=len(pieces), failure=failure), [Told() for _ in range(4)]
    making.pieces = pieces or (b"",)

    async with anyio.create_task_group() as tasks:
        for index, one in enumerate(told):
            tasks.start_soon(ask, stores.other if index % 2 else stores.one, making, CLAIM, one)
        await making.until(lambda making: making.running == 1)
        making.gate.set()

    failures = [one.failure for one in told if one.failure]
    assert (making.calls, len({id(failure) for failure in failures})) == (1, 4)
    for one_s in failures:
        assert (type(one_s), one_s.message, one_s.service, one_s.param, one_s.retry_after_ms) == (
            Overloaded, "No room.", "llm", "p", 7,
        )  # fmt: skip
    assert {one.body for one in told} == {b"".join(pieces)}
    assert (await ask(stores.other, Making())).body == WHOLE


async def test_a_fault_is_told_to_those_who_wait_and_ends_nothing_else(stores: Stores) -> None:
    told = await ask(stores.one, Making(failure=RuntimeError("a bug")))
    sound = await ask(stores.one, Making())

    assert type(told.failure) is InternalError
    assert (sound.body, sound.is_replayed) == (WHOLE, False)


async def test_the_first_client_may_leave_and_the_others_get_all(stores: Stores) -> None:
    making, first, second = Making(held_at=1), Told(), Told()

    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(ask, stores.one, making, CLAIM, first)
            await first.begun.wait()
            tasks.start_soon(ask, stores.other, making, CLAIM, second)
            await second.begun.wait()
            leaving.cancel_scope.cancel()
        making.gate.set()

    assert (second.body, second.is_replayed, making.calls) == (WHOLE, True, 1)


async def test_the_first_client_may_leave_without_a_grace_while_others_read(opened: Open) -> None:
    making, first, second = Making(held_at=1), Told(), Told()

    async with opened(SMALL, HASTY) as stores, anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(ask, stores.one, making, CLAIM, first)
            await first.begun.wait()
            tasks.start_soon(ask, stores.other, making, CLAIM, second)
            await second.begun.wait()
            leaving.cancel_scope.cancel()
        making.gate.set()

    assert (second.body, making.calls) == (WHOLE, 1)


async def test_whoever_comes_back_within_the_grace_gets_all(stores: Stores) -> None:
    making, first = Making(held_at=1), Told()
    async with anyio.create_task_group() as leaving:
        leaving.start_soon(ask, stores.one, making, CLAIM, first)
        await first.begun.wait()
        leaving.cancel_scope.cancel()

    making.gate.set()
    told = await ask(stores.other, making)

    assert (told.body, told.is_replayed, making.calls) == (WHOLE, True, 1)


async def test_an_answer_that_nobody_reads_ends_after_the_grace_and_is_not_kept(opened: Open) -> None:
    making, first = Making(held_at=1), Told()
    async with opened(SMALL, HASTY) as stores:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(ask, stores.one, making, CLAIM, first)
            await first.begun.wait()
            leaving.cancel_scope.cancel()
        await making.until(lambda making: making.running == 0)
        told = await ask(stores.other, Making())

    assert (told.body, told.is_replayed) == (WHOLE, False)


async def test_a_client_that_leaves_before_the_first_piece_leaves_nothing(opened: Open) -> None:
    making = Making(held_at=0)
    async with opened(SMALL, HASTY) as stores:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(ask, stores.one, making)
            await making.until(lambda making: making.running == 1)
            leaving.cancel_scope.cancel()
        await making.until(lambda making: making.running == 0)

    assert making.calls == 1


async def test_a_dismissed_answer_ends_with_its_last_reader_and_a_new_request_runs(stores: Stores) -> None:
    making, first, second = Making(held_at=1), Told(), Told()
    async with anyio.create_task_group() as leaving:
        leaving.start_soon(ask, stores.one, making, CLAIM, first)
        await first.begun.wait()
        await stores.other.dismiss(CLAIM.key)
        second = await ask(stores.other, Making(b"anew"))
        assert making.running == 1
        leaving.cancel_scope.cancel()
    await making.until(lambda making: making.running == 0)

    assert (first.body, second.body, second.is_replayed) == (b"one ", b"anew", False)
    assert (await ask(stores.one, Making())).body == b"anew"


@pytest.mark.parametrize("failure", [None, Overloaded("No room.", service="llm")], ids=["whole", "failed"])
@pytest.mark.parametrize("dismisser", ["one", "other"])
async def test_a_dismissal_takes_nothing_from_those_who_read(
    stores: Stores, dismisser: str, failure: Overloaded | None
) -> None:
    making, told = Making(held_at=1, failure=failure), [Told() for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for index, one in enumerate(told):
            tasks.start_soon(ask, stores.other if index % 2 else stores.one, making, CLAIM, one)
            await one.begun.wait()
        await getattr(stores, dismisser).dismiss(CLAIM.key)
        anew = await ask(stores.other, Making(b"anew"))
        making.gate.set()

    assert [(one.body, type(one.failure)) for one in told] == [(WHOLE, type(failure))] * 4
    assert (anew.body, anew.is_replayed, making.calls) == (b"anew", False, 1)
    assert [(await ask(store, Making())).body for store in (stores.one, stores.other)] == [b"anew"] * 2


async def test_who_reads_a_dismissed_answer_keeps_it_going_alone(stores: Stores) -> None:
    making, first, second = Making(held_at=1), Told(), Told()
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(ask, stores.one, making, CLAIM, first)
            await first.begun.wait()
            tasks.start_soon(ask, stores.other, making, CLAIM, second)
            await second.begun.wait()
            leaving.cancel_scope.cancel()
        await stores.one.dismiss(CLAIM.key)
        making.gate.set()

    assert (second.body, second.failure, making.calls) == (WHOLE, None, 1)
    assert (await ask(stores.other, Making(b"anew"))).body == b"anew"


async def test_a_dismissed_answer_ends_when_all_have_left_it_whoever_dismissed_it(stores: Stores) -> None:
    making, told = Making(held_at=1), [Told(), Told()]
    async with anyio.create_task_group() as leaving:
        for store, one in zip((stores.one, stores.other), told, strict=True):
            leaving.start_soon(ask, store, making, CLAIM, one)
            await one.begun.wait()
        leaving.cancel_scope.cancel()
    assert making.running == 1
    await stores.other.dismiss(CLAIM.key)
    await making.until(lambda making: making.running == 0)

    assert making.calls == 1


async def test_nothing_happens_when_there_is_nothing_to_dismiss(stores: Stores) -> None:
    await stores.one.dismiss(CLAIM.key)
    await ask(stores.one, Making())
    await stores.one.dismiss(CLAIM.key)

    assert (await ask(stores.other, Making())).is_replayed is True


async def test_a_reader_that_reads_nothing_holds_nobody_up(stores: Stores) -> None:
    making = Making()
    async with stores.one.reading(CLAIM, making) as slow:
        quick = await ask(stores.other, making)
        later = b"".join([piece async for piece in slow.pieces])

    assert (quick.body, later) == (WHOLE, WHOLE)


async def test_an_answer_above_the_bound_is_told_and_not_kept(stores: Stores) -> None:
    long = Making(*[b"x" * 100] * 30)

    first, second = await ask(stores.one, long), await ask(stores.other, long)

    assert (len(first.body), len(second.body)) == (3000, 3000)
    assert (second.is_replayed, long.calls) == (False, 2)


async def test_nobody_joins_an_answer_that_is_too_long_already(stores: Stores) -> None:
    long, first = Making(*[b"x" * 100] * 30, held_at=29), Told()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, stores.one, long, CLAIM, first)
        await first.more.until(lambda: len(first.body) == 2900)
        second = await ask(stores.one, Making())
        long.gate.set()

    assert (len(first.body), second.body, second.is_replayed) == (3000, WHOLE, False)


async def test_a_reader_that_lags_a_whole_window_behind_fails(stores: Stores) -> None:
    long = Making(*[b"x" * 100] * 30)
    async with stores.one.reading(CLAIM, long) as slow:
        quick = await ask(stores.one, long)
        assert (len(quick.body), long.calls) == (3000, 1)
        with pytest.raises(ServiceUnavailable, match="too slowly"):
            await anext(slow.pieces)


async def test_no_more_keys_run_at_once_than_may(opened: Open) -> None:
    making, told = Making(held_at=1), [Told(), Told()]
    few = IdempotencyParams(max_running=2, max_entry_bytes=1000)
    async with opened(few, LASTING) as stores, anyio.create_task_group() as tasks:
        for key, one in zip("ab", told, strict=True):
            tasks.start_soon(ask, stores.one, making, Claim(key, "fingerprint"), one)
            await one.begun.wait()
        refused = await ask(stores.one, making, Claim("c", "fingerprint"))
        making.gate.set()

    assert type(refused.failure) is Overloaded
    assert refused.failure.retry_after_ms == 1000
    assert making.calls == 2


async def test_an_answer_that_takes_too_long_as_a_whole_is_ended(opened: Open) -> None:
    making = Making(held_at=1)
    async with opened(SMALL, RunLimits(grace_s=600, run_s=0.05)) as stores:
        told = await ask(stores.one, making)
        await making.until(lambda making: making.running == 0)

    assert (told.body, type(told.failure)) == (b"one ", ServiceTimeout)


async def test_where_joining_is_switched_off_a_running_request_is_refused(opened: Open) -> None:
    making, first = Making(held_at=1), Told()
    async with opened(SMALL, RunLimits(grace_s=600, run_s=600, can_join=False)) as stores:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, stores.one, making, CLAIM, first)
            await first.begun.wait()
            second = await ask(stores.other, making)
            making.gate.set()
        third = await ask(stores.other, making)

    assert (type(second.failure), third.body, making.calls) == (RequestInFlight, WHOLE, 1)


async def test_stopping_ends_what_runs_and_refuses_what_comes(opened: Open) -> None:
    making, first = Making(held_at=1), Told()
    async with anyio.create_task_group() as tasks, opened(SMALL, LASTING) as stores:
        tasks.start_soon(ask, stores.one, making, CLAIM, first)
        await first.begun.wait()
    late = await ask(stores.one, making)

    assert [type(told.failure) for told in (first, late)] == [ServiceUnavailable] * 2
    assert (making.calls, making.running) == (1, 0)
