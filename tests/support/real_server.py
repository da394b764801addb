"""An app on a real port, with small buffers, and a client that reads only what its test reads."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint
from fastapi import FastAPI

from shared.app import server_options
from shared.settings import ServiceSettings

SMALL_BUFFER_BYTES = 16 * 1024  # what the kernel may hold for us; it takes twice as much
SETTINGS = ServiceSettings(port=1, shutdown_grace_s=1)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The app as `serve` runs it; its port."""
    server = uvicorn.Server(uvicorn.Config(app, **server_options(SETTINGS)))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER_BYTES)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            while not server.started:
                await checkpoint()
            yield listening.getsockname()[1]
            server.should_exit = True


async def bare_client(port: int) -> SocketStream:
    """A connection on which nothing was sent yet."""
    bare = socket.socket()
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    bare.connect(("127.0.0.1", port))
    return await SocketStream.from_socket(bare)


async def read_to_end(client: SocketStream) -> bytes:
    """All that comes until the other side closes the connection."""
    return b"".join([piece async for piece in client])
