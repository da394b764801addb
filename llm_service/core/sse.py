"""Cut a stream of bytes into the payloads of its server-sent events.

Reads what servers really send: `data:` lines with or without a space, lines ended by LF or CR LF, comments that keep a
connection alive, a byte order mark before the first line, a last event without its blank line, `error:` lines (older
llama.cpp) and bare JSON objects where an event should be. Ignores every other line, as the standard asks. A lone CR
ends no line: no server sends that.
Laws: cutting the bytes anywhere changes nothing; an event above the limit breaks the parser for good, and what was read
before it stands.
"""

LIMIT_BYTES = 1024 * 1024
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}".encode()  # the byte order mark


class EventParser:
    """Bytes in, payloads out; `is_broken` after an event above the limit."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._pending = bytearray()
        self._searched_bytes = 0
        self._event: list[bytes] = []
        self._event_bytes = 0
        self._has_begun = False
        self.is_broken = False

    def feed(self, chunk: bytes) -> list[str]:
        """The payloads that `chunk` completes."""
        payloads: list[str] = []
        self._pending += chunk
        while (end := self._pending.find(b"\n", self._searched_bytes)) >= 0 and self._is_within(end):
            line = bytes(self._pending[:end])
            del self._pending[: end + 1]
            self._searched_bytes = 0
            if not self._has_begun:
                self._has_begun, line = True, line.removeprefix(_MARK)
            payloads += self._read_line(line.removesuffix(b"\r"))
        self._searched_bytes = len(self._pending)
        self._is_within(len(self._pending))
        return payloads

    def finish(self) -> list[str]:
        """The payload of a last event that has no blank line after it."""
        return self.feed(b"\n\n")

    def _read_line(self, line: bytes) -> list[str]:
        if not line:
            lines, self._event, self._event_bytes = self._event, [], 0
            return [b"\n".join(lines).decode("utf-8", "replace")] if lines else []
        value = _value(line)
        if value is not None:
            self._event.append(value)
            self._event_bytes += len(line)
        return []

    def _is_within(self, line_bytes: int) -> bool:
        """Whether the event with one more line of this length is below the limit; if not, nothing is kept or read."""
        self.is_broken |= self._event_bytes + line_bytes > self._limit_bytes
        if self.is_broken:
            self._pending.clear()
            self._event.clear()
        return not self.is_broken


def _value(line: bytes) -> bytes | None:
    if line.startswith(b"{"):
        return line
    field, _, value = line.partition(b":")
    if field == b"data":
        return value.removeprefix(b" ")
    return b'{"error":' + value + b"}" if field == b"error" else None
