"""Read the idempotency key of a request: `Idempotency-Key`, or `X-Idempotency-Key` as older clients send it."""

from functools import partial

from fastapi import FastAPI, Request

from llm_service.core.fingerprint import fingerprint, is_key, scoped
from llm_service.runs import Claim, Make, Opening, Runs, live
from llm_service.upstream import SERVICE
from shared.errors import BadRequest

_HEADERS = ("Idempotency-Key", "X-Idempotency-Key")
_ANONYMOUS = ""
_METHOD = "POST"  # what has a key is asked with it, also when the answer is dismissed


def key_of(request: Request) -> str | None:
    """The request's key as it is looked up; None without one. Raises BadRequest for a key that is none, or for two."""
    keys = {key for name in _HEADERS for key in request.headers.getlist(name)}
    if not keys:
        return None
    if len(keys) > 1:
        raise BadRequest("The request has two idempotency keys.", service=SERVICE, param=_HEADERS[0])
    key = keys.pop()
    if not is_key(key):
        raise BadRequest(
            "An idempotency key has 1 to 255 visible ASCII characters.", service=SERVICE, param=_HEADERS[0]
        )
    caller = request.headers.get("Authorization", _ANONYMOUS)
    return scoped(caller, _METHOD, request.url.path, key)


async def claim_of(request: Request) -> Claim | None:
    """What a request claims; None without a key. Raises BadRequest."""
    key = key_of(request)
    return Claim(key, fingerprint(await request.body())) if key else None


def opening(runs: Runs, claim: Claim | None, make: Make) -> Opening:
    """How the answer is read: out of a run when there is a key, else while it is made."""
    return partial(live, make) if claim is None else partial(runs.reading, claim, make)


def add_dismissal(app: FastAPI, path: str, runs: Runs) -> None:
    """Add the route by which a client says that it will not ask again: the answer ends with its last reader."""

    @app.delete(path, status_code=204)
    async def dismiss(request: Request) -> None:
        key = key_of(request)
        if key is None:
            raise BadRequest("Which answer? The request has no idempotency key.", service=SERVICE, param=_HEADERS[0])
        await runs.dismiss(key)
