"""What is written down of a session, record by record. A record is its kind, one byte, and its content."""

import json
from dataclasses import astuple, dataclass
from typing import Any, Final, get_args

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """The first one: whose session it is, and by which secret it can be gone on with."""

    session_id: str
    user_id: str
    token: str
    transport: str
    is_named: bool = False  # its name is all that its client knows of it


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that stands from here on, until the next one of its name."""

    name: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Posted:
    """A message that the client is to be told; it has no `seq` yet."""

    frame: str


@dataclass(frozen=True, slots=True)
class Told:
    """A message that was sent, as it was sent."""

    frame: str


@dataclass(frozen=True, slots=True)
class Sounded:
    """Audio of the answer that was sent: so many samples, in a frame, when so much of the answer had been heard."""

    frame: str | bytes
    samples: int
    heard_ms: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """Audio of the person, of an utterance that is not understood yet."""

    pcm: bytes


Record = Opened | Noted | Posted | Told | Sounded | Spoken
KINDS: Final = dict(zip(b"ONPTSU", get_args(Record), strict=True))
_WIDTH: Final = 5  # of the two numbers before a sounded frame, in bytes
_IS_TEXT: Final = {str: b"t", bytes: b"b"}


def encode(record: Record) -> bytes:
    """The record as bytes."""
    kind = bytes([next(code for code, kind in KINDS.items() if isinstance(record, kind))])
    match record:
        case Opened():
            return kind + _json(astuple(record))
        case Noted(name, fields):
            return kind + _json([name, fields])
        case Posted(frame) | Told(frame):
            return kind + frame.encode()
        case Sounded(frame, samples, heard_ms):
            numbers = samples.to_bytes(_WIDTH) + heard_ms.to_bytes(_WIDTH)
            return kind + numbers + _IS_TEXT[type(frame)] + (frame.encode() if isinstance(frame, str) else frame)
        case _:
            return kind + record.pcm


def decode(content: bytes) -> Record | None:
    """The record that these bytes are; None when they are none."""
    kind, body = KINDS.get(content[0]) if content else None, content[1:]
    try:
        if kind is Sounded:
            numbers = [int.from_bytes(body[at : at + _WIDTH]) for at in (0, _WIDTH)]
            mark, frame = body[2 * _WIDTH : 2 * _WIDTH + 1], body[2 * _WIDTH + 1 :]
            return Sounded(frame.decode() if mark == _IS_TEXT[str] else frame, *numbers)
        if kind is Told or kind is Posted:
            return kind(body.decode())
        if kind is Spoken:
            return Spoken(body)
        return None if kind is None else kind(*json.loads(body))
    except (ValueError, TypeError):
        return None


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
