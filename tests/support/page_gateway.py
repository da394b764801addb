"""A gateway for the page's tests: it serves the page, and each session does what the test says."""

import array
import json
import mimetypes
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from queue import Queue
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from gateway.personas import load_personas

PAGE = Path(__file__).parents[2] / "gateway" / "page"
PATIENCE_S = 20.0  # how long anything may take before the test gives up


class Line:
    """One session of the page, seen from the gateway."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.messages: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self._changed = threading.Condition()
        self._seq = 0

    def receive(self, received: str | bytes) -> None:
        with self._changed:
            if isinstance(received, str):
                self.messages.append(json.loads(received))
            else:
                self.frames.append(received)
            self._changed.notify_all()

    def wait_until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while not holds():
                assert self._changed.wait(deadline - time.monotonic()), "it did not come"

    def wait_for(self, **fields: object) -> dict[str, Any]:
        """The first message that has these fields."""
        self.wait_until(lambda: self.matching(**fields))
        return self.matching(**fields)[0]

    def matching(self, **fields: object) -> list[dict[str, Any]]:
        return [message for message in self.messages if fields.items() <= message.items()]

    def marks(self, reply_id: str) -> list[int]:
        return [message["ms"] for message in self.matching(type="played", reply_id=reply_id)]

    def send(self, kind: str, **fields: object) -> None:
        self._seq += 1
        self.connection.send(json.dumps({"type": kind, "seq": self._seq, **fields}))

    def speak(self, samples: int, level: int) -> None:
        """A square wave: a long frame, which carries a slow machine over, then frames of a length that fits nothing."""
        tone = [level if at // 40 % 2 else -level for at in range(samples)]
        for start, end in pairwise([0, *range(min(12_000, samples), samples, 481), samples]):
            self.connection.send(array.array("h", tone[start:end]).tobytes())

    def answer(self, reply_id: str, text: str, samples: int, level: int = 16_000) -> None:
        """Begin an answer, and say it."""
        names = {"turn_id": f"trn_{reply_id}", "reply_id": reply_id}
        self.send("reply_started", **names)
        for word in text.split(" "):
            self.send("token", text=f"{word} ", **names)
        self.send("segment", text=text, start_ms=0, **names)
        self.speak(samples, level)


class PageGateway:
    """Serves the page (and `extra` files, by path), lists the personas, and hands each session to the test."""

    def __init__(self, extra: Mapping[str, str]) -> None:
        self.extra = extra
        self.lines: Queue[Line] = Queue()
        self.server = serve(self._talk, "127.0.0.1", 0, process_request=self._serve_file, compression=None)
        self.url = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}/"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def next_line(self) -> Line:
        return self.lines.get(timeout=PATIENCE_S)

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join(PATIENCE_S)

    def _talk(self, connection: ServerConnection) -> None:
        line = Line(connection)
        line.send("ready", protocol=1, session_id="ses_1", token="t", capabilities=[])
        self.lines.put(line)
        try:
            for received in connection:
                line.receive(received)
        except ConnectionClosed:
            pass

    def _serve_file(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ws":
            return None
        if request.path == "/v1/personas":
            listed = [found.model_dump(exclude={"voice", "system_prompt"}) for found in load_personas().values()]
            return reply_with(json.dumps({"data": listed}).encode(), "application/json")
        if request.path in self.extra:
            return reply_with(self.extra[request.path].encode(), "text/javascript")
        path = PAGE / (request.path.strip("/") or "index.html")
        return reply_with(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream")


def reply_with(body: bytes, kind: str) -> Response:
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(HTTPStatus.OK, "OK", headers, body)
