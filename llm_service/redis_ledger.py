"""What several replicas write down in one Redis about the answers that they make: who has a key, and what was made.

Of each key there are three values, which share a hash slot: the *place* (`fingerprint:token:running` or `…:done`), the
*events* of the run with that token (a stream: pieces, then the end or a failure) and the *joined*, replicas that read
it; one that died there goes with the last that lives. The token fences: whatever a run writes is refused once the place
is no longer its. Every value expires by Redis's own clock, the place of a run that nobody renews too, so what a dead
replica leaves behind frees itself. Each step is one script, and repeating it changes nothing, so a step may be tried
again when its answer was lost.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
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
_STAY = """
local place = redis.call('GET', KEYS[1])
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if place and string.match(place, '^.-:(.-):.-$') == ARGV[1] then return 1 end
return 0
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
"""
_APPEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local id = ARGV[2] .. '-1'
if #redis.call('XRANGE', KEYS[2], id, id) == 0 then redis.call('XADD', KEYS[2], id, 'piece', ARGV[3]) end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
"""
_COMPLETE = """
local place = redis.call('GET', KEYS[1])
if place == ARGV[2] then return 1 end
if place ~= ARGV[1] then return 0 end
redis.call('XADD', KEYS[2], '*', 'end', '')
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3] + 10000)
return 1
"""
_ABANDON = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
if ARGV[4] == 'unread' then
  redis.call('SREM', KEYS[3], ARGV[5])
  if redis.call('SCARD', KEYS[3]) > 0 then return 0 end
end
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('XADD', KEYS[2], '*', 'failure', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
"""
_DISMISS = """
local place = redis.call('GET', KEYS[1])
if not place then return '' end
local token, state = string.match(place, '^.-:(.-):(.-)$')
if state ~= 'running' then return '' end
redis.call('DEL', KEYS[1])
return token
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The right of one run to a key."""

    key: str
    fingerprint: str
    token: str

    @property
    def running(self) -> str:
        return f"{self.fingerprint}:{self.token}:running"

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

    async def renew(self, place: Place) -> bool:
        """Whether the key is still the run's; if so, for a while longer."""
        keys = [_place(place.key), _events(place.key, place.token)]
        return bool(await self._run(_RENEW, keys, [place.running, self._lock_ms, 2 * self._lock_ms]))

    async def append(self, place: Place, number: int, pieces: bytes) -> bool:
        """Write down more of the answer, numbered from 1; False when the key is no longer the run's."""
        keys = [_place(place.key), _events(place.key, place.token)]
        return bool(await self._run(_APPEND, keys, [place.running, number, pieces, 2 * self._lock_ms]))

    async def complete(self, place: Place) -> bool:
        """The answer is whole: keep it; False when the key is no longer the run's."""
        keys = [_place(place.key), _events(place.key, place.token)]
        return bool(await self._run(_COMPLETE, keys, [place.running, place.done, self._life_ms]))

    async def abandon(self, place: Place, failure: ParleyError) -> None:
        """Free the key, and tell those who wait why."""
        await self._abandon(place, failure, "always")

    async def abandon_unread(self, place: Place, failure: ParleyError) -> bool:
        """Free the key unless another replica reads the run; False if one does."""
        return bool(await self._abandon(place, failure, "unread"))

    async def stay(self, key: str, token: str) -> bool:
        """Say that this replica still reads a run. Whether the key is still that run's."""
        args = [token, self._replica, self._lock_ms]
        return bool(await self._run(_STAY, [_place(key), _joined(key)], args))

    async def leave(self, key: str) -> None:
        """Say that this replica reads it no more."""
        with _typed():
            await self._client.srem(_joined(key), self._replica)

    async def dismiss(self, key: str) -> str:
        """Free the key of a run that goes on; the token of the run, or nothing."""
        token: bytes = await self._run(_DISMISS, [_place(key)], [])
        return token.decode()

    async def read(self, key: str, token: str, after: bytes, wait_s: float) -> Written | None:
        """What a run wrote after that, waited for at most so long; None if nothing."""
        with _typed():
            with anyio.fail_after(wait_s + _STEP_S):
                found: Any = await self._client.xread(
                    {_events(key, token): after}, count=100, block=max(1, round(1000 * wait_s))
                )
        return _written(found)

    async def _abandon(self, place: Place, failure: ParleyError, when: str) -> Any:
        keys = [_place(place.key), _events(place.key, place.token), _joined(place.key)]
        return await self._run(_ABANDON, keys, [place.running, _told(failure), _FAILURE_LIFE_MS, when, self._replica])

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
