"""What every service's HTTP side has in common: health, metrics, errors in one shape, and a send that waits."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from fastapi import FastAPI, Query, WebSocket
from pydantic import BaseModel, ConfigDict
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect

from shared import health, metrics
from shared.app import WIRE_LIMIT_BYTES, create_app
from shared.errors import MessageTooLarge, NotFound, ParleyError, ServiceUnavailable, TooManySessions, leaves
from shared.health import Readiness
from shared.logs import JsonFormatter
from shared.wire.codec import MESSAGE_LIMIT_BYTES
from tests.support.real_server import bare_client, served

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

SECRET = "what a person said"


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    cups: int
    milk: str = ""


def shop(checks: dict[str, health.Check] | None = None) -> FastAPI:
    """A service with a route for each kind of fault."""
    app = create_app("A shop", Readiness(checks or {}))

    @app.post("/orders")
    async def order(order: Order) -> dict[str, int]:
        return {"cups": order.cups}

    @app.get("/cups")
    async def cups(limit: int = Query(ge=1)) -> dict[str, int]:
        return {"limit": limit}

    @app.get("/closed")
    async def closed(code: str, retry_after_ms: int | None = None) -> None:
        error = next(leaf for leaf in leaves() if leaf.code == code)
        raise error("The shop is closed.", param="day", retry_after_ms=retry_after_ms)

    @app.get("/fire")
    async def fire() -> None:
        raise KeyError(SECRET)

    return app


async def ask(app: FastAPI, method: str, path: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return await client.request(method, path, **more)


def says(state: str) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        return state

    return check


async def test_a_service_that_answers_is_healthy() -> None:
    answer = await ask(shop(), "GET", "/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


async def test_a_service_is_ready_when_every_part_is() -> None:
    answer = await ask(shop({"engine": says("ready"), "store": says("ready")}), "GET", "/ready")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "parts": {"engine": "ready", "store": "ready"}},
    )


async def test_one_missing_part_makes_it_unready_and_is_named() -> None:
    answer = await ask(shop({"engine": says("loading the model"), "store": says("ready")}), "GET", "/ready")
    assert (answer.status_code, answer.json()) == (
        503,
        {"ready": False, "parts": {"engine": "loading the model", "store": "ready"}},
    )


async def test_a_check_that_hangs_is_told_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)

    async def hang() -> str:
        await anyio.sleep_forever()
        return "ready"

    answer = await ask(shop({"engine": hang, "store": says("ready")}), "GET", "/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"engine": "does not answer", "store": "ready"}


async def test_a_check_that_fails_is_told_without_the_text_of_its_exception(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> str:
        raise ValueError(SECRET)

    answer = await ask(shop({"engine": fail, "store": says("ready")}), "GET", "/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "parts": {"engine": "failed", "store": "ready"}}
    record = next(record for record in caplog.records if record.name == "shared.health")
    line = JsonFormatter("shop").format(record)
    assert ('"part": "engine"' in line, '"exception": "ValueError"' in line, SECRET in line) == (True, True, False)


async def test_the_checks_are_asked_one_beside_the_other() -> None:
    asked = {"engine": anyio.Event(), "store": anyio.Event()}

    def waits(name: str, other: str) -> Callable[[], Awaitable[str]]:
        async def check() -> str:
            asked[name].set()
            await asked[other].wait()
            return "ready"

        return check

    report = await Readiness({"engine": waits("engine", "store"), "store": waits("store", "engine")}).report()
    assert report == {"engine": "ready", "store": "ready"}


async def test_the_metrics_page_has_every_figure() -> None:
    metrics.TURNS.labels("completed").inc(0)
    answer = await ask(shop(), "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'parley_turns_total{outcome="completed"}' in answer.text
    figures = [getattr(metrics, name) for name in metrics.__all__ if name != "REGISTRY"]
    names = [family.name for figure in figures for family in figure.collect()]
    assert len(names) == len(figures) > 10
    assert [name for name in names if not name.startswith("parley_") or f"# HELP {name}" not in answer.text] == []


@pytest.mark.parametrize("error", leaves(), ids=lambda error: error.code)
async def test_every_error_is_answered_in_the_shape_that_openai_s_clients_read(error: type[ParleyError]) -> None:
    answer = await ask(shop(), "GET", "/closed", params={"code": error.code})
    assert answer.status_code == error.status
    assert answer.json() == {
        "error": {"message": "The shop is closed.", "type": kind_of(error), "param": "day", "code": error.code}
    }
    assert "retry-after" not in answer.headers


def kind_of(error: type[ParleyError]) -> str:
    if error.status == 429:
        return "rate_limit_error"
    return "server_error" if error.status >= 500 else "invalid_request_error"


@pytest.mark.parametrize(("ms", "seconds"), [(0, "0"), (1, "1"), (1_000, "1"), (1_001, "2"), (2_500, "3")])
@pytest.mark.parametrize("error", [TooManySessions, ServiceUnavailable])
async def test_retry_after_is_told_in_whole_seconds_rounded_up(error: type[ParleyError], ms: int, seconds: str) -> None:
    answer = await ask(shop(), "GET", "/closed", params={"code": error.code, "retry_after_ms": ms})
    assert (answer.status_code, answer.headers["retry-after"]) == (error.status, seconds)


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        (("POST", "/orders", {"json": {"cups": "two"}}), "invalid_message", "cups"),
        (("POST", "/orders", {"json": {"cups": 2, "sugar": 1}}), "invalid_message", "sugar"),
        (("POST", "/orders", {}), "invalid_message", None),
        (("POST", "/orders", {"content": b"{", "headers": {"content-type": "application/json"}}), "invalid_json", None),
        (("GET", "/cups?limit=0", {}), "invalid_message", "limit"),
        (("GET", "/cups", {}), "invalid_message", "limit"),
    ],
)
async def test_a_wrong_request_gets_a_400_that_names_the_field(
    request_: tuple[str, str, dict[str, Any]], code: str, param: str | None
) -> None:
    method, path, more = request_
    answer = await ask(shop(), method, path, **more)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)
    assert error["message"].startswith(f"{param}: " if param else ("The body is not JSON" if more else "body: "))


async def test_an_unknown_path_is_a_404_in_the_same_shape() -> None:
    answer = await ask(shop(), "GET", "/tea")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": {"message": "Not Found", "type": "invalid_request_error", "param": None, "code": NotFound.code}
    }


async def test_a_wrong_method_keeps_its_status_and_tells_the_right_one() -> None:
    answer = await ask(shop(), "GET", "/orders")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "bad_request"


async def test_a_fault_of_ours_is_a_500_without_a_word_of_the_exception(caplog: pytest.LogCaptureFixture) -> None:
    answer = await ask(shop(), "GET", "/fire")
    assert answer.status_code == 500
    assert answer.json() == {
        "error": {
            "message": "Something went wrong on our side.",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }
    lines = [JsonFormatter("shop").format(record) for record in caplog.records if record.levelno >= logging.ERROR]
    assert [SECRET in line for line in lines] == [False]
    assert '"exception": "KeyError"' in lines[0]


class Flood:
    """A WebSocket endpoint that sends as fast as it may, and stops at a limit which it should never reach."""

    FRAME = bytes(4096)
    LIMIT_BYTES = 64 * 2**20

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.ended = anyio.Event()

    async def pour(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while self.sent_bytes < self.LIMIT_BYTES:
                await websocket.send_bytes(self.FRAME)
                self.sent_bytes += len(self.FRAME)
        except WebSocketDisconnect:
            self.ended.set()


async def open_websocket(port: int, path: str) -> SocketStream:
    """A bare connection after its handshake: it reads only what the test reads."""
    stream = await bare_client(port)
    await stream.send(
        f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert (await stream.receive(len(b"HTTP/1.1 101"))) == b"HTTP/1.1 101"
    return stream


async def test_a_send_to_a_client_that_reads_nothing_waits_and_others_are_served_meanwhile() -> None:
    flood, app = Flood(), shop()
    app.websocket("/flood")(flood.pour)
    async with served(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as other:
        async with aclosing(await open_websocket(port, "/flood")) as reader:
            before_bytes = -1
            while flood.sent_bytes != before_bytes:  # not one send went through while another client was answered
                before_bytes = flood.sent_bytes
                assert (await other.get("/health")).status_code == 200
            assert 0 < flood.sent_bytes < 2**20
            while flood.sent_bytes == before_bytes:  # reading lets it go on
                await reader.receive()
            assert flood.sent_bytes < before_bytes + 2**20
        await flood.ended.wait()
    assert flood.sent_bytes < 2 * 2**20


async def measure(websocket: WebSocket) -> None:
    """Tell the length of each frame."""
    await websocket.accept()
    async for frame in websocket.iter_bytes():
        await websocket.send_text(str(len(frame)))


async def test_a_message_within_the_transport_s_limit_is_the_service_s_own_to_judge() -> None:
    app = shop()
    app.websocket("/measure")(measure)
    async with served(app) as port, connect(f"ws://127.0.0.1:{port}/measure", compression=None, proxy=None) as client:
        for size_bytes in (0, MESSAGE_LIMIT_BYTES + 1, WIRE_LIMIT_BYTES):
            await client.send(bytes(size_bytes))
            assert await client.recv() == str(size_bytes)


async def test_a_message_over_the_transport_s_limit_is_refused_by_its_announced_length() -> None:
    app = shop()
    app.websocket("/measure")(measure)
    async with served(app) as port, await open_websocket(port, "/measure") as stream:
        await stream.send(b"\x82\xff" + (WIRE_LIMIT_BYTES + 1).to_bytes(8, "big") + b"mask")
        received = b"".join([piece async for piece in stream])
    close_frame = received[received.index(b"\r\n\r\n") + 4 :]
    assert (close_frame[0], int.from_bytes(close_frame[2:4], "big")) == (0x88, MessageTooLarge.close_code)
