"""The body of an answer, as it comes over the wire.

Nothing is unpacked: a few bytes can be packed so that they fill the memory. Every request whose answer is read here
asks for a plain body (`PLAIN`), as a client that says nothing is understood to take a packed one.
"""

from collections.abc import AsyncGenerator

import httpx

PLAIN = {"Accept-Encoding": "identity"}  # goes with every request whose body is read here


async def plain_bytes(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body in pieces. Raises httpx.DecodingError for one that was packed, though nobody asked for that."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise httpx.DecodingError("the body is packed", request=response.request)
    async for chunk in response.aiter_raw():
        yield chunk
