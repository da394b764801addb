"""How the bytes of a spoken file stand in an HTTP body: as they are, or as OpenAI's server-sent events."""

import base64
import json
from typing import Any, Final, Protocol

from shared.errors import ParleyError, error_body

AUDIO_TOKEN_MS: Final = 50  # OpenAI counts about twenty tokens for a second of speech


class Body(Protocol):
    """One body, from its first part to its end."""

    media_type: str

    def part(self, made: bytes) -> bytes:
        """What is sent for some bytes of the file."""
        ...

    def end(self, audio_ms: int) -> bytes:
        """What is sent after the last of them; the file lasts `audio_ms`."""
        ...

    def failure(self, error: ParleyError) -> bytes:
        """What tells that the rest of the file does not come; empty where only a body cut short can tell it."""
        ...


class FileBody:
    """The file itself."""

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type

    def part(self, made: bytes) -> bytes:
        return made

    def end(self, audio_ms: int) -> bytes:
        return b""

    def failure(self, error: ParleyError) -> bytes:
        return b""


class EventBody:
    """`speech.audio.delta` for each piece of the file, then `speech.audio.done`, or `speech.audio.error`.

    `usage` counts a token for each character of the text, and one for each `AUDIO_TOKEN_MS` of speech.
    """

    media_type = "text/event-stream"

    def __init__(self, text_chars: int) -> None:
        self._text_chars = text_chars

    def part(self, made: bytes) -> bytes:
        return event("speech.audio.delta", audio=base64.b64encode(made).decode("ascii"))

    def end(self, audio_ms: int) -> bytes:
        spoken = -(-audio_ms // AUDIO_TOKEN_MS)
        usage = {
            "input_tokens": self._text_chars,
            "output_tokens": spoken,
            "total_tokens": self._text_chars + spoken,
        }
        return event("speech.audio.done", usage=usage)

    def failure(self, error: ParleyError) -> bytes:
        return event("speech.audio.error", **error_body(error))


def event(kind: str, **fields: Any) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps({"type": kind, **fields}, ensure_ascii=False).encode() + b"\n\n"
