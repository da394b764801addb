"""Keep what a person wrote from becoming a model's control marker.

A model marks roles and turns with control tokens such as `<|im_start|>`. A server that tokenises the rendered chat
template whole cannot tell its own markers from typed ones, so a typed one would be a change of role. Each marker in the
text gets a space after its first character (`< |im_start|>`): a person and the model still read it, as ordinary text.

Never looks at markers of one character, nor changes text without markers.
Laws: no marker is left (for markers without spaces, which all are); the rest of the text is kept; twice is once.
"""

import re
from collections.abc import Iterable

_SHORTEST = 2  # a marker of one character cannot be broken by a space after it


class MarkerBreaker:
    """The markers of one model, broken by a gap wherever text holds them."""

    def __init__(self, markers: Iterable[str], gap: str = " ") -> None:
        texts = sorted({marker for marker in markers if len(marker) >= _SHORTEST}, key=len)
        self._pattern = _starts_of(texts) if texts else None
        self._gap = gap

    def broken(self, text: str) -> str:
        """`text` with the gap after the first character of every marker, overlapping ones too."""
        return self._pattern.sub(lambda found: found[0] + self._gap, text) if self._pattern else text


def _starts_of(texts: list[str]) -> re.Pattern[str]:
    """One character at which a marker begins; its own value is looked at first, as a model may have thousands."""
    first = "".join(re.escape(character) for character in sorted({text[0] for text in texts}))
    return re.compile(f"(?=[{first}])(?=(?:{'|'.join(map(re.escape, texts))}))(?s:.)")
