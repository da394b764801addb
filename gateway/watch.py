"""Watch the replicas of the services: who asks knows at once which are ready, and sessions are told of an outage.

A turn may need nothing of a service at the moment in which it dies (the answer is written and still being spoken), so
no call would fail; its next turn would. A look at each replica twice a second tells the person before. A replica that
is out is looked at when its wait is over, and that is how it comes back.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import anyio
import httpx

from gateway.core.replica_choice import Condition
from gateway.replicas import Replicas, over_http
from shared.health import READY, Check

EVERY_S = 0.5
FIND_EVERY_S = 2.0
TIMEOUT_S = 1.0
SILENT = "does not answer"
LOADING = "is still loading"

Listener = Callable[[str], None]


class ServiceWatch:
    """The last known state of each service, by name. A service is as well as the best of its replicas."""

    def __init__(self, services: Iterable[Replicas]) -> None:
        self._services = {replicas.service: replicas for replicas in services}
        self._were_ready: set[str] = set()
        self._listeners: set[Listener] = set()

    @property
    def names(self) -> list[str]:
        """The services that are watched."""
        return list(self._services)

    def replicas(self, name: str, urls: str) -> Replicas:
        """The replicas of a service; where it is not watched, those at the URLs, of which nothing is known."""
        return self._services.get(name) or Replicas(name, urls)

    def check(self, name: str) -> Check:
        """The state of one service, for /ready."""

        async def state() -> str:
            return _state(self._services[name])

        return state

    @contextmanager
    def told(self, listener: Listener) -> Iterator[None]:
        """Call `listener` with the name of a service that stops answering, while inside the block."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    async def run(self) -> None:
        """Look until cancelled."""
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as http, anyio.create_task_group() as tasks:
            tasks.start_soon(self._find)
            while True:
                await self._look(http)
                await anyio.sleep(EVERY_S)

    async def _find(self) -> None:
        """Names may mean other machines than they did."""
        while True:
            for replicas in self._services.values():
                await replicas.find()
            await anyio.sleep(FIND_EVERY_S)

    async def _look(self, http: httpx.AsyncClient) -> None:
        async with anyio.create_task_group() as tasks:
            for replicas in self._services.values():
                for address in replicas.due():
                    tasks.start_soon(_look_at, http, replicas, address)
        for name, replicas in self._services.items():
            self._tell(name, set(replicas.conditions.values()))

    def _tell(self, name: str, conditions: set[Condition]) -> None:
        """An outage, once: the service was ready, and now none of its replicas answers."""
        if Condition.READY in conditions:
            self._were_ready.add(name)
        elif conditions == {Condition.SILENT} and name in self._were_ready:
            self._were_ready.discard(name)
            for listener in list(self._listeners):
                listener(name)


async def _look_at(http: httpx.AsyncClient, replicas: Replicas, address: str) -> None:
    try:
        answer = await http.get(f"{over_http(address)}/ready")
        replicas.see(address, Condition.READY if answer.status_code == 200 else Condition.LOADING)
    except (httpx.HTTPError, httpx.InvalidURL):
        replicas.see(address, Condition.SILENT)


def _state(replicas: Replicas) -> str:
    conditions = set(replicas.conditions.values())
    if Condition.READY in conditions:
        return READY
    return LOADING if conditions & {Condition.LOADING, Condition.UNKNOWN} else SILENT
