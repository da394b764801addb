"""A server that drops a connection whose other side takes nothing of what is sent to it for a while.

An app that gives up such a peer is done with it at once, but its connection stays: a close in form waits behind what
was written before, as long as the peer lives. Only the kernel sees whether a peer still takes some of it, however
little, so it is the kernel that drops it. Where it cannot (it is not Linux), the connection stays until the peer
leaves.
"""

import socket
from typing import Final

import uvicorn

UNREAD_LIMIT_S: Final = 60.0


class PatientServer(uvicorn.Server):
    """uvicorn's, with an end to its patience."""

    def __init__(self, config: uvicorn.Config, unread_limit_s: float = UNREAD_LIMIT_S) -> None:
        super().__init__(config)
        self._unread_limit_ms = round(unread_limit_s * 1000)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Connections have the options of the socket on which they came."""
        await super().startup(sockets)
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is None:
            return
        for server in self.servers:
            for listening in server.sockets:
                listening.setsockopt(socket.IPPROTO_TCP, option, self._unread_limit_ms)
