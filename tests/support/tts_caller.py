"""A client of one POST of the tts_service, seen from its server's side: every message as it is sent."""

import json
from collections.abc import Callable, MutableMapping
from typing import Any

import anyio
from fastapi import FastAPI

SPEECH = "/v1/audio/speech"
Sent = list[dict[str, Any]]


class Caller:
    """It leaves when its test says so."""

    def __init__(self, fields: dict[str, Any], path: str = SPEECH) -> None:
        self._path = path
        self._body = json.dumps(fields).encode()
        self._has_asked = False
        self.sent: Sent = []
        self._more = anyio.Event()
        self.left = anyio.Event()

    async def call(self, app: FastAPI) -> None:
        scope = {
            "type": "http", "method": "POST", "path": self._path, "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }  # fmt: skip
        await app(scope, self._receive, self._send)

    async def until(self, holds: Callable[[Sent], bool]) -> None:
        """Wait for what is sent; the test's own timeout is the limit."""
        while not holds(self.sent):
            await self._more.wait()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_whole(self) -> bool:
        """Whether the end of the body was sent."""
        return not self.sent[-1].get("more_body", True)

    async def _receive(self) -> dict[str, Any]:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(dict(message))
        self._more.set()
        self._more = anyio.Event()


def has_sound(sent: Sent) -> bool:
    """The status and two parts of the body; the first may be what stands before any sound, as in an Ogg file."""
    return len(sent) >= 3
