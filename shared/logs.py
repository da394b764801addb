"""Logs: one JSON object a line, a static message and fields, the ids of what is going on taken from context variables.

Speech, prompts, replies and the texts of exceptions from engines do not belong into a log line; only their sizes do.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IDS: ContextVar[dict[str, str] | None] = ContextVar("ids", default=None)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Add ids (session_id, turn_id, reply_id …) to every line logged inside the block, in tasks started there too."""
    token = _IDS.set({**(_IDS.get() or {}), **ids})
    try:
        yield
    finally:
        _IDS.reset(token)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: level, service, message, ids, fields; the type of an exception, never its text."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **(_IDS.get() or {}),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["at"] = _innermost(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=_shown)


def _shown(value: object) -> str:
    """A field that JSON has no form for; of an exception its type alone, as its text may be a person's."""
    return type(value).__name__ if isinstance(value, BaseException) else str(value)


def _innermost(exc_info: tuple[type[BaseException], BaseException, object] | tuple[None, None, None]) -> str:
    """Where an exception was raised: module and line are ours to show, its text may be a person's."""
    trace = exc_info[1].__traceback__ if exc_info[1] else None
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "unknown"


def configure(service: str, level: str) -> None:
    """Send every logger of this process to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "websockets", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
