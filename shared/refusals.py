"""An error as an HTTP answer: the same body and headers wherever it is found out."""

from fastapi.responses import JSONResponse

from shared.errors import ParleyError, error_body


def refusal(error: ParleyError, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer that tells `error`; `Retry-After` in whole seconds, rounded up, where it says when to come back."""
    told = dict(headers or {})
    if error.retry_after_ms is not None:
        told["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    return JSONResponse(error_body(error), status_code=error.status, headers=told)
