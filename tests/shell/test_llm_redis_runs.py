"""What is written down in Redis, and what becomes of it when a replica dies, stalls or loses its Redis."""

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from redis import Redis

from llm_service.core.idempotency import IdempotencyParams
from llm_service.redis_ledger import Ledger, Place, Right, connected
from llm_service.redis_runs import RedisRuns
from llm_service.runs import Claim
from shared.errors import InternalError, Overloaded, ServiceUnavailable
from tests.support.llm_runs import CLAIM, HASTY, LASTING, SMALL, Making, Told, ask, redis_server

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

WHOLE = b"one two three"
LOCK_S = 0.2
DEAD = Place(CLAIM.key, CLAIM.fingerprint, "dead-1")  # the run of a replica that is gone


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis(server: str) -> Iterator[Redis]:
    with Redis.from_url(server) as client:
        client.flushall()
        yield client


@pytest.fixture
async def ledger(server: str, redis: Redis) -> AsyncIterator[Ledger]:
    """The steps of a replica that does nothing by itself, as one that died."""
    async with connected(server, 10) as client:
        yield Ledger(client, "dead", LOCK_S, 600)


@pytest.fixture
async def alive(server: str, redis: Redis) -> AsyncIterator[RedisRuns]:
    runs = RedisRuns(server, SMALL, LASTING, LOCK_S)
    async with runs.opened():
        yield runs


async def test_when_the_replica_that_runs_dies_who_waits_hears_of_it_and_the_next_one_runs(
    ledger: Ledger, alive: RedisRuns
) -> None:
    assert await ledger.claim(DEAD) == ("new", DEAD.token)
    await ledger.append(DEAD, 1, b"one ")

    waiting = await ask(alive, Making(b"never"))
    following = await ask(alive, Making())

    assert (waiting.body, waiting.is_replayed, type(waiting.failure)) == (b"one ", True, ServiceUnavailable)
    assert (following.body, following.is_replayed) == (WHOLE, False)


async def test_a_replica_that_lost_its_key_can_write_nothing_any_more(ledger: Ledger, alive: RedisRuns) -> None:
    await ledger.claim(DEAD)
    await ask(alive, Making(b"never"))
    await ask(alive, Making())

    assert not await ledger.append(DEAD, 2, b"late")
    assert not await ledger.renew(DEAD)
    assert not await ledger.complete(DEAD)
    await ledger.abandon(DEAD, InternalError("late"))
    again = await ask(alive, Making())
    assert (again.body, again.is_replayed) == (WHOLE, True)


async def test_a_replica_that_died_reading_keeps_no_run_going(ledger: Ledger, server: str) -> None:
    making, first = Making(held_at=1), Told()
    runs = RedisRuns(server, SMALL, HASTY, LOCK_S)
    async with runs.opened():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, runs, making, CLAIM, first)
            await first.begun.wait()
            assert (await ledger.claim(DEAD))[0] == "running"
            tasks.cancel_scope.cancel()
        await making.until(lambda making: making.running == 0)

    assert (await ledger.claim(DEAD))[0] == "new"


async def test_a_run_that_lost_its_key_goes_on_for_its_own_readers(alive: RedisRuns, redis: Redis) -> None:
    making, first = Making(held_at=1), Told()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, alive, making, CLAIM, first)
        await first.begun.wait()
        redis.flushall()
        second = await ask(alive, Making(b"anew"))
        making.gate.set()
    third = await ask(alive, Making())

    assert (first.body, first.failure) == (WHOLE, None)
    assert (second.body, second.is_replayed) == (b"anew", False)
    assert (third.body, third.is_replayed) == (b"anew", True)


async def test_a_run_that_nobody_renews_is_renewed_by_itself(alive: RedisRuns, redis: Redis) -> None:
    making, first = Making(held_at=1), Told()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, alive, making, CLAIM, first)
        await first.begun.wait()
        [place] = [key for key in redis.scan_iter() if key.endswith(b":place")]
        for _ in range(3):
            redis.pexpire(place, 100)  # as if that much of its time had passed
            while 0 <= redis.pttl(place) <= 100:
                await anyio.lowlevel.checkpoint()
            assert redis.pttl(place) > 100
        making.gate.set()

    assert first.body == WHOLE


async def test_a_redis_that_is_gone_ends_no_answer_that_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    making, first = Making(held_at=1), Told()
    with redis_server(tmp_path_factory.mktemp("mortal")) as url:
        runs = RedisRuns(url, SMALL, LASTING, LOCK_S)
        opened = runs.opened()
        await opened.__aenter__()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, runs, making, CLAIM, first)
            await first.begun.wait()
            with Redis.from_url(url) as client:
                client.shutdown(nosave=True)
            late = await ask(runs, Making())
            making.gate.set()
    await opened.__aexit__(None, None, None)

    assert (first.body, first.failure) == (WHOLE, None)
    assert type(late.failure) is ServiceUnavailable
    assert late.failure.retry_after_ms == 1000


async def test_without_its_redis_an_answer_that_nobody_reads_ends_and_who_follows_one_hears_of_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    making, first, second = Making(held_at=1), Told(), Told()
    with redis_server(tmp_path_factory.mktemp("mortal")) as url:
        one, other = (RedisRuns(url, SMALL, HASTY, LOCK_S) for _ in range(2))
        async with one.opened(), other.opened(), anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(ask, one, making, CLAIM, first)
                await first.begun.wait()
                tasks.start_soon(ask, other, making, CLAIM, second)
                await second.begun.wait()
                with Redis.from_url(url) as client:
                    client.shutdown(nosave=True)
                leaving.cancel_scope.cancel()
            await making.until(lambda making: making.running == 0)

    assert (second.body, type(second.failure)) == (b"one ", ServiceUnavailable)


async def test_no_more_runs_are_followed_at_once_than_may(ledger: Ledger, server: str) -> None:
    claims = [Claim(name, "fingerprint") for name in "ab"]
    for claim in claims:
        await ledger.claim(Place(claim.key, claim.fingerprint, f"dead-{claim.key}"))
    runs = RedisRuns(server, IdempotencyParams(max_running=1), LASTING, LOCK_S)
    async with runs.opened(), runs.reading(claims[0], Making()):
        refused = await ask(runs, Making(), claims[1])

    assert type(refused.failure) is Overloaded


async def test_a_key_that_this_replica_could_not_give_back_is_refused_for_a_while(
    alive: RedisRuns, redis: Redis
) -> None:
    await ask(alive, Making())
    [place] = [key for key in redis.scan_iter() if key.endswith(b":place")]
    kept = redis.get(place)
    assert isinstance(kept, bytes)
    redis.set(place, kept.replace(b":done", b":running"), px=1000)

    refused = await ask(alive, Making())
    redis.delete(place)
    sound = await ask(alive, Making())

    assert (type(refused.failure), sound.body) == (ServiceUnavailable, WHOLE)


async def test_an_answer_that_could_not_be_written_down_is_told_and_not_kept(alive: RedisRuns, redis: Redis) -> None:
    making, first = Making(held_at=1), Told()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, alive, making, CLAIM, first)
        await first.begun.wait()
        while not (events := [key for key in redis.scan_iter() if b":events:" in key]):
            await anyio.lowlevel.checkpoint()
        redis.set(events[0], "nothing can be added to this", px=1000)
        making.gate.set()
    second = await ask(alive, Making(b"anew"))

    assert (first.body, first.failure) == (WHOLE, None)
    assert (second.body, second.is_replayed) == (b"anew", False)


async def test_everything_that_is_written_expires(alive: RedisRuns, ledger: Ledger, redis: Redis) -> None:
    making, first = Making(held_at=1), Told()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, alive, making, CLAIM, first)
        await first.begun.wait()
        await ledger.claim(DEAD)
        [place] = [key for key in redis.scan_iter() if key.endswith(b":place")]
        held = redis.get(place)
        assert isinstance(held, bytes)
        await ledger.stay(CLAIM.key, held.decode().split(":")[1])
        await alive.dismiss(CLAIM.key)
        running = {key: redis.pttl(key) for key in redis.scan_iter()}
        making.gate.set()
    await ask(alive, Making(failure=InternalError("m")), Claim("other", "fingerprint"))
    done = {key: redis.pttl(key) for key in redis.scan_iter()}

    assert {key.rsplit(b"}:", 1)[1].split(b":")[0] for key in running} == {b"place", b"events", b"joined"}
    assert all(0 < ttl_ms <= 400 for ttl_ms in running.values())
    assert len(done) >= 3
    assert all(0 < ttl_ms <= 610_000 for ttl_ms in done.values())
    assert b"one" not in b"".join(done)


async def test_a_step_may_be_taken_twice(ledger: Ledger) -> None:
    for _ in range(2):
        assert await ledger.claim(DEAD) == ("new", DEAD.token)
    for number in (1, 1, 2, 2, 1):
        assert await ledger.append(DEAD, number, b"%d" % number)
    for _ in range(2):
        assert await ledger.complete(DEAD)

    written = await ledger.read(DEAD.key, DEAD.token, b"0", 0)

    assert written is not None
    assert (written.pieces, written.is_end, written.failure) == (b"12", True, None)
    assert await ledger.claim(Place(DEAD.key, DEAD.fingerprint, "another")) == ("done", DEAD.token)


async def test_a_dismissed_run_may_still_write_for_those_who_read_it_and_frees_its_key(ledger: Ledger) -> None:
    reader, anew = Ledger(ledger._client, "reader", LOCK_S, 600), Place(DEAD.key, DEAD.fingerprint, "dead-2")
    await ledger.claim(DEAD)
    await reader.claim(anew)  # finds it running, so it counts as one that reads it
    assert [await ledger.dismiss(DEAD.key) for _ in range(2)] == [DEAD.token, ""]
    assert await ledger.claim(anew) == ("new", anew.token)

    for _ in range(2):
        assert await ledger.append(DEAD, 1, b"one") is Right.DISMISSED
        assert await ledger.renew(DEAD) is Right.DISMISSED
        assert await reader.stay(DEAD.key, DEAD.token)
    assert not await ledger.abandon_unread(DEAD, InternalError("m"))
    assert await ledger.renew(anew) is Right.HELD
    for _ in range(2):
        assert await ledger.complete(DEAD) is Right.DISMISSED
    written = await reader.read(DEAD.key, DEAD.token, b"0", 0)

    assert written is not None
    assert (written.pieces, written.is_end) == (b"one", True)
    assert await ledger.claim(anew) == ("new", anew.token)


async def test_a_dismissed_run_of_a_replica_that_died_frees_itself_too(ledger: Ledger, alive: RedisRuns) -> None:
    await ledger.claim(DEAD)
    await ledger.append(DEAD, 1, b"one ")
    told = Told()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, alive, Making(b"never"), CLAIM, told)
        await told.begun.wait()
        await ledger.dismiss(DEAD.key)

    assert (told.body, type(told.failure)) == (b"one ", ServiceUnavailable)
    assert await ledger.renew(DEAD) is Right.LOST


async def test_who_leaves_a_dismissed_run_is_not_signed_off_from_the_one_that_has_its_key(ledger: Ledger) -> None:
    reader, anew = Ledger(ledger._client, "reader", LOCK_S, 600), Place(DEAD.key, DEAD.fingerprint, "dead-2")
    await ledger.claim(DEAD)
    await reader.claim(anew)
    await ledger.dismiss(DEAD.key)
    await ledger.claim(anew)
    await reader.claim(DEAD)

    await reader.leave(DEAD.key, DEAD.token)

    assert not await ledger.abandon_unread(anew, InternalError("m"))
    assert await ledger.abandon_unread(DEAD, InternalError("m"))
    assert await ledger.renew(DEAD) is Right.LOST


async def test_a_failure_of_a_kind_that_is_not_known_is_an_internal_error(
    ledger: Ledger, alive: RedisRuns, redis: Redis
) -> None:
    await ledger.claim(DEAD)
    await ledger.append(DEAD, 1, b"one ")
    [events] = [key for key in redis.scan_iter() if b":events:" in key]
    redis.xadd(events, {"failure": '["from_a_newer_replica", "Something.", "llm", null, 5]'})

    told = await ask(alive, Making())

    assert (told.body, type(told.failure)) == (b"one ", InternalError)
    assert told.failure is not None
    assert (told.failure.message, told.failure.retry_after_ms) == ("Something.", 5)


async def test_neither_the_address_nor_what_is_asked_is_in_an_error() -> None:
    async with connected("redis://:s3cret@127.0.0.1:1/0", 10) as client:
        with pytest.raises(ServiceUnavailable) as raised:
            await Ledger(client, "replica", LOCK_S, 600).claim(DEAD)

    assert "s3cret" not in raised.value.message
    assert raised.value.__cause__ is None
