"""A gateway and a browser for the page's tests: it serves the page, and each line does what the test says."""

import array
import json
import mimetypes
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from gateway.personas import load_personas

PAGE = Path(__file__).parents[2] / "gateway" / "page"
PATIENCE_S = 20.0  # how long anything may take before the test gives up
FLAGS = [
    "--no-sandbox",  # where tests run as root, Chromium needs it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]

Frame = str | bytes


def find_chromium() -> str:
    """The browser's path; skips the test where there is none, but fails it where every test has to run."""
    found = shutil.which("chromium")
    if found is None and os.environ.get("CI"):
        pytest.fail("chromium is not installed")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


@contextmanager
def faultless_page(browser: Browser) -> Iterator[Page]:
    """A page in English, on whose console no error may appear."""
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(error.message))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        yield page
    assert not faults, faults


def wait_for_state(page: Page, state: str) -> None:
    page.wait_for_function("state => window.parley?.state === state", arg=state)


class Line:
    """One connection of the page, seen from the gateway; `journal` is all that was said in its session."""

    def __init__(self, connection: ServerConnection, number: int, answers_pings: bool) -> None:
        self.connection = connection
        self.session_id = f"ses_{number}"
        self.messages: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.journal: list[Frame] = []
        self.seq = 0
        self.close_code = 0  # once it is closed
        self._answers_pings = answers_pings
        self._is_cut = False
        self._changed = threading.Condition()
        self._saying = threading.Lock()

    def receive(self, received: Frame) -> None:
        with self._changed:
            if isinstance(received, bytes):
                self.frames.append(received)
            else:
                self.messages.append(json.loads(received))
            self._changed.notify_all()
        if received == '{"type":"ping"}' and self._answers_pings:
            self.send("pong")

    def note_closed(self, code: int) -> None:
        with self._changed:
            self.close_code = code
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
        with self._saying:
            self.seq += 1
            self._say(json.dumps({"type": kind, "seq": self.seq, **fields}))

    def send_audio(self, pcm: bytes) -> None:
        with self._saying:
            self._say(pcm)

    def _say(self, frame: Frame) -> None:
        self.journal.append(frame)
        if not self._is_cut:
            self.connection.send(frame)

    def speak(self, samples: int, level: int) -> None:
        """A square wave."""
        self.speak_samples([level if at // 40 % 2 else -level for at in range(samples)])

    def speak_samples(self, samples: list[int]) -> None:
        """A long frame, which carries a slow machine over, then frames of a length that fits nothing."""
        for start, end in pairwise([0, *range(min(12_000, len(samples)), len(samples), 481), len(samples)]):
            self.send_audio(array.array("h", samples[start:end]).tobytes())

    def answer(self, reply_id: str, text: str, samples: int, level: int = 16_000) -> None:
        """Begin an answer, and say it."""
        self.begin_answer(reply_id, text)
        self.speak(samples, level)

    def begin_answer(self, reply_id: str, text: str) -> None:
        """All of an answer but its sound."""
        names = {"turn_id": f"trn_{reply_id}", "reply_id": reply_id}
        self.send("reply_started", **names)
        for word in text.split(" "):
            self.send("token", text=f"{word} ", **names)
        self.send("segment", text=text, start_ms=0, **names)

    @property
    def said(self) -> tuple[int, int]:
        """`last_seq` and `audio_bytes` of a page that received all that was said."""
        last_seq = audio_bytes = 0
        for frame in self.journal:
            if isinstance(frame, str):
                last_seq, audio_bytes = json.loads(frame)["seq"], 0
            else:
                audio_bytes += len(frame)
        return last_seq, audio_bytes

    def cut(self) -> None:
        """The connection breaks without a word; what is said from now on goes nowhere."""
        with self._saying:
            self._is_cut = True
        self.connection.close_socket()

    def greet(self, resume_ms: int) -> None:
        """The session is open."""
        self.send("ready", resume_ms=resume_ms, **self._names())

    def _names(self) -> dict[str, object]:
        return {
            "protocol": 1,
            "session_id": self.session_id,
            "token": f"token of {self.session_id}",
            "capabilities": [],
        }

    def go_on(self, cut: "Line", arrived_bytes: int = 0) -> dict[str, Any]:
        """Take over the session of the line that was `cut`, and say what the page missed of it."""
        resume = self.wait_for(type="resume", session_id=cut.session_id, token=f"token of {cut.session_id}")
        with self._saying:
            self.session_id, self.journal, self.seq = cut.session_id, cut.journal, cut.seq
            fields = {"resumed": True, "audio_bytes": arrived_bytes, "resume_ms": 30_000, **self._names()}
            self.connection.send(json.dumps({"type": "ready", "seq": resume["last_seq"], **fields}))
            for frame in missed(self.journal, resume["last_seq"], resume["audio_bytes"]):
                self.connection.send(frame)
        return resume

    def refuse(self) -> None:
        """The session that is asked for is gone."""
        self.wait_for(type="resume")
        self.send("error", code="session_not_found", service="gateway", message="It is over.", retryable=False)


def missed(journal: list[Frame], last_seq: int, audio_bytes: int) -> Iterator[Frame]:
    """What comes after message `last_seq` and `audio_bytes` of audio."""
    numbers = [json.loads(frame)["seq"] if isinstance(frame, str) else None for frame in journal]
    left_bytes = audio_bytes
    for frame in journal[numbers.index(last_seq) + 1 :]:
        if left_bytes == 0:
            yield frame
            continue
        assert isinstance(frame, bytes) and left_bytes >= len(frame), "the page counts what was not there"
        left_bytes -= len(frame)
    assert left_bytes == 0, "the page counts more than there was"


class PageGateway:
    """Serves the page (and `extra` files, by path), lists the personas, and hands each line to the test."""

    def __init__(self, extra: Mapping[str, str]) -> None:
        self.extra = extra
        self.resume_ms = 0  # of sessions that begin from now on
        self.answers_pings = True
        self.is_closed = False  # lines are closed again before a session begins
        self.refusal: dict[str, object] | None = None  # the error that they are told before
        self.lines: Queue[Line] = Queue()
        self._count = 0
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
        if self.is_closed:
            if self.refusal:
                connection.send(json.dumps({"type": "error", "seq": 1, **self.refusal}))
            return
        self._count += 1
        line = Line(connection, self._count, self.answers_pings)
        line.greet(self.resume_ms)
        self.lines.put(line)
        with suppress(ConnectionClosed):
            for received in connection:
                line.receive(received)
        line.note_closed(connection.close_code or 0)

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
