"""An HTTP server on a thread of its own, which a test's own handler answers for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class HttpStandIn:
    """Listens on loopback inside `running`. Its handlers find it at `self.server.stand_in`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.stand_in = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve inside the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class QuietHandler(BaseHTTPRequestHandler):
    """One connection, which is kept, and of which nothing is printed."""

    protocol_version = "HTTP/1.1"

    @property
    def _stand_in(self) -> Any:
        return self.server.stand_in  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
        pass
