"""A WebSocket server that can go away as a killed process does."""

from websockets.asyncio.server import Server, ServerConnection, serve


class Mortal:
    """`_converse` serves a connection; those in `_connections` are cut when it stops. It may start again."""

    port: int = 0
    _server: Server | None = None
    _connections: set[ServerConnection]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, at the port of the last time."""
        self._server = await serve(self._converse, "127.0.0.1", self.port, compression=None)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut every connection, and listen no more."""
        assert self._server is not None
        for connection in list(self._connections):
            connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    async def _converse(self, connection: ServerConnection) -> None:
        raise NotImplementedError
