"""Whether a request that got no answer came too late: its connection, kept from before, had ended meanwhile.

Only such a request is sent again. A new connection may have carried it to the server, and so did one that brought a
byte back, or that ended only after the server can have begun to work.
What cannot be known: httpx tells a head that broke off no different from none, and a server that had the request and
ended at once looks like one that had ended before. Such a request is sent twice.
"""

from collections.abc import Mapping

import anyio

from shared.clock import now_s

_AT_ONCE_S = 0.3  # the way to a server and back: so long after the last byte of a request its end may be older than it


class Carrier:
    """To be given to httpx with one request, as its extension `trace`."""

    def __init__(self) -> None:
        self._is_new = False  # opened for this request
        self._sent_s = float("inf")  # when the whole of it had been sent
        self._is_unheard = False  # the connection ended before anything came back, as far as can be known
        self._ended_s = 0.0

    @property
    def came_too_late(self) -> bool:
        """Whether the server most likely did not get the whole request."""
        return not self._is_new and self._is_unheard and self._ended_s - self._sent_s <= _AT_ONCE_S

    async def note(self, event: str, told: Mapping[str, object]) -> None:
        """A step of httpx, by its name."""
        if event.startswith("connection.connect"):  # connect_tcp, connect_unix_socket
            self._is_new = True
        elif event == "http11.send_request_body.complete":
            self._sent_s = now_s()
        elif event == "http11.receive_response_headers.failed":
            self._ended_s = now_s()
            self._is_unheard = _is_end(told["exception"])


def _is_end(failure: object) -> bool:
    """Whether a connection was closed, which has no cause, or reset; what was no HTTP has its fault as the cause."""
    cause = failure.__cause__ if isinstance(failure, Exception) else failure
    return cause is None or isinstance(cause, anyio.BrokenResourceError)
