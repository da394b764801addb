"""The one tree of errors that a client may see.

    ParleyError
    ├── BadRequest                 400  the peer sent something wrong; sending it again cannot help
    │   ├── InvalidJson            400  the text was not JSON, or no object
    │   ├── UnknownType            400  no message of that type exists
    │   ├── InvalidMessage         400  a field is missing, of the wrong type or out of its bounds
    │   ├── InvalidAudio           400  the bytes are not the audio that they should be
    │   ├── MessageTooLarge        413  a message is over its size limit
    │   ├── ContextLengthExceeded  400  the messages do not fit the model's context; a shorter conversation may
    │   ├── IdempotencyKeyReused   422  the idempotency key came before with another request
    │   └── Unsupported            400  known, but this server does not do it
    ├── NotFound                   404  no such thing
    │   ├── ModelNotFound          404  no server has the model that is asked for
    │   └── SessionNotFound        404  no such session can be gone on with (any more)
    ├── RequestInFlight            409  the same request is being answered; ask again when it was
    ├── Overloaded                 429  refused for load; try again after `retry_after_ms`
    │   ├── TooManySessions        429  no session is free
    │   └── AudioOverrun           429  audio came faster than it can be taken
    ├── ServiceUnavailable         503  a service that Parley needs does not answer
    ├── ServiceTimeout             504  a service that Parley needs answers too late
    ├── EngineFailed               502  an engine failed at its work
    └── InternalError              500  a fault of ours

A leaf is a code, whether a retry can help, an HTTP status and a WebSocket close code. Its message is a sentence for a
person; it never holds the text of another exception, speech, a prompt or a secret.
"""

from typing import ClassVar


class ParleyError(Exception):
    """Something that a client is told. `service` names the part that failed: asr, llm, tts or gateway."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, service: str | None = None, param: str | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.service = service
        self.param = param
        self.retry_after_ms = retry_after_ms


class BadRequest(ParleyError):
    code = "bad_request"
    status = 400
    close_code = 1008


class InvalidJson(BadRequest):
    code = "invalid_json"


class UnknownType(BadRequest):
    code = "unknown_type"


class InvalidMessage(BadRequest):
    code = "invalid_message"


class InvalidAudio(BadRequest):
    code = "invalid_audio"


class MessageTooLarge(BadRequest):
    code = "message_too_large"
    status = 413
    close_code = 1009


class ContextLengthExceeded(BadRequest):
    code = "context_length_exceeded"


class IdempotencyKeyReused(BadRequest):
    code = "idempotency_key_reused"
    status = 422


class Unsupported(BadRequest):
    code = "unsupported"


class NotFound(ParleyError):
    code = "not_found"
    status = 404
    close_code = 1008


class ModelNotFound(NotFound):
    code = "model_not_found"


class SessionNotFound(NotFound):
    code = "session_not_found"


class RequestInFlight(ParleyError):
    code = "request_in_flight"
    status = 409
    close_code = 1013
    retryable = True


class Overloaded(ParleyError):
    code = "overloaded"
    status = 429
    close_code = 1013
    retryable = True


class TooManySessions(Overloaded):
    code = "too_many_sessions"


class AudioOverrun(Overloaded):
    code = "audio_overrun"


class ServiceUnavailable(ParleyError):
    code = "service_unavailable"
    status = 503
    close_code = 1013
    retryable = True


class ServiceTimeout(ParleyError):
    code = "service_timeout"
    status = 504
    close_code = 1013
    retryable = True


class EngineFailed(ParleyError):
    code = "engine_failed"
    status = 502
    retryable = True


class InternalError(ParleyError):
    code = "internal_error"


def leaves(root: type[ParleyError] = ParleyError) -> list[type[ParleyError]]:
    """Every error below `root`, in the order of the drawing above."""
    found: list[type[ParleyError]] = []
    for child in root.__subclasses__():
        found += [child, *leaves(child)]
    return found


def error_body(error: ParleyError) -> dict[str, dict[str, str | None]]:
    """The JSON of an HTTP answer, in the shape that OpenAI's clients read."""
    kind = (
        "invalid_request_error" if error.status < 429 else "rate_limit_error" if error.status == 429 else "server_error"
    )
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
