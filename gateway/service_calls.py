"""One HTTP request to a service: its least busy ready replica is asked, and another one when that cannot be reached.

A connection serves one request. So whatever fails before the connection stands has sent nothing, and may be asked of
somebody else; whatever fails later may have been done, and is told to who asked. Leaving the answer closes it, which
ends the work at the service.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import httpx
from fastapi import APIRouter, FastAPI

from gateway.house import House
from gateway.replicas import Replicas, over_http
from shared.errors import (
    EngineFailed,
    InternalError,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
    Unsupported,
    leaves,
)

RETRY_AFTER_MS: Final = 2_000
SILENCE_S: Final = 120.0
WRITE_S: Final = 60.0
FAREWELL_S: Final = 1.0
BUSY: Final = (429, 503)


@dataclass(frozen=True, slots=True)
class Service:
    """One of the services: its name, what it is called in errors, and in a sentence."""

    name: str
    short: str
    called: str


ASR: Final = Service("asr_service", "asr", "Speech recognition")
LLM: Final = Service("llm_service", "llm", "The language model")
TTS: Final = Service("tts_service", "tts", "The speech service")


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """What is asked. `path` is encoded; the service may stay silent for `silence_s`."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)  # as httpx takes it: content, json, data, files
    silence_s: float = SILENCE_S


class ServiceCalls:
    """The connections to all services."""

    def __init__(self) -> None:
        self._http: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def opened(self, _: object) -> AsyncIterator[None]:
        """Requests can be made inside the block."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(trust_env=False, limits=limits) as self._http:
            yield

    @asynccontextmanager
    async def asked(self, house: House, service: Service, request: ServiceRequest) -> AsyncIterator[httpx.Response]:
        """The answer, its body unread. Raises typed errors, also for what breaks while it is read inside the block."""
        replicas = replicas_of(house, service)
        failed: set[str] = set()
        while True:
            with replicas.taken(failed) as address:
                if address is None:
                    raise _gone(service)
                response = await self._reached(replicas, address, service, house.settings.connect_timeout_s, request)
                if response is not None:
                    try:
                        with _as_ours(service, replicas, address):
                            yield response
                        return
                    finally:
                        with anyio.CancelScope(shield=True):
                            await response.aclose()
                failed.add(address)

    async def _reached(
        self, replicas: Replicas, address: str, service: Service, connect_timeout_s: float, request: ServiceRequest
    ) -> httpx.Response | None:
        """The head of the answer; None when there is no connection to be had."""
        assert self._http is not None, "the connections were not opened"
        timeout = httpx.Timeout(request.silence_s, connect=connect_timeout_s, write=WRITE_S)
        asked = self._http.build_request(
            request.method, over_http(address) + request.path, headers=request.headers, timeout=timeout, **request.body
        )
        try:
            with _as_ours(service, replicas, address):
                response = await self._http.send(asked, stream=True)
        except ConnectionRefusedError:
            return None
        if response.status_code in BUSY:
            replicas.refuse(address)
        return response


def calls_of(app: FastAPI) -> ServiceCalls:
    """Those of an app; they are opened and closed with it."""
    calls: ServiceCalls | None = getattr(app.state, "service_calls", None)
    if calls is None:
        calls = app.state.service_calls = ServiceCalls()
        app.include_router(APIRouter(lifespan=calls.opened))
    return calls


def replicas_of(house: House, service: Service) -> Replicas:
    """Those that are watched."""
    settings = house.settings
    urls = {ASR: settings.asr_url, LLM: settings.llm_url, TTS: settings.tts_url}
    return house.watch.replicas(service.name, urls[service])


def is_on(house: House, service: Service) -> bool:
    """Whether the operator lets the gateway use a service at all."""
    settings = house.settings
    return {LLM: settings.llm_enabled, TTS: settings.tts_enabled}.get(service, True)


def check_on(house: House, service: Service) -> None:
    """Raises Unsupported where the operator has switched a service off."""
    if not is_on(house, service):
        raise Unsupported(f"{service.called} is switched off here.", service=service.short)


async def refusal_of(service: Service, response: httpx.Response) -> ParleyError:
    """The error that a service answered with, as our own."""
    try:
        told = json.loads(await response.aread())["error"]
        kind = {leaf.code: leaf for leaf in leaves()}[told["code"]]
        message, param = str(told["message"]), told.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        return EngineFailed(f"{service.called} refused the request.", service=service.short)
    if issubclass(kind, InternalError):
        return EngineFailed(f"{service.called} failed.", service=service.short)
    after_s = response.headers.get("retry-after", "")
    after_ms = int(after_s) * 1000 if after_s.isdigit() and len(after_s) < 6 else None
    return kind(message, service=service.short, param=param, retry_after_ms=after_ms)


def stopping() -> ServiceUnavailable:
    """What somebody is told who was told a part when the gateway ends."""
    return ServiceUnavailable("The service is stopping.", service="gateway", retry_after_ms=RETRY_AFTER_MS)


@contextmanager
def _as_ours(service: Service, replicas: Replicas, address: str) -> Iterator[None]:
    """Failures of the transport in our words; ConnectionRefusedError when nothing was sent."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout):
        replicas.lose(address)
        raise ConnectionRefusedError from None
    except httpx.TimeoutException:
        raise ServiceTimeout(f"{service.called} answers too late.", service=service.short) from None
    except httpx.HTTPError:
        replicas.lose(address)
        raise _gone(service) from None


def _gone(service: Service) -> ServiceUnavailable:
    message = f"{service.called} cannot be reached."
    return ServiceUnavailable(message, service=service.short, retry_after_ms=RETRY_AFTER_MS)
