"""Decide when two requests are the same one: the key as it is looked up, and the fingerprint of a body.

Keeps and compares nothing itself. What a client sends is never an error here, except a key that is no key.
Laws: the order of fields, spaces, escapes and how a number is written (5, 5.0, 5e0) change nothing in a body, nor do
fields of it without effect on the answer: those that are only accepted, and those that say what holds without them
(null, or the default on every route that has the field). Any other difference does, and inside of a field all of it.
Keys of different callers, methods and paths never meet.
"""

import json
import re
from hashlib import sha256

WITHOUT_EFFECT = frozenset(
    {"user", "metadata", "session_id", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
)
DEFAULTS = {"stream": "false", "n": "1", "best_of": "1", "echo": "false", "suffix": '""', "logit_bias": "{}"}  # as JSON
_KEY = re.compile(r"[!-~]{1,255}")  # visible ASCII


def is_key(text: str) -> bool:
    """Whether a client may use it as a key: 1 to 255 visible ASCII characters."""
    return _KEY.fullmatch(text) is not None


def scoped(caller: str, method: str, path: str, key: str) -> str:
    """The key as it is looked up, 64 hex digits. `caller` tells callers apart; it cannot be read from the result."""
    who = sha256(caller.encode("utf-8", "surrogatepass")).hexdigest()
    return sha256(json.dumps([who, method, path, key]).encode()).hexdigest()


def fingerprint(body: bytes) -> str:
    """64 hex digits that are the same for bodies that ask the same."""
    return sha256(_canonical(body)).hexdigest()


def _canonical(body: bytes) -> bytes:
    try:
        fields = json.loads(body, parse_float=_number)
        if isinstance(fields, dict):
            fields = {name: value for name, value in fields.items() if _counts(name, value)}
        return _written(fields).encode()
    except (ValueError, RecursionError):  # no JSON, or none that can be told apart in this way
        return body


def _counts(name: str, value: object) -> bool:
    is_default = name in DEFAULTS and _written(value) == DEFAULTS[name]
    return not (name in WITHOUT_EFFECT or value is None or is_default)


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _number(written: str) -> float | int:
    """A number with a point or an exponent; a whole one as if it had neither."""
    number = float(written)
    return int(number) if number.is_integer() else number
