"""Routes that refuse a body of very many values before it is parsed.

A body below the limit of bytes could hold millions of empty lists: parsing them would hold up everybody for seconds and
fill a gigabyte. What is counted are the signs that begin a value or part it from the next; those in texts are not.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from shared.errors import InvalidMessage

MOST_SIGNS = 200_000  # brackets, commas and texts; some six times as many as 4096 plain messages have


class BoundedRoute(APIRoute):
    """A route whose body is counted before it is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def counted(request: Request) -> Response:
            try:
                body = await request.body()
            except ClientDisconnect:
                raise HTTPException(400, "The body ended before its time.") from None
            if has_too_many(body):
                raise InvalidMessage(f"The body has more than {MOST_SIGNS} values and signs between them.")
            return await handle(request)

        return counted


def has_too_many(body: bytes) -> bool:
    """Whether it has more signs than are parsed."""
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    pieces = bare.split(b'"', 2 * MOST_SIGNS + 2)  # a quote now parts texts from what is around them
    around = bare if b"\0" in bare else b" ".join(pieces[::2])  # in UTF-16 the byte of a quote may be of another sign
    return len(pieces) // 2 + sum(map(around.count, (b"[", b"{", b","))) > MOST_SIGNS
