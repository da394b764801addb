"""Tell a client which services it still waits for, and that each of them is there: a session that opens while a model
is being loaded is open, and what needs that model fails until it is ready."""

from collections.abc import Callable

import anyio

from gateway.watch import EVERY_S, LOADING, ServiceWatch
from shared.health import READY
from shared.wire import native

WHOLE = 1.0


async def tell_loading(
    watch: ServiceWatch,
    tell: Callable[[native.Loading], None],
    every_s: float = EVERY_S,
) -> None:
    """Once when a service is found loading, without a figure, and once when it is ready, as 1. Until cancelled."""
    awaited: set[str] = set()
    while True:
        for name in watch.names:
            state = await watch.check(name)()
            if state == LOADING and name not in awaited:
                awaited.add(name)
                tell(native.Loading(service=_short(name)))
            elif state == READY and name in awaited:
                awaited.discard(name)
                tell(native.Loading(service=_short(name), progress=WHOLE))
        await anyio.sleep(every_s)


def _short(name: str) -> str:
    return name.removesuffix("_service")
