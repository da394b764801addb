"""Read one chat completion out of an upstream's events, whichever OpenAI-compatible server it is.

Decides what each event means: more text, a piece of a tool call, the end with its reason, token counts, or a failure of
a known kind. Trusts no single sign: `[DONE]` without a finish reason is a cut, a finish reason without `[DONE]` is
complete, counts are read wherever they appear and the last ones hold. Knows errors as an object, as plain text and flat
(`{"code", "error"}`), and text that comes in parts. A model's reasoning is no text of its answer, and no choice counts
but the first (`index` 0, or none told). Never raises for what an upstream sent, and never hands on the text of an
upstream's error: it may quote the prompt.
Laws: at most one Finished and one Failed; after Finished only counts or a failure, nothing after Failed; no answer is
longer than its limit, where each event counts as a character at least; whatever is sent, a list comes back.
"""

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeGuard

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]
_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
}
_CONTEXT_CODES = ("context_length_exceeded", "exceed_context_size_error")
_CONTEXT_WORDS = ("maximum context length", "context size", "context window")
_MOST_TOKENS = 2**53  # more is no count
_CALLS_LIMIT = 128  # tool calls of one answer; no model makes so many
DONE = "[DONE]"
LIMIT = 400_000


class Failure(Enum):
    """Why an upstream gave no answer, or no more of it."""

    TOO_LONG = "the prompt is longer than the model's context"
    REFUSED = "the request was refused"
    UNSUPPORTED = "the request asks for what it does not do"
    KEY_REFUSED = "the key was refused"
    NOT_THERE = "the model or the path is not there"
    OVERLOADED = "refused for load"
    UNAVAILABLE = "it cannot serve now"
    BROKEN = "it failed at its work"
    GARBLED = "what it sent cannot be understood"
    CUT = "it ended before its time"
    ENDLESS = "it went on above its limit"


_KINDS = {
    Failure.KEY_REFUSED: ("authentication_error", "permission_error", "invalid_api_key", "401", "403"),
    Failure.NOT_THERE: ("not_found_error", "notfounderror", "model_not_found", "404"),
    Failure.OVERLOADED: ("rate_limit_error", "rate_limit_exceeded", "insufficient_quota", "429"),
    Failure.UNAVAILABLE: ("unavailable_error", "overloaded_error", "502", "503", "504"),
    Failure.REFUSED: ("invalid_request_error", "badrequesterror", "400", "422"),
}
_WORDS = {word: failure for failure, words in _KINDS.items() for word in words}
_NO_ROUTE = ("file not found", "not found", "404 page not found", "method not allowed")


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call: of which one in this answer, its id and function when told, more of its arguments."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers: the server's name, for figures, and the model's public name. Comes first, where it is told."""

    upstream: str
    model: str


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


Part = Delta | ToolCallDelta | Finished | Usage | Failed | Answerer


class AnswerReader:
    """Payloads in, parts out; `usage` is known when the stream has ended. `limit`: characters of the answer."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.usage: Usage | None = None
        self.is_finished = False
        self.is_done = False
        self._left = limit
        self._has_failed = False
        self._has_called = False

    def read(self, payload: str) -> list[Part]:
        """What one event says."""
        if self._has_failed or self.is_done:
            return []
        if payload.strip() == DONE:
            self.is_done = True
            return []
        parts = self._within(self._read_object(_object(payload)))
        self._has_failed = any(isinstance(part, Failed) for part in parts)
        return parts

    def conclude(self) -> list[Part]:
        """What it means that no more events come: the counts of a complete answer, or that it was cut."""
        if self._has_failed:
            return []
        if not self.is_finished:
            return [Failed(Failure.CUT)]
        return [self.usage] if self.usage else []

    def _within(self, parts: list[Part]) -> list[Part]:
        """The parts while the answer is below its limit."""
        self._left -= max(1, sum(_length(part) for part in parts))
        return parts if self._left >= 0 else [Failed(Failure.ENDLESS)]

    def _read_object(self, event: dict[str, Any] | None) -> list[Part]:
        if event is None:
            return [Failed(Failure.GARBLED)]
        if event.get("error") or event.get("object") == "error":
            return [Failed(kind_of(event))]
        counts = _counts(event.get("usage"))
        self.usage = counts or self.usage
        choices = event.get("choices")
        if not isinstance(choices, list):
            return [] if counts else [Failed(Failure.GARBLED)]
        found = [choice for choice in choices if _is_first(choice)]
        return self._read_choice(found[0]) if found and not self.is_finished else []

    def _read_choice(self, choice: object) -> list[Part]:
        if not isinstance(choice, dict):
            return [Failed(Failure.GARBLED)]
        message = choice.get("delta") or choice.get("message") or {}  # a message: the stream was not wanted
        if not isinstance(message, dict):
            return [Failed(Failure.GARBLED)]
        text = _said(message.get("content"))
        parts: list[Part] = [Delta(text)] if text else []
        calls = _calls(message.get("tool_calls"))
        if calls is None:
            return [Failed(Failure.GARBLED)]
        self._has_called |= bool(calls)
        parts += calls
        reason = reason_of(choice)
        if reason:
            self.is_finished = True
            ours = _REASONS.get(reason, "stop")
            parts.append(Finished("tool_calls" if ours == "stop" and self._has_called else ours))
        return parts


def reason_of(choice: dict[str, Any]) -> str | None:
    """Why an answer ended, in the server's words; None while it goes on. An empty reason is none."""
    return _text(choice.get("finish_reason"))


def failure_of(status: int, event: object) -> Failure:
    """The kind of an error: an HTTP status (0: none was given) and the body or event that came with it."""
    text = _written(event).lower()
    if any(code in text for code in _CONTEXT_CODES) or (status in (0, 400) and _speaks_of_context(text)):
        return Failure.TOO_LONG
    if status == 400 and _code(event) == "unsupported":  # another service of this kind
        return Failure.UNSUPPORTED
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


def kind_of(event: dict[str, Any]) -> Failure:
    """The kind of an error that came as an event: by its code, or by what it calls itself."""
    error = event["error"] if isinstance(event.get("error"), dict) else event
    code = error.get("code")
    if isinstance(code, int):
        return failure_of(code, event)
    found = failure_of(0, event)
    names = [name.lower() for name in (code, error.get("type")) if isinstance(name, str)]
    return found if found is not Failure.BROKEN else next((_WORDS[name] for name in names if name in _WORDS), found)


def body_failure(status: int, body: bytes) -> Failure:
    """The kind of a refusal, from the status and the bytes of an HTTP answer."""
    text = body.decode("utf-8", "replace")
    return failure_of(status, _object(text) or text)


def retry_ms(retry_after: str) -> int | None:
    """What the header `Retry-After` asks for, in milliseconds; None where it tells no sensible number of seconds."""
    return 1000 * int(retry_after) if re.fullmatch("[0-9]{1,5}", retry_after) else None


def refuses_stream_options(status: int, body: bytes) -> bool:
    """Whether the same request without `stream_options` may be taken."""
    return status == 400 and b"stream_options" in body


def lacks_route(status: int, body: bytes) -> bool:
    """Whether a refusal says that the server does not know the path, which is not that it lacks a model."""
    return status in (404, 405) and _message(body).strip().lower() in _NO_ROUTE


def lacks_model(status: int, body: bytes) -> bool:
    """Whether a refusal says that the server does not have the model."""
    if status not in (400, 404) or lacks_route(status, body):
        return False
    text = body.decode("utf-8", "replace").lower()
    if "model_not_found" in text or (status == 404 and ("notfounderror" in text or "not_found_error" in text)):
        return True
    message = _message(body).lower()
    return message.startswith(("model", "the model")) and ("not exist" in message or "not found" in message)


def _message(body: bytes) -> str:
    """The sentence of a refusal, in whichever shape it came."""
    text = body.decode("utf-8", "replace")
    found: Any = _object(text) or {"message": text}
    error = found.get("error")
    found = error if isinstance(error, dict) else {"message": error} if isinstance(error, str) else found
    return next((said for name in ("message", "detail") if isinstance(said := found.get(name), str)), "")


def _length(part: Part) -> int:
    match part:
        case Delta(text):
            return len(text)
        case ToolCallDelta(_, _, name, arguments):
            return len(name or "") + len(arguments)
        case _:
            return 0


def _is_first(choice: object) -> bool:
    """Whether it is the one that was asked for; what is no choice at all is not passed over."""
    return not isinstance(choice, dict) or choice.get("index") in (None, 0)


def _said(content: object) -> str:
    """The text of a message, which may come in parts; those of other kinds are no text."""
    if not isinstance(content, list):
        return _text(content) or ""
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type", "text") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def _calls(given: object) -> list[ToolCallDelta] | None:
    """The pieces of tool calls in a message; None when they cannot be understood."""
    if given is None:
        return []
    if not isinstance(given, list):
        return None
    calls = [_call(one, place) for place, one in enumerate(given)]
    sound = [call for call in calls if call]
    return sound if len(sound) == len(calls) else None


def _call(given: object, place: int) -> ToolCallDelta | None:
    """One piece. A whole message gives no index, so the place counts."""
    if not isinstance(given, dict):
        return None
    index, function = given.get("index"), given.get("function") or {}
    index = place if index is None else index
    if not is_count(index) or index >= _CALLS_LIMIT or not isinstance(function, dict):
        return None
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
    return ToolCallDelta(index, _text(given.get("id")), _text(function.get("name")), text)


def _text(given: object) -> str | None:
    return given if isinstance(given, str) and given else None


def _speaks_of_context(text: str) -> bool:
    return any(words in text for words in _CONTEXT_WORDS)


def _code(event: object) -> object:
    """The code of an error in the shape of OpenAI's; None where there is none."""
    error = event.get("error") if isinstance(event, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def _written(event: object) -> str:
    """An event as text, to look for words in; "" for one that is nested too deep to be written."""
    try:
        return json.dumps(event, ensure_ascii=False)
    except RecursionError:
        return ""


def _object(payload: str) -> dict[str, Any] | None:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _counts(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Usage(prompt, completion) if is_count(prompt) and is_count(completion) else None


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a number of tokens; JSON's true and numbers beyond reason are none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
