"""A server that an engine asks for speech, which answers as a test tells it."""

import json
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.support.http_stand_in import HttpStandIn, QuietHandler

KEY = "sk-do-not-tell"
STALL = None  # among the pieces of a reply: nothing more comes until the other side leaves
PCM = b"\x00\x10\x00\xf0" * 240  # 20 ms at 24 kHz


@dataclass
class Reply:
    """An answer in pieces as they are sent; `is_cut` ends it without its end, `hangs_up` before its beginning."""

    status: int = 200
    pieces: Iterable[bytes | None] = (PCM, PCM)
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "audio/pcm"})
    is_cut: bool = False
    hangs_up: bool = False


@dataclass
class Asked:
    """A request as it came."""

    path: str
    key: str
    body: dict[str, Any]


class StandIn(HttpStandIn):
    """Gives the replies of `replies` one after the other, then `reply` again and again; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.replies: deque[Reply] = deque()
        self.reply = Reply()
        self.models = Reply(404, [b"{}"])
        self.left = threading.Event()  # somebody left while a reply stalled, or before its end
        super().__init__(Handler)


class Handler(QuietHandler):
    """One connection to a stand-in."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # whoever asked has left
            super().handle()

    def do_GET(self) -> None:  # noqa: N802  # the name is the library's
        self._answer(self._stand_in.models)

    def do_POST(self) -> None:  # noqa: N802  # the name is the library's
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        stand_in = self._stand_in
        stand_in.asked.append(Asked(self.path, self.headers.get("authorization", ""), body))
        self._answer(stand_in.replies.popleft() if stand_in.replies else stand_in.reply)

    def _answer(self, reply: Reply) -> None:
        if reply.hangs_up:
            self.close_connection = True
            return
        try:
            self._send(reply)
        except OSError:
            self._leave()

    def _send(self, reply: Reply) -> None:
        pieces = iter(reply.pieces)
        first = next(pieces, b"")
        if first is STALL:
            return self._leave()
        self.send_response(reply.status)
        for name, value in {**reply.headers, "transfer-encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        self._chunk(first)
        for piece in pieces:
            if piece is STALL:
                return self._leave()
            self._chunk(piece)
        self.close_connection |= reply.is_cut
        if not reply.is_cut:
            self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, piece: bytes) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()

    def _leave(self) -> None:
        """Wait until the other side has left."""
        self.close_connection = True
        with suppress(OSError):
            while self.connection.recv(1024):
                pass
        self._stand_in.left.set()
