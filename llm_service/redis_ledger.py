"""What several replicas write down in one Redis about the answers that they make: who has a key, and what was made.

Of each key there are three values, which share a hash slot: the *place* (`fingerprint:token:running` or `…:done`), the
*events* of the run with that token (a stream: pieces, then the end or a failure) and the *joined*, replicas that read
it; one that died there goes with the last that lives. Dismissing a run puts its place and its joined *aside*, under
names with its token: the key is free, and the run goes on for who reads it. The token fences: whatever a run writes is
refused once no place is its. Every value expires by Redis's own clock, the place of a run that nobody renews too, so
what a dead replica leaves behind frees itself. Each step is one script, and repeating it changes nothing, so a step may
be tried again when its answer was lost.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, cast

import anyio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from llm_service.upstream import RETRY_AFTER_MS, SERVICE
from shared.errors import InternalError, ParleyError, ServiceUnavailable, leaves

Claimed = Literal["new", "running", "done", "conflict"]
_STEP_S = 5.0  # the longest that one step may take
_FAILURE_LIFE_MS = 30_000  # long enough for every replica that waits to read why

_CLAIM = """
local place = redis.call('GET', KEYS[1])
if not place then
  redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2] .. ':running', 'NX', 'PX', ARGV[4])
  redis.call('DEL', KEYS[2])
  return {'new', ARGV[2]}
end
local fingerprint, token, state = string.match(place, '^(.-):(.-):(.-)$')
if fingerprint ~= ARGV[1] then return {'conflict', token} end
if token == ARGV[2] and state == 'running' then return {'new', token} end
if state == 'running' then
  redis.call('SADD', KEYS[2], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return {state, token}
"""
# Where the run with the token ARGV[1] stands: KEYS are the place, its joined and the same two aside, then the events.
_STANDING = """
local function stands(key)
  local value = redis.call('GET', key)
  local token, state = string.match(value or '', '^.-:(.-):(.-)$')
  return token == ARGV[1] and state
end
local at, state = 1, stands(KEYS[1])
if not state then at, state = 3, stands(KEYS[3]) end
local place, joined, events, right = KEYS[at], KEYS[at + 1], KEYS[5], at == 1 and 1 or 2
"""
_STAY = """
if not state then return 0 end
redis.call('SADD', joined, ARGV[2])
redis.call('PEXPIRE', joined, ARGV[3])
return right
"""
_LEAVE = """
if state then redis.call('SREM', joined, ARGV[2]) end
return 1
"""
_RENEW = """
if state ~= 'running' then return 0 end
redis.call('PEXPIRE', place, ARGV[2])
redis.call('PEXPIRE', events, ARGV[3])
return right
"""
_APPEND = """
if state ~= 'running' then return 0 end
local id = ARGV[2] .. '-1'
if #redis.call('XRANGE', events, id, id) == 0 then redis.call('XADD', events, id, 'piece', ARGV[3]) end
redis.call('PEXPIRE', events, ARGV[4])
return right
"""
_COMPLETE = """
if state == 'done' then return right end
if not state then return 0 end
local life = at == 1 and ARGV[3] or ARGV[4]
redis.call('XADD', events, '*', 'end', '')
redis.call('SET', place, ARGV[2], 'PX', life)
redis.call('PEXPIRE', events, life + 10000)
return right
"""
_ABANDON = """
if state ~= 'running' then return 1 end
if ARGV[4] == 'unread' then
  redis.call('SREM', joined, ARGV[5])
  if redis.call('SCARD', joined) > 0 then return 0 end
end
redis.call('DEL', place, joined)
redis.call('XADD', events, '*', 'failure', ARGV[2])
redis.call('PEXPIRE', events, ARGV[3])
return 1
"""
_DISMISS = """
if state ~= 'running' then return 0 end
if at == 1 then
  redis.call('RENAME', KEYS[1], KEYS[3])
  if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[4]) end
end
return 1
"""


class Right(IntEnum):
    """What a run may do: write nothing, write what the key is answered with, or write for those who read it already."""

    LOST = 0
    HELD = 1
    DISMISSED = 2


@dataclass(frozen=True, slots=True)
class Place:
    """The right of one run to a key."""

    key: str
    fingerprint: str
    token: str

    @property
    def done(self) -> str:
        return f"{self.fingerprint}:{self.token}:done"


@dataclass(frozen=True, slots=True)
class Written:
    """A part of what a run wrote: its pieces in one, whether it is whole with them, or why it is none."""

    last: bytes
    pieces: bytes = b""
    is_end: bool = False
    failure: ParleyError | None = None


class Ledger:
    """The steps, each of which raises ServiceUnavailable when Redis does not answer."""

    def __init__(self, client: Redis, replica: str, lock_s: float, life_s: float) -> None:
        self._client = client
        self._replica = replica
        self._lock_ms = round(1000 * lock_s)
        self._life_ms = round(1000 * life_s)

    async def ping(self) -> None:
        """Whether Redis answers, which is told by raising nothing."""
        with _typed(), anyio.fail_after(_STEP_S):
            await self._client.get(_place("ping"))

    async def claim(self, place: Place) -> tuple[Claimed, str]:
        """Who has the key now, and with which token; a replica that finds it running counts as one that reads it."""
        args = [place.fingerprint, place.token, self._replica, self._lock_ms]
        state, token = await self._run(_CLAIM, [_place(place.key), _joined(place.key)], args)
        return cast(Claimed, state.decode()), token.decode()

    async def renew(self, place: Place) -> Right:
        """For a while longer the run may write, if it still may."""
        return Right(await self._step(_RENEW, place.key, place.token, [self._lock_ms, 2 * self._lock_ms]))

    async def append(self, place: Place, number: int, pieces: bytes) -> Right:
        """Write down more of the answer, numbered from 1, unless the run may not any more."""
        args = [number, pieces, 2 * self._lock_ms]
        return Right(await self._step(_APPEND, place.key, place.token, args))

    async def complete(self, place: Place) -> Right:
        """The answer is whole: keep it, or of a dismissed one tell those who read it, unless the run may not."""
        args = [place.done, self._life_ms, _FAILURE_LIFE_MS]
        return Right(await self._step(_COMPLETE, place.key, place.token, args))

    async def abandon(self, place: Place, failure: ParleyError) -> None:
        """Free the key, and tell those who wait why."""
        await self._abandon(place, failure, "always")

    async def abandon_unread(self, place: Place, failure: ParleyError) -> bool:
        """Free the key unless another replica reads the run; False if one does."""
        return bool(await self._abandon(place, failure, "unread"))

    async def stay(self, key: str, token: str) -> bool:
        """Say that this replica still reads a run. Whether that run still stands, dismissed or not."""
        return bool(await self._step(_STAY, key, token, [self._replica, self._lock_ms]))

    async def leave(self, key: str, token: str) -> None:
        """Say that this replica reads a run no more."""
        await self._step(_LEAVE, key, token, [self._replica])

    async def dismiss(self, key: str) -> str:
        """Free the key of a run that goes on for who reads it; the run's token, or nothing when none goes on."""
        with _typed(), anyio.fail_after(_STEP_S):
            place = cast(bytes | None, await self._client.get(_place(key)))
        if place is None:
            return ""
        _, token, _ = place.decode().split(":")
        return token if await self._step(_DISMISS, key, token, []) else ""

    async def read(self, key: str, token: str, after: bytes, wait_s: float) -> Written | None:
        """What a run wrote after that, waited for at most so long; None if nothing."""
        with _typed():
            with anyio.fail_after(wait_s + _STEP_S):
                found: Any = await self._client.xread(
                    {_events(key, token): after}, count=100, block=max(1, round(1000 * wait_s))
                )
        return _written(found)

    async def _abandon(self, place: Place, failure: ParleyError, when: str) -> int:
        args = [_told(failure), _FAILURE_LIFE_MS, when, self._replica]
        return await self._step(_ABANDON, place.key, place.token, args)

    async def _step(self, script: str, key: str, token: str, args: list[Any]) -> int:
        """A step of the run with this token, wherever that stands."""
        aside = [f"{_place(key)}:{token}", f"{_joined(key)}:{token}"]
        keys = [_place(key), _joined(key), *aside, _events(key, token)]
        return cast(int, await self._run(_STANDING + script, keys, [token, *args]))

    async def _run(self, script: str, keys: list[str], args: list[Any]) -> Any:
        with _typed(), anyio.fail_after(_STEP_S):
            return await self._client.eval(script, len(keys), *keys, *args)


@asynccontextmanager
async def connected(url: str, most_connections: int) -> AsyncIterator[Redis]:
    """A client of the Redis at an address; it connects when it is first used."""
    client = Redis.from_url(
        url,
        max_connections=most_connections,
        socket_connect_timeout=2.0,
        socket_timeout=None,  # each step has its own limit, and a reader waits as long as it was told
        protocol=2,
        retry=Retry(NoBackoff(), 1),
    )
    try:
        yield client
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_STEP_S):
            await client.aclose()


@contextmanager
def _typed() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError):
        raise ServiceUnavailable(
            "The store of answers cannot be reached.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS
        ) from None


def _place(key: str) -> str:
    return f"parley:llm:{{{key}}}:place"


def _joined(key: str) -> str:
    return f"parley:llm:{{{key}}}:joined"


def _events(key: str, token: str) -> str:
    return f"parley:llm:{{{key}}}:events:{token}"


def _written(found: Any) -> Written | None:
    if not found:
        return None
    [[_, entries]] = found
    pieces = b"".join(fields.get(b"piece", b"") for _, fields in entries)
    last, fields = entries[-1]
    failure = _failure(fields[b"failure"]) if b"failure" in fields else None
    return Written(last, pieces, b"end" in fields, failure)


def _told(failure: ParleyError) -> str:
    return json.dumps([failure.code, failure.message, failure.service, failure.param, failure.retry_after_ms])


def _failure(told: bytes) -> ParleyError:
    code, message, service, param, retry_after_ms = json.loads(told)
    kind = next((leaf for leaf in leaves() if leaf.code == code), InternalError)
    return kind(message, service=service, param=param, retry_after_ms=retry_after_ms)
