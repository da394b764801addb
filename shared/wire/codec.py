"""Text frames ↔ messages: JSON objects told apart by `type` (`op` is read too).

Law: what comes out of here, either way, can be encoded. Half of a character (JSON can name one: `"\\ud83d"`), which no
text frame can hold, becomes U+FFFD; the rest of its text stays as it is.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import InvalidJson, InvalidMessage, MessageTooLarge, UnknownType

MESSAGE_LIMIT_BYTES = 1024 * 1024
_HALF = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")  # also of a pair in escapes, which is a character


class Message(BaseModel):
    """A frozen message; `type` is a literal default of each subclass. Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)
    type: ClassVar[str]

    def to_json(self, **more: object) -> str:
        """One line of JSON, `type` first, then `more`, then the fields that are set; None means absent."""
        return whole(json.dumps({"type": self.type, **more, **self.model_dump(exclude_none=True)}, ensure_ascii=False))


M = TypeVar("M", bound=Message)


class Codec(Generic[M]):
    """Read the messages of one direction of one wire."""

    def __init__(self, messages: Iterable[type[M]]) -> None:
        self.models: dict[str, type[M]] = {}
        for model in messages:
            assert model.type not in self.models, f"two messages are called {model.type}"
            self.models[model.type] = model

    def decode(self, text: str) -> M:
        """The message in `text`; raises MessageTooLarge, InvalidJson, UnknownType or InvalidMessage."""
        return self.validate(load_object(text))

    def validate(self, fields: dict[str, Any]) -> M:
        """The message with these fields; raises UnknownType or InvalidMessage."""
        name = fields.get("type") or fields.get("op")
        if not isinstance(name, str) or name not in self.models:
            raise UnknownType(
                f"There is no message of type {str(name)[:40]!r}; known: {', '.join(self.models)}.", param="type"
            )
        try:
            return self.models[name].model_validate(fields)
        except ValidationError as failure:
            first = failure.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise InvalidMessage(f"{name}.{field}: {first['msg']}.", param=field or None) from None


def load_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`; raises MessageTooLarge or InvalidJson."""
    if (size := size_bytes(text)) > MESSAGE_LIMIT_BYTES:
        raise MessageTooLarge(f"A message has at most {MESSAGE_LIMIT_BYTES} bytes; this one has {size}.")
    try:
        found = json.loads(text)
        if _HALF.search(text):
            found = json.loads(whole(json.dumps(found, ensure_ascii=False)))
    except (ValueError, RecursionError):
        raise InvalidJson("The text frame is not JSON.") from None
    if not isinstance(found, dict):
        raise InvalidJson("The text frame is JSON, but no object.")
    return found


def whole(text: str) -> str:
    """`text` with U+FFFD for each half of a character; two halves that stand side by side are joined."""
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def size_bytes(text: str) -> int:
    """How many bytes `text` has in UTF-8; free for ASCII, which is most of what is sent."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def check_frame(pcm: bytes) -> bytes:
    """A binary frame of any length up to the limit; raises MessageTooLarge."""
    if len(pcm) > MESSAGE_LIMIT_BYTES:
        raise MessageTooLarge(f"A binary frame has at most {MESSAGE_LIMIT_BYTES} bytes; this one has {len(pcm)}.")
    return pcm
