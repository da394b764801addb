"""Clients of a real server that read nothing: they lose their place, and the next one is served."""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint
from fastapi import FastAPI, Response, WebSocket
from websockets.frames import Frame, Opcode

from shared.app import create_app
from shared.health import Readiness
from shared.wire.codec import Message
from shared.wire.tts import End, Start, Text
from tests.support.real_server import bare_client, read_to_end, served
from tts_service.encoders import FORMATS
from tts_service.engines.fake import FAILS, FakeEngine
from tts_service.settings import TtsSettings
from tts_service.speech_body import EventBody
from tts_service.spoken_response import SpokenResponse
from tts_service.stream import serve_stream
from tts_service.synthesiser import Synthesiser

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

SHORT_S = 0.2
LONG_TEXT = "word and word. " * 250  # minutes of it, and no buffer here holds one
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def house(synthesiser: Synthesiser) -> FastAPI:
    """A service whose patience is short."""
    app = create_app("Parley tts_service", Readiness({}))

    @app.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await serve_stream(socket, synthesiser, SHORT_S)

    @app.get("/speech/{kind}")
    async def speech(kind: str, text: str = LONG_TEXT) -> Response:
        manner = synthesiser.manner(language="en", voice=None, speed=1.0)
        body = EventBody(len(text)) if kind == "sse" else None
        return SpokenResponse(synthesiser, manner, text, FORMATS.get(kind, FORMATS["pcm"]), body, SHORT_S)

    return app


@asynccontextmanager
async def running() -> AsyncIterator[int]:
    """The port of a service with one place and one slot."""
    settings = TtsSettings(engine="fake", max_streams=1, slots=1, lead_ms=60_000)
    synthesiser = Synthesiser(settings, FakeEngine())
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(synthesiser.run)
            while await synthesiser.state() != "ready":
                await checkpoint()
            async with served(house(synthesiser)) as port:
                yield port
            tasks.cancel_scope.cancel()
        await synthesiser.close()


async def asked(port: int, path: str, more: bytes = b"") -> SocketStream:
    """A client that has asked for something; it reads only what its test reads."""
    client = await bare_client(port)
    await client.send(b"GET %b HTTP/1.1\r\nHost: tts\r\n%b\r\n" % (path.encode(), more))
    return client


async def send(client: SocketStream, *messages: Message) -> None:
    for message in messages:
        await client.send(Frame(Opcode.TEXT, message.to_json().encode()).serialize(mask=True))


async def until_served(port: int) -> None:
    """Ask for some words until there is a place."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as other:
        while (status := (await other.get("/speech/pcm", params={"text": "Hello."})).status_code) != 200:
            assert status == 429


def faults_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert [record for record in caplog.records if record.exc_info] == []
    return [record.getMessage() for record in caplog.records if record.name.startswith(("tts_service", "shared"))]


@pytest.mark.parametrize("encoding", ["pcm16", "opus"])
async def test_a_listener_that_reads_nothing_loses_its_place(encoding: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with running() as port, aclosing(await asked(port, "/stream", UPGRADE)) as stuck:
        assert (await stuck.receive(12)) == b"HTTP/1.1 101"
        for name in "abcdefgh" if encoding == "opus" else "a":
            start = Start.model_validate({"reply_id": name, "sample_rate": 48_000, "encoding": encoding})
            await send(stuck, start, Text(reply_id=name, delta=LONG_TEXT), End(reply_id=name))
        await until_served(port)
        assert await read_to_end(stuck), "what was written before"
    assert faults_in(caplog) == ["a peer reads nothing"]


@pytest.mark.parametrize("kind", ["pcm", "flac", "sse"])
async def test_a_client_that_reads_nothing_of_its_file_loses_its_place_and_has_no_whole_file(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with running() as port, aclosing(await asked(port, f"/speech/{kind}")) as stuck:
        assert (await stuck.receive(12)) == b"HTTP/1.1 200"
        await until_served(port)
        assert not (await read_to_end(stuck)).endswith(b"0\r\n\r\n")
    assert faults_in(caplog) == ["a client reads nothing of its file"]


async def test_a_file_that_is_cut_short_is_no_whole_file_to_its_client_and_one_line_to_us(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with running() as port, aclosing(await asked(port, f"/speech/pcm?text=Hello%20there.%0A{FAILS}.")) as client:
        received = await read_to_end(client)
    assert received.startswith(b"HTTP/1.1 200")
    assert len(received) > 10_000
    assert not received.endswith(b"0\r\n\r\n")
    assert faults_in(caplog) == ["a spoken file was cut short"]
