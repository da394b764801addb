"""The app factory: what every service's HTTP side has in common (health, metrics, errors as JSON, being served)."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from shared import logs
from shared.errors import BadRequest, InternalError, InvalidJson, InvalidMessage, NotFound, ParleyError, error_body
from shared.health import READY, Readiness
from shared.settings import ServiceSettings

WIRE_LIMIT_BYTES = 16 * 1024 * 1024  # the transport's limit; a message's own, smaller limit gives a typed error
log = logging.getLogger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(title: str, readiness: Readiness, lifespan: Lifespan | None = None) -> FastAPI:
    """An app with /health, /ready, /metrics and errors in one shape; the service adds its routes."""
    app = FastAPI(title=title, lifespan=lifespan, openapi_url="/openapi.json", docs_url="/docs", redoc_url=None)
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
        headers = {}
        if error.retry_after_ms is not None:
            headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
        return JSONResponse(error_body(error), status_code=error.status, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        invalid = _first_fault(error)
        return JSONResponse(error_body(invalid), status_code=invalid.status)

    @app.exception_handler(HTTPException)
    async def answer_http(_: Request, error: HTTPException) -> JSONResponse:
        known = NotFound(str(error.detail)) if error.status_code == 404 else BadRequest(str(error.detail))
        return JSONResponse(error_body(known), status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def answer_fault(_: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        return JSONResponse(error_body(InternalError("Something went wrong on our side.")), status_code=500)


def _first_fault(error: RequestValidationError) -> InvalidJson | InvalidMessage:
    """What is wrong first: `loc` is the place (body, query, path …) and then the field."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return InvalidJson("The body is not JSON.")
    place, *field = map(str, first["loc"])
    param = ".".join(field)
    return InvalidMessage(f"{param or place}: {first['msg']}.", param=param or None)


def serve(app: FastAPI, settings: ServiceSettings, service: str) -> None:
    """Serve until SIGTERM or SIGINT: stop accepting, let connections finish for the grace, then cancel them."""
    logs.configure(service, settings.log_level)
    uvicorn.run(app, **server_options(settings))


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
