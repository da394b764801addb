"""Clients of a real server that read nothing of what is still to be sent when the app has done with them."""

import socket
from contextlib import aclosing

import anyio
import pytest
import uvicorn
from anyio.lowlevel import checkpoint
from fastapi import FastAPI, Response, WebSocket

from shared.app import server_options
from shared.patient_server import PatientServer
from tests.support.real_server import SETTINGS, SMALL_BUFFER_BYTES, bare_client

pytestmark = [
    pytest.mark.shell,
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no such limit"),
]

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
TOO_MUCH = bytes(1_000_000)  # for every buffer between the app and its client


def shop() -> FastAPI:
    app = FastAPI()

    @app.websocket("/given_up")
    async def given_up(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_bytes(TOO_MUCH)

    @app.websocket("/waited_for")
    async def waited_for(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_bytes(TOO_MUCH)
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    @app.get("/file")
    async def file() -> Response:
        return Response(TOO_MUCH, headers={"Connection": "close"})

    return app


@pytest.mark.parametrize(("path", "more"), [("/given_up", UPGRADE), ("/waited_for", UPGRADE), ("/file", b"")])
async def test_a_connection_whose_client_takes_nothing_is_dropped(path: str, more: bytes) -> None:
    server = PatientServer(uvicorn.Config(shop(), **server_options(SETTINGS)), unread_limit_s=0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening, anyio.fail_after(20):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER_BYTES)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            while not server.started:
                await checkpoint()
            async with aclosing(await bare_client(listening.getsockname()[1])) as stuck:
                await stuck.send(b"GET %b HTTP/1.1\r\nHost: shop\r\n%b\r\n" % (path.encode(), more))
                assert (await stuck.receive(9)) == b"HTTP/1.1 "
                while server.server_state.connections or server.server_state.tasks:
                    await checkpoint()
            server.should_exit = True
