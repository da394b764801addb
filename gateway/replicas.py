"""The replicas of one service: found by address or by name, taken by who asks, watched and counted in the metrics.

A service is named by one URL or several, with commas or spaces between them. A URL whose host is a name with several
addresses is so many replicas; a name with one address, or one that speaks TLS (its certificate is for the name), stays
as it is. Of a name with addresses of both families only those of IPv4 count, else one machine would count twice.
`core/replica_choice.py` decides which one is next.
"""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio

from gateway.core.replica_choice import OUT, Condition, ReplicaChoice
from shared import clock, metrics

RESOLVE_TIMEOUT_S = 2.0

Resolve = Callable[[str, int], Awaitable[list[str]]]  # a host and a port → its addresses, none when it has none


def urls_in(text: str) -> list[str]:
    """The URLs of a list with commas or spaces. Raises ValueError for one without a host or with an odd port."""
    urls = list(dict.fromkeys(url.rstrip("/") for url in re.split(r"[\s,]+", text) if url))
    for url in urls:
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            raise ValueError(f"{url} names no host to reach")
    if not urls:
        raise ValueError("no address is given")
    return urls


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, in order; none when its name cannot be looked up in time."""
    found: list[str] = []
    with anyio.move_on_after(RESOLVE_TIMEOUT_S):
        try:
            answers = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        wanted = {family for family, *_ in answers}
        family = socket.AF_INET if socket.AF_INET in wanted else socket.AF_INET6
        found = sorted({str(address[0]) for kind, *_, address in answers if kind == family})
    return found


class Replicas:
    """The replicas of a service, by address: the base of their URLs."""

    def __init__(self, service: str, urls: str, resolve: Resolve = look_up) -> None:
        self.service = service
        self._urls = urls_in(urls)
        self._resolve = resolve
        self._found = {url: [url] for url in self._urls}
        self._choice = ReplicaChoice(self._urls)

    @classmethod
    def of(cls, service: str, target: "str | Replicas") -> "Replicas":
        """Replicas as they are; URLs become some that nobody watches: one that is out stays so while another is in."""
        return cls(service, target) if isinstance(target, str) else target

    def __len__(self) -> int:
        return len(self._choice.conditions)

    @property
    def conditions(self) -> dict[str, Condition]:
        """What is known of each."""
        return self._choice.conditions

    @property
    def users(self) -> dict[str, int]:
        """How many have each."""
        return self._choice.users

    def take(self, besides: Collection[str] = ()) -> str | None:
        """The one to ask; whoever takes it gives it back. None when there is none besides these that is not out."""
        return self._choice.take(besides)

    def give(self, address: str) -> None:
        """Who took it is done with it."""
        self._choice.give(address)

    @contextmanager
    def taken(self, besides: Collection[str] = ()) -> Iterator[str | None]:
        """`take` for the time of the block."""
        address = self.take(besides)
        try:
            yield address
        finally:
            if address is not None:
                self.give(address)

    def lose(self, address: str) -> None:
        """It could not be reached, or its connection broke."""
        if self._choice.lose(address, clock.now_s()):
            metrics.REPLICA_CHANGES.labels(self.service, "out").inc()
        self._count()

    def refuse(self, address: str) -> None:
        """It said itself that it takes no more now."""
        self._choice.refuse(address)
        self._count()

    def note_move(self) -> None:
        """Work under way went on at another one."""
        metrics.REPLICA_CHANGES.labels(self.service, "moved").inc()

    def see(self, address: str, condition: Condition) -> None:
        """What a look at it showed."""
        if self._choice.see(address, condition, clock.now_s()):
            metrics.REPLICA_CHANGES.labels(self.service, "out" if condition in OUT else "back").inc()
        self._count()

    def due(self) -> list[str]:
        """Those to look at now."""
        return self._choice.due(clock.now_s())

    async def find(self) -> None:
        """Look the names up anew. A name that cannot be looked up now keeps the addresses that it had."""
        async with anyio.create_task_group() as tasks:
            for url in self._urls:
                tasks.start_soon(self._find, url)
        self._choice.replace([address for url in self._urls for address in self._found[url]])
        self._count()

    async def _find(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("https", "wss") or parts.hostname is None or _is_address(parts.hostname):
            return
        hosts = await self._resolve(parts.hostname, parts.port or 80)
        if hosts:
            self._found[url] = [_with_host(url, host) for host in hosts] if len(hosts) > 1 else [url]

    def _count(self) -> None:
        conditions = list(self.conditions.values())
        for condition in Condition:
            metrics.REPLICAS.labels(self.service, condition.value).set(conditions.count(condition))


def over_http(address: str) -> str:
    """The address of a replica for requests, where it may be one for WebSockets."""
    return address.replace("ws", "http", 1) if address.startswith("ws") else address


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _with_host(url: str, host: str) -> str:
    """The URL with another host, its port and path as they were."""
    parts = urlsplit(url)
    shown = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=shown if parts.port is None else f"{shown}:{parts.port}").geturl()
