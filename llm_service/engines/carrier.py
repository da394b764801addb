"""What carried a request: a connection that was kept from before, or a new one.

One that was kept the server may have closed meanwhile. A request that a new connection carried may have reached the
server even when nothing came back: it is not sent again.
"""

from collections.abc import Mapping


class Carrier:
    """To be given to httpx with one request, as its extension `trace`."""

    def __init__(self) -> None:
        self.is_new = False  # opened for this request

    async def note(self, event: str, _: Mapping[str, object]) -> None:
        """A step of httpx, by its name."""
        self.is_new |= event.startswith("connection.connect")  # connect_tcp, connect_unix_socket
