"""One connection of a client to its session: frames in, frames out, until either side has enough."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from anyio.lowlevel import checkpoint

from gateway.client_socket import ClientSocket
from shared.errors import BadRequest, ParleyError
from shared.wire import native

Frame = bytes | native.ClientMessage


class Line:
    """A connection that lasts until its client leaves, asks for another session, or is hung up on."""

    def __init__(self, socket: ClientSocket, take: Callable[[Frame], Awaitable[None]]) -> None:
        self.socket = socket
        self._take = take
        self._scope = anyio.CancelScope()

    async def run(
        self, write: Callable[[], Awaitable[None]], refuse: Callable[[ParleyError], None]
    ) -> native.Resume | None:
        """Read and write. What ends it is raised; a bad frame is refused, and the line goes on."""
        failures: list[ParleyError] = []
        asked: list[native.Resume] = []

        async def work(one: Callable[[], Awaitable[None]]) -> None:
            try:
                await one()
            except ParleyError as failure:
                failures.append(failure)
            tasks.cancel_scope.cancel()

        with self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work, write, name="line write")
                tasks.start_soon(work, partial(self._read, refuse, asked), name="line read")
        if failures:
            raise failures[0]
        return asked[0] if asked else None

    def hang_up(self) -> None:
        """End it from this side; the socket stays for a last word."""
        self._scope.cancel()

    async def _read(self, refuse: Callable[[ParleyError], None], asked: list[native.Resume]) -> None:
        while True:
            await checkpoint()  # frames that wait already are taken without a wait: a burst of them must starve nobody
            try:
                frame = await self.socket.receive()
                if isinstance(frame, native.Resume):
                    return asked.append(frame)
                if frame is None:
                    return
                await self._take(frame)
            except BadRequest as error:
                refuse(error)
