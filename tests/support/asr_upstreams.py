"""A server that an engine asks for transcriptions, which answers as a test tells it."""

import io
import json
import threading
import wave
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any, Self

from asr_service.engines.base import Recogniser, Task
from asr_service.engines.openai_upstream import LANES, UpstreamEngine
from asr_service.engines.upstream_http import Upstream
from tests.support.http_stand_in import HttpStandIn, QuietHandler
from tests.support.speech import RATE, tone

KEY = "sk-do-not-tell"
SOUND = tone(1_000)


def opened(url: str, language: str = "en", timeout_s: float = 10.0) -> UpstreamEngine:
    """The engine for a server."""
    return UpstreamEngine(Upstream(url, KEY, "whisper-9", timeout_s, LANES), language)


def begun(recogniser: Recogniser, task: Task = Task("en"), pcm: bytes = SOUND) -> Recogniser:  # noqa: B008  # is frozen
    """The recogniser, with a stretch that has begun."""
    recogniser.start(task)
    recogniser.hear(pcm)
    return recogniser


@dataclass
class Asked:
    """A request as it came."""

    path: str
    key: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    file: bytes = b""

    @property
    def pcm(self) -> bytes:
        """The sound of the file."""
        with wave.open(io.BytesIO(self.file)) as sound:
            assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (RATE, 2, 1)
            pcm: bytes = sound.readframes(sound.getnframes())
            return pcm


@dataclass
class Reply:
    """An answer; `is_held` waits with it until the stand-in stops, `drips` sends one byte after the other till then."""

    status: int = 200
    body: bytes = b'{"text": "hello"}'
    headers: dict[str, str] = field(default_factory=dict)
    is_held: bool = False
    drips: bool = False
    hangs_up: bool = False


class StandIn(HttpStandIn):
    """Gives the replies of `replies` one after the other, then `reply` again and again; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.replies: deque[Reply] = deque()
        self.reply = Reply()
        self.models = Reply(404, b"{}")
        self.is_over = threading.Event()
        super().__init__(Handler)

    def tells(self, status: int = 200, **body: Any) -> None:
        """The next reply is JSON."""
        self.replies.append(Reply(status, json.dumps(body).encode()))

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Replies that are held go out as the block is left."""
        with super().running():
            try:
                yield self
            finally:
                self.is_over.set()


class Handler(QuietHandler):
    """One connection to a stand-in."""

    def do_GET(self) -> None:  # noqa: N802  # the name is the library's
        self._answer(self._stand_in.models)

    def do_POST(self) -> None:  # noqa: N802  # the name is the library's
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = Asked(self.path, self.headers.get("authorization", ""))
        form = message_from_bytes(b"content-type: " + self.headers["content-type"].encode() + b"\r\n\r\n" + body)
        for part in form.get_payload():
            assert not isinstance(part, str)
            name, content = str(part.get_param("name", header="content-disposition")), part.get_payload(decode=True)
            assert isinstance(content, bytes)
            if name == "file":
                asked.file = content
            else:
                asked.fields.setdefault(name, []).append(content.decode())
        self._stand_in.asked.append(asked)
        replies = self._stand_in.replies
        self._answer(replies.popleft() if replies else self._stand_in.reply)

    def _answer(self, reply: Reply) -> None:
        if reply.hangs_up:
            self.close_connection = True
            return
        if reply.is_held:
            self._stand_in.is_over.wait()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        try:
            if reply.drips:
                for byte in reply.body:
                    self.wfile.write(bytes([byte]))
                    self._stand_in.is_over.wait(0.01)
            else:
                self.wfile.write(reply.body)
        except OSError:  # whoever asked has left
            self.close_connection = True
