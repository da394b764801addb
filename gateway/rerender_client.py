"""Have a text spoken again by the finer engine of a tts_service, and wait until that is done.

What waits is known to the replica alone that was asked, so one replica is asked, looked at and fetched from. When it
fails, another one is asked; where there is no other, the same one after a pause that doubles. A rendering that this
asked for is dropped where it was made as soon as it is fetched or given up: nothing of a conversation stays behind, and
nobody goes on making what nobody waits for. A cancel leaves it there.
"""

import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import anyio
import httpx
from pydantic import BaseModel, Field, ValidationError

from gateway.replicas import Replicas
from shared.pcm import BYTES_PER_SAMPLE, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE

MOST_BYTES: Final = 32 * 1024 * 1024  # of a rendering: eleven minutes at 24 kHz
SILENCE_S: Final = 30.0
DROP_S: Final = 5.0
_UNSUPPORTED: Final = "unsupported"
_PASSING: Final = (404, 408, 409, 429)  # of those that refuse: another time, or elsewhere, it may be different


@dataclass(frozen=True, slots=True)
class RerenderParams:
    """How patient it is."""

    look_every_s: float = 1.0
    first_pause_s: float = 5.0
    tries: int = 5
    give_up_s: float = 900.0  # one try


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be spoken, how, and for which message."""

    message_id: str
    text: str = field(repr=False)
    voice: str | None
    language: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A WAV of PCM16, and its segments: the text of each and the sample at which it begins."""

    wav: bytes = field(repr=False)
    sample_rate: int
    total_samples: int
    segments: tuple[tuple[str, int], ...] = field(repr=False)


class NotRendered(Exception):
    """It was not made. `outcome`: no_engine, refused, failed, unreachable, late; `may_pass`: trying again can help."""

    def __init__(self, outcome: str, *, may_pass: bool) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.may_pass = may_pass


class _Segment(BaseModel):
    text: str = Field(repr=False)
    start_samples: int = Field(ge=0)


class _Failure(BaseModel):
    retryable: bool = False


class _Rerender(BaseModel):
    """What the service says of it."""

    id: str = Field(pattern=r"^[0-9A-Za-z_-]{1,128}$")
    state: Literal["waiting", "running", "done", "failed"]
    sample_rate: int | None = Field(None, ge=MIN_SAMPLE_RATE, le=MAX_SAMPLE_RATE)
    total_samples: int | None = Field(None, ge=0)
    segments: list[_Segment] | None = None
    error: _Failure | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: bytes


class RerenderClient:
    """The finer engines of all replicas."""

    def __init__(self, replicas: Replicas, connect_timeout_s: float, params: RerenderParams | None = None) -> None:
        self._replicas = replicas
        self._timeout = httpx.Timeout(SILENCE_S, connect=connect_timeout_s)
        self._params = params or RerenderParams()
        self._http: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """It can be asked inside the block."""
        async with httpx.AsyncClient(trust_env=False, timeout=self._timeout) as self._http:
            yield

    async def make(self, wanted: Wanted) -> Rendered:
        """The rendering, which may take minutes. Raises NotRendered."""
        pause_s = self._params.first_pause_s
        without, failed = set[str](), set[str]()
        failure = NotRendered("unreachable", may_pass=True)
        for _ in range(self._params.tries):
            if len(without) >= len(self._replicas):
                raise NotRendered("no_engine", may_pass=False)
            address = self._choose(without | failed)
            if address is None:
                await anyio.sleep(pause_s)
                pause_s, failed = 2 * pause_s, set()
                address = self._choose(without)
            if address is None:
                continue
            try:
                return await self._try(address, wanted)
            except NotRendered as why:
                failure = why
                if why.outcome != "no_engine" and not why.may_pass:
                    raise
                (without if why.outcome == "no_engine" else failed).add(address)
        raise failure

    def _choose(self, besides: set[str]) -> str | None:
        """The least busy. It is not held: waiting for it is no work of its."""
        with self._replicas.taken(besides) as address:
            return address

    async def _try(self, address: str, wanted: Wanted) -> Rendered:
        body = {"message_id": wanted.message_id, "text": wanted.text, "language": wanted.language}
        if wanted.voice:
            body["voice"] = wanted.voice
        answer = await self._asked("POST", address, "", json=body)
        found = _read(answer)
        try:
            with anyio.fail_after(self._params.give_up_s):
                return await self._fetched(address, found)
        except TimeoutError:
            raise NotRendered("late", may_pass=False) from None
        finally:
            if answer.status == httpx.codes.ACCEPTED:  # what was there before is somebody else's
                await self._drop(address, found.id)

    async def _fetched(self, address: str, found: _Rerender) -> Rendered:
        while found.state in ("waiting", "running"):
            await anyio.sleep(self._params.look_every_s)
            found = _read(await self._asked("GET", address, f"/{found.id}"))
        if found.state == "failed":
            raise NotRendered("failed", may_pass=found.error is None or found.error.retryable)
        return _rendered(found, (await self._asked("GET", address, f"/{found.id}/audio")).content)

    async def _drop(self, address: str, key: str) -> None:
        """Whatever comes of it: what is left there goes when its place is needed."""
        with anyio.move_on_after(DROP_S), suppress(NotRendered):
            await self._asked("DELETE", address, f"/{key}")

    async def _asked(self, method: str, address: str, path: str, **body: Any) -> _Answer:
        """The answer, if it is a good one. Raises NotRendered."""
        assert self._http is not None, "the client was not opened"
        base = address.replace("ws", "http", 1) if address.startswith("ws") else address
        content = bytearray()
        try:
            async with self._http.stream(method, f"{base}/v1/rerenders{path}", **body) as response:
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MOST_BYTES:
                        raise NotRendered("refused", may_pass=False)
        except httpx.HTTPError as failure:
            if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout):
                self._replicas.lose(address)
            raise NotRendered("unreachable", may_pass=True) from None
        answer = _Answer(response.status_code, bytes(content))
        if response.is_success:
            return answer
        if response.is_server_error or response.status_code in _PASSING:
            raise NotRendered("failed", may_pass=True)
        is_without = _code(answer) == _UNSUPPORTED
        raise NotRendered("no_engine" if is_without else "refused", may_pass=False)


def _code(answer: _Answer) -> str:
    try:
        return str(json.loads(answer.content)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _read(answer: _Answer) -> _Rerender:
    try:
        return _Rerender.model_validate_json(answer.content)
    except ValidationError:
        raise NotRendered("failed", may_pass=True) from None


def _rendered(found: _Rerender, content: bytes) -> Rendered:
    """Raises NotRendered for a sound that is not what was told of it."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            rate, samples = file.getframerate(), file.getnframes()
            is_plain = (file.getnchannels(), file.getsampwidth()) == (1, BYTES_PER_SAMPLE)
    except (wave.Error, EOFError):
        raise NotRendered("failed", may_pass=True) from None
    if not is_plain or not samples or (rate, samples) != (found.sample_rate, found.total_samples):
        raise NotRendered("failed", may_pass=True)
    segments = tuple((one.text, one.start_samples) for one in found.segments or ())
    return Rendered(content, rate, samples, segments)
