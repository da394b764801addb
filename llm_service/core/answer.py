"""Read one chat completion out of an upstream's events, whichever OpenAI-compatible server it is.

Decides what each event means: more text, the end with its reason, token counts, or a failure of a known kind. Trusts no
single sign: `[DONE]` without a finish reason is a cut, a finish reason without `[DONE]` is complete, counts are read
wherever they appear and the last ones hold. Knows errors as an object, as plain text and flat (`{"code", "error"}`).
Never raises for what an upstream sent, and never hands on the text of an upstream's error: it may quote the prompt.
Laws: at most one Finished and one Failed; nothing after Failed; whatever is sent, a list comes back.
"""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]
_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
}
_CONTEXT_CODES = ("context_length_exceeded", "exceed_context_size_error")
_CONTEXT_WORDS = ("maximum context length", "context size", "context window")
DONE = "[DONE]"


class Failure(Enum):
    """Why an upstream gave no answer, or no more of it."""

    TOO_LONG = "the prompt is longer than the model's context"
    REFUSED = "the request was refused"
    KEY_REFUSED = "the key was refused"
    NOT_THERE = "the model or the path is not there"
    OVERLOADED = "refused for load"
    UNAVAILABLE = "it cannot serve now"
    BROKEN = "it failed at its work"
    GARBLED = "what it sent cannot be understood"
    CUT = "it ended before its time"


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete."""

    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, or no more of it."""

    failure: Failure


Part = Delta | Finished | Usage | Failed


class AnswerReader:
    """Payloads in, parts out; `usage` is known when the stream has ended."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.is_finished = False
        self.is_done = False
        self._has_failed = False

    def read(self, payload: str) -> list[Part]:
        """What one event says."""
        if self._has_failed or self.is_done:
            return []
        if payload.strip() == DONE:
            self.is_done = True
            return []
        parts = self._read_object(_object(payload))
        self._has_failed = any(isinstance(part, Failed) for part in parts)
        return parts

    def conclude(self) -> list[Part]:
        """What it means that no more events come: the counts of a complete answer, or that it was cut."""
        if self._has_failed:
            return []
        if not self.is_finished:
            return [Failed(Failure.CUT)]
        return [self.usage] if self.usage else []

    def _read_object(self, event: dict[str, Any] | None) -> list[Part]:
        if event is None:
            return [Failed(Failure.GARBLED)]
        if event.get("error") or event.get("object") == "error":
            return [Failed(failure_of(_code(event), event))]
        counts = _counts(event.get("usage"))
        self.usage = counts or self.usage
        choices = event.get("choices")
        if not isinstance(choices, list):
            return [] if counts else [Failed(Failure.GARBLED)]
        return self._read_choice(choices[0]) if choices else []

    def _read_choice(self, choice: object) -> list[Part]:
        if not isinstance(choice, dict):
            return [Failed(Failure.GARBLED)]
        message = choice.get("delta") or choice.get("message") or {}  # a message: the stream was not wanted
        if not isinstance(message, dict):
            return [Failed(Failure.GARBLED)]
        text = message.get("content")
        parts: list[Part] = [Delta(text)] if isinstance(text, str) and text else []
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and not self.is_finished:
            self.is_finished = True
            parts.append(Finished(_REASONS.get(reason, "stop")))
        return parts


def failure_of(status: int, event: object) -> Failure:
    """The kind of an error: an HTTP status (0: none was given) and the body or event that came with it."""
    text = json.dumps(event, ensure_ascii=False).lower()
    if any(code in text for code in _CONTEXT_CODES) or (status in (0, 400) and _speaks_of_context(text)):
        return Failure.TOO_LONG
    known = {
        401: Failure.KEY_REFUSED,
        403: Failure.KEY_REFUSED,
        404: Failure.NOT_THERE,
        405: Failure.NOT_THERE,
        429: Failure.OVERLOADED,
        502: Failure.UNAVAILABLE,
        503: Failure.UNAVAILABLE,
        504: Failure.UNAVAILABLE,
    }
    return known.get(status, Failure.REFUSED if 400 <= status < 500 else Failure.BROKEN)


def body_failure(status: int, body: bytes) -> Failure:
    """The kind of a refusal, from the status and the bytes of an HTTP answer."""
    text = body.decode("utf-8", "replace")
    return failure_of(status, _object(text) or text)


def refuses_stream_options(status: int, body: bytes) -> bool:
    """Whether the same request without `stream_options` may be taken."""
    return status == 400 and b"stream_options" in body


def _speaks_of_context(text: str) -> bool:
    return any(words in text for words in _CONTEXT_WORDS)


def _object(payload: str) -> dict[str, Any] | None:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _code(event: dict[str, Any]) -> int:
    error = event["error"] if isinstance(event.get("error"), dict) else event
    code = error.get("code")
    return code if isinstance(code, int) else 0


def _counts(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Usage(prompt, completion) if isinstance(prompt, int) and isinstance(completion, int) else None
