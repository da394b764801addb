"""Hand a request on to a service and its answer back, both as they come: nothing of them is read or gathered here.

What the client sends is bounded before it leaves, and the headers that travel are named below. A client that leaves
ends the work at the service. An error of the service passes as it is; one of ours comes in the same shape. One that
comes when the answer has begun is an event where the answer is of events, and else cuts it short, so that nobody takes
a part for the whole.
"""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import anyio
from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from gateway.house import House
from gateway.service_calls import FAREWELL_S, SILENCE_S, Service, ServiceCalls, ServiceRequest, check_on, stopping
from shared import metrics
from shared.body_limit import BODY_LIMIT_BYTES, BodyLimit
from shared.errors import NotFound, ParleyError, error_body

GOES: Final = (
    "accept", "authorization", "content-encoding", "content-length", "content-type", "idempotency-key", "if-none-match",
    "if-modified-since", "if-range", "range", "traceparent", "tracestate", "x-idempotency-key",
)  # fmt: skip
STAYS: Final = (
    b"connection",
    b"date",
    b"keep-alive",
    b"server",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
)
EVENTS: Final = "text/event-stream"
UNREAD_LIMIT_S: Final = 60.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests of a route go, how long they may be, and for how long the service may say nothing."""

    service: Service
    path: str
    limit_bytes: int = BODY_LIMIT_BYTES
    silence_s: float = SILENCE_S

    def below(self, name: str) -> "Destination":
        """One thing of the collection at `path`. Raises NotFound for what is no name."""
        if name in ("", ".", ".."):
            raise NotFound("There is no such thing.", service=self.service.short)
        return Destination(self.service, f"{self.path}/{quote(name, safe='')}", self.limit_bytes, self.silence_s)


class Forwarded(Response):
    """The answer of a service to the request that this answers."""

    def __init__(self, calls: ServiceCalls, to: Destination, unread_limit_s: float = UNREAD_LIMIT_S) -> None:
        super().__init__()
        self._calls = calls
        self._to = to
        self._unread_limit_s = unread_limit_s
        self._is_of_events = False
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ParleyError before anything is sent."""
        await BodyLimit(self._hand_on, self._to.limit_bytes)(scope, receive, send)

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, failure = _Body(scope, receive), None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(body.leave_with, tasks.cancel_scope, name="peer")
            try:
                await self._exchange(scope, body, send)
            except ClientDisconnect:
                log.info("a client left before its answer was complete")
            except TimeoutError:
                log.warning("a client reads nothing of its answer", extra={"limit_s": self._unread_limit_s})
            except ParleyError as error:  # raised below, as itself: here it would go into a group
                failure = error
            except anyio.get_cancelled_exc_class():
                if self._is_of_events and not tasks.cancel_scope.cancel_called:  # nobody left: the gateway ends
                    with anyio.move_on_after(FAREWELL_S, shield=True):
                        await self._fail(stopping(), send)
                raise
            tasks.cancel_scope.cancel()
        if failure is not None:
            await self._fail(failure, send)

    async def _exchange(self, scope: Scope, body: "_Body", send: Send) -> None:
        house: House = scope["app"].state.house
        check_on(house, self._to.service)
        request = ServiceRequest(
            scope["method"],
            self._path(scope),
            _going(scope),
            {"content": body.pieces()} if body.is_there else {},
            self._to.silence_s,
        )
        async with self._calls.asked(house, self._to.service, request) as response:
            is_of_events = response.headers.get("content-type", "").startswith(EVENTS)
            headers = [(name.lower(), value) for name, value in response.headers.raw if name.lower() not in STAYS]
            await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers}, send)
            self._is_of_events = is_of_events
            async for piece in response.aiter_raw():
                await self._send({"type": "http.response.body", "body": piece, "more_body": True}, send)
        self._is_of_events = False  # the end is told now, and only once
        await self._send({"type": "http.response.body", "body": b"", "more_body": False}, send)

    def _path(self, scope: Scope) -> str:
        query: bytes = scope.get("query_string", b"")
        return f"{self._to.path}?{query.decode('ascii', 'ignore')}" if query else self._to.path

    async def _send(self, message: Message, send: Send) -> None:
        """Raises TimeoutError where the client makes no room for it, and ClientDisconnect where it has left."""
        with anyio.fail_after(self._unread_limit_s):
            try:
                await send(message)
            except OSError:
                raise ClientDisconnect from None
        self._has_begun = True

    async def _fail(self, error: ParleyError, send: Send) -> None:
        """Returning without the end of the body has the server close the connection."""
        metrics.ERRORS.labels("gateway", error.code).inc()
        if not self._has_begun:
            raise error
        log.warning("an answer was cut short", extra={"code": error.code, "part": self._to.service.name})
        if self._is_of_events:
            told = f"data: {json.dumps(error_body(error))}\n\n".encode()
            await self._send({"type": "http.response.body", "body": told, "more_body": False}, send)


class _Body:
    """What the client sends, and that it leaves."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        unknown = b"" if scope["method"] == "POST" else b"0"
        self.is_there = headers.get(b"content-length", unknown) != b"0" or b"transfer-encoding" in headers
        self._receive = receive
        self._is_read = anyio.Event()
        if not self.is_there:
            self._is_read.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ClientDisconnect."""
        has_more = True
        while has_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            has_more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
        self._is_read.set()

    async def leave_with(self, scope: anyio.CancelScope) -> None:
        """Cancel when the client leaves after it has sent everything; before that the reader of its body sees it."""
        await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


def _going(scope: Scope) -> dict[str, str]:
    """The headers that go on to the service."""
    given = Request(scope).headers
    return {"accept-encoding": "identity", **{name: given[name] for name in GOES if name in given}}
