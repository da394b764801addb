"""Keep one serving child process alive: start it, ask for its health, start it again when it ends or falls silent.

What the child is comes from outside (`Spawn`, `Probe`), how long to wait from `core/restart.py`. Each life has a key
and an address of its own, so nothing of an older life can be reached by mistake. `target` is where the living child
answers, or None from the moment it is known to be down.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from llm_service.core.restart import BackOff, BackOffParams
from llm_service.engines.base import Target
from shared.clock import now_s
from shared.health import READY
from shared.metrics import ENGINE_RESTARTS

log = logging.getLogger(__name__)


class Process(Protocol):
    """What the supervisor needs of a child."""

    @property
    def pid(self) -> int: ...
    @property
    def last_words(self) -> list[str]: ...
    async def address(self) -> str: ...
    async def ended(self) -> int: ...
    def serves(self) -> None: ...
    def kill(self) -> None: ...


Spawn = Callable[[str], AbstractAsyncContextManager[Process]]  # the key of this life → the child, inside a block
Probe = Callable[[str], Awaitable[bool]]  # its address → whether it is healthy


@dataclass(frozen=True, slots=True)
class Vigilance:
    """How closely the child is watched, in seconds; `strikes` failed looks in a row are a silence."""

    load_timeout_s: float = 120.0
    first_look_every_s: float = 0.05
    look_every_s: float = 1.0
    look_timeout_s: float = 2.0
    strikes: int = 5
    back_off: BackOffParams = field(default_factory=BackOffParams)


class Supervisor:
    """One child at a time, for as long as `running` lasts."""

    def __init__(self, name: str, spawn: Spawn, probe: Probe, vigilance: Vigilance) -> None:
        self._name = name
        self._spawn = spawn
        self._probe = probe
        self._vigilance = vigilance
        self._back_off = BackOff(vigilance.back_off)
        self._target: Target | None = None
        self._is_up = anyio.Event()
        self.pid: int | None = None
        self.state = "has not been started"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the child alive inside the block; it has ended when the block is left."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._supervise, name="supervisor")
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def target(self, within_s: float) -> Target | None:
        """Where the child answers, waited for at most so long."""
        with anyio.move_on_after(within_s):
            await self._is_up.wait()
        return self._target

    async def _supervise(self) -> None:
        while True:
            self.state = "is starting"
            try:
                status, words = await self._live_once()
            except OSError as failure:
                status, words = failure.errno, ["the program could not be started"]
            finally:
                self._come_down("is stopped")
            wait_s = self._back_off.ended(now_s())
            self.state = f"ended with status {status} and is started again"
            ENGINE_RESTARTS.labels("llm", self._name).inc()
            log.warning(
                "the model's server ended and is started again",
                extra={"engine": self._name, "status": status, "wait_s": wait_s, "last_words": words},
            )
            await anyio.sleep(wait_s)

    async def _live_once(self) -> tuple[int | None, list[str]]:
        """One life of the child: its exit status and its last words."""
        key = secrets.token_urlsafe(32)
        async with self._spawn(key) as child:
            self.pid = child.pid
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, child, key, name="watch")
                status = await child.ended()
                tasks.cancel_scope.cancel()
        return status, child.last_words

    async def _watch(self, child: Process, key: str) -> None:
        """Wait for its first health, then look after it; kill it when it does not load or falls silent."""
        with anyio.move_on_after(self._vigilance.load_timeout_s) as loading:
            address = await child.address()
            await self._until_healthy(address)
            child.serves()
            self._come_up(Target(f"{address}/v1", {"Authorization": f"Bearer {key}"}))
        if loading.cancelled_caught:
            log.error("the model was not loaded in time", extra={"engine": self._name})
        else:
            await self._until_silent(address)
            log.error("the model's server fell silent", extra={"engine": self._name})
        self._come_down("fell silent")
        child.kill()

    async def _until_healthy(self, address: str) -> None:
        while True:
            if await self._is_healthy(address):
                return
            await anyio.sleep(self._vigilance.first_look_every_s)

    async def _until_silent(self, address: str) -> None:
        strikes = 0
        while strikes < self._vigilance.strikes:
            await anyio.sleep(self._vigilance.look_every_s)
            strikes = 0 if await self._is_healthy(address) else strikes + 1

    async def _is_healthy(self, address: str) -> bool:
        with anyio.move_on_after(self._vigilance.look_timeout_s):
            return await self._probe(address)
        return False

    def _come_up(self, target: Target) -> None:
        self._back_off.ready(now_s())
        self._target = target
        self.state = READY
        self._is_up.set()
        log.info("the model's server is ready", extra={"engine": self._name, "pid": self.pid})

    def _come_down(self, state: str) -> None:
        self._target = None
        self.state = state
        if self._is_up.is_set():
            self._is_up = anyio.Event()
