"""Watch the services: who asks knows at once which is ready, and sessions are told when one goes away.

A turn may need nothing of a service at the moment in which it dies (the answer is written and still being spoken), so
no call would fail; its next turn would. A look at each service twice a second tells the person before.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import anyio
import httpx

from shared.health import READY, Check

EVERY_S = 0.5
TIMEOUT_S = 1.0
SILENT = "does not answer"
LOADING = "is still loading"

Listener = Callable[[str], None]


class ServiceWatch:
    """The last known state of each service, by name."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = {name: url.replace("ws", "http", 1) if url.startswith("ws") else url for name, url in urls.items()}
        self._states = dict.fromkeys(urls, LOADING)
        self._listeners: set[Listener] = set()

    def check(self, name: str) -> Check:
        """The state of one service, for /ready."""

        async def state() -> str:
            return self._states[name]

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
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as http:
            while True:
                async with anyio.create_task_group() as tasks:
                    for name in self._urls:
                        tasks.start_soon(self._look, http, name)
                await anyio.sleep(EVERY_S)

    async def _look(self, http: httpx.AsyncClient, name: str) -> None:
        before = self._states[name]
        try:
            answer = await http.get(f"{self._urls[name]}/ready")
            self._states[name] = READY if answer.status_code == 200 else LOADING
        except httpx.HTTPError:
            self._states[name] = SILENT
        if self._states[name] == SILENT and before == READY:
            for listener in list(self._listeners):
                listener(name)
