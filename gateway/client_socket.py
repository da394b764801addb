"""The client's WebSocket: frames in and out, checked and told apart; a broken one reads as a client that left."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from shared.errors import Overloaded, ParleyError
from shared.wire import native
from shared.wire.codec import check_frame, load_object

SEND_TIMEOUT_S = 10.0
FAREWELL_S = 1.0


class ClientSocket:
    """One accepted WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self.is_goodbye = False  # the client closed it on purpose (RFC 6455, section 7.4.1), and did not just vanish

    async def receive(self) -> bytes | native.ClientMessage | None:
        """The next audio or message; None when the client is gone. Raises BadRequest for a bad frame."""
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            self.is_goodbye = _is_goodbye(event)
            return None
        if (audio := event.get("bytes")) is not None:
            return check_frame(audio)
        return native.CLIENT.validate(_asked(load_object(event["text"])))

    async def send(self, frame: str | bytes) -> bool:
        """Send a frame; False when the client is gone. Raises Overloaded when it reads nothing for too long.

        A cancel while waiting leaves the frame sent or unsent, never in part.
        """
        event = {"type": "websocket.send", "text" if isinstance(frame, str) else "bytes": frame}
        try:
            with anyio.fail_after(SEND_TIMEOUT_S):
                await self._websocket.send(event)
        except TimeoutError:
            raise Overloaded("The client does not read what it is sent.", service="gateway") from None
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: a send after the close, by Starlette's own rules
            return False
        return True

    async def fail(self, error: ParleyError, farewell: str) -> None:
        """Say what is wrong, if the client still reads, and close with the error's code."""
        with anyio.move_on_after(FAREWELL_S, shield=True):
            await self.send(farewell)
        await self.close(error.close_code)

    async def close(self, code: int = 1000) -> None:
        """Close; nothing happens when it is closed already, and a client that reads nothing is not waited for."""
        with anyio.move_on_after(FAREWELL_S, shield=True), suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.close(code)


def _asked(fields: dict[str, Any]) -> dict[str, Any]:
    """Who spells it `op` and `sampleRate` asks the language model itself: it wants to be written down alone."""
    is_plain = fields.get("op") == "config" and "sampleRate" in fields and not fields.keys() & {"type", "mode"}
    return fields | {"mode": "transcription"} if is_plain else fields


def _is_goodbye(event: Mapping[str, Any]) -> bool:
    """A normal end, or a close frame without a code. The server names 1005 for a lost connection too, without more."""
    return event.get("code") == 1000 or (event.get("code") == 1005 and "reason" in event)
