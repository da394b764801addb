"""The app factory: what every service's HTTP side has in common (health, metrics, errors as JSON, being served)."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from shared import logs
from shared.body_limit import BODY_LIMIT_BYTES, BodyLimit
from shared.errors import BadRequest, InternalError, InvalidJson, InvalidMessage, NotFound, ParleyError, error_body
from shared.farewell import Farewell, Requests
from shared.health import READY, Readiness
from shared.patient_server import PatientServer
from shared.refusals import refusal
from shared.settings import ServiceSettings

WIRE_LIMIT_BYTES = 16 * 1024 * 1024  # the transport's limit; a message's own, smaller limit gives a typed error
NOT_STARTED = 3  # the exit code of a service whose lifespan or port failed
log = logging.getLogger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    title: str, readiness: Readiness, lifespan: Lifespan | None = None, body_limit_bytes: int = BODY_LIMIT_BYTES
) -> FastAPI:
    """An app with /health, /ready, /metrics, errors in one shape and bounded bodies; the service adds its routes.

    When the server cancels what runs, each request is told so before the lifespan is left.
    """
    requests = Requests()

    @asynccontextmanager
    async def until_told(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app) if lifespan else nullcontext(), requests.told():
            yield

    app = FastAPI(title=title, lifespan=until_told, openapi_url="/openapi.json", docs_url="/docs", redoc_url=None)
    app.add_middleware(BodyLimit, limit_bytes=body_limit_bytes)
    app.add_middleware(Farewell, requests=requests)  # the outermost, as it was added last
    _answer_errors(app)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        parts = await readiness.report()
        is_ready = all(state == READY for state in parts.values())
        return JSONResponse({"ready": is_ready, "parts": parts}, status_code=200 if is_ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(ParleyError)
    async def answer(_: Request, error: ParleyError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return refusal(_first_fault(error))

    @app.exception_handler(HTTPException)
    async def answer_http(_: Request, error: HTTPException) -> JSONResponse:
        known = NotFound(str(error.detail)) if error.status_code == 404 else BadRequest(str(error.detail))
        return JSONResponse(error_body(known), status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def answer_fault(_: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        return refusal(InternalError("Something went wrong on our side."))


def _first_fault(error: RequestValidationError) -> InvalidJson | InvalidMessage:
    """What is wrong first: `loc` is the place (body, query, path …) and then the field."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return InvalidJson("The body is not JSON.")
    place, *field = map(str, first["loc"])
    param = ".".join(field)
    return InvalidMessage(f"{param or place}: {first['msg']}.", param=param or None)


def serve(app: FastAPI, settings: ServiceSettings, service: str) -> None:
    """Serve until SIGTERM or SIGINT: stop accepting, let requests finish for the grace, then cancel them, then leave
    the app's lifespan. A connection whose other side takes nothing for a while is dropped."""
    logs.configure(service, settings.log_level)
    server = PatientServer(uvicorn.Config(app, **server_options(settings)))
    with suppress(KeyboardInterrupt):  # which the server raises again once it has ended for it
        server.run()
    if not server.started:
        sys.exit(NOT_STARTED)


def server_options(settings: ServiceSettings) -> dict[str, Any]:
    """How uvicorn serves each of our apps."""
    return {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "ws": "websockets-sansio",  # its send() waits for a slow reader (tests/shell/test_shared_app.py)
        "ws_max_size": WIRE_LIMIT_BYTES,
        "ws_per_message_deflate": False,  # speech hardly gets smaller, and packing it costs more than sending it
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": 20.0,
        "timeout_graceful_shutdown": max(1, round(settings.shutdown_grace_s)),
    }
