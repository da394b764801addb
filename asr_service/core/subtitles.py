"""Subtitles: texts with times as SubRip (srt) and WebVTT (vtt).

It writes what it is given, in the order given: it breaks no line, joins no cue and knows nothing of sound.

Laws: a cue is one block whose text is one line, whatever the text holds, so no text can pass for a time or a block of
its own; a cue without text is left out; every cue lasts a millisecond or longer; the blocks are numbered from 1 on. A
line keeps every sign of its script, spaces that are no plain ones and joiners too, and can be written as UTF-8.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

ARROW = "-->"
LONG_ARROW = re.compile("-{2,}>")  # also what becomes an arrow when a part of it is taken out
NO_SIGNS = re.compile("[\0-\x08\x0e-\x1b\x7f\ud800-\udfff]")  # controls that are no space, halves of characters
GAP = re.compile("[\t-\r\x1c-\x20\x85\u2028\u2029]+")  # plain spaces and all that may end a line


@dataclass(frozen=True, slots=True)
class Cue:
    """A text and when it is said, seconds; ValueError unless 0 <= start <= end, both finite."""

    start_s: float
    end_s: float
    text: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.start_s <= self.end_s < inf:
            raise ValueError(f"a cue reaches from 0 or later to its start or later, not {self.start_s} to {self.end_s}")


def srt(cues: Iterable[Cue]) -> str:
    """The cues as SubRip; "" for none."""
    lines = ((cue, LONG_ARROW.sub("->", _line(cue.text))) for cue in cues)
    shown = [f"{_times(cue, ',')}\n{line}\n" for cue, line in lines if line]
    return "\n".join(f"{number}\n{block}" for number, block in enumerate(shown, 1))


def vtt(cues: Iterable[Cue]) -> str:
    """The cues as WebVTT; markup in a text is shown as it stands."""
    lines = ((cue, _escaped(_line(cue.text))) for cue in cues)
    return "\n".join(["WEBVTT\n", *(f"{_times(cue, '.')}\n{line}\n" for cue, line in lines if line)])


def timestamp(time_ms: int, mark: str) -> str:
    """`01:02:03,004` with `mark` before the milliseconds; hours have two digits or more."""
    seconds, ms = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{ms:03}"


def _times(cue: Cue, mark: str) -> str:
    start_ms = round(cue.start_s * 1000)
    end_ms = max(round(cue.end_s * 1000), start_ms + 1)  # WebVTT: the end is after the start
    return f"{timestamp(start_ms, mark)} {ARROW} {timestamp(end_ms, mark)}"


def _line(text: str) -> str:
    """`text` on one line, without white space at its ends."""
    return GAP.sub(" ", NO_SIGNS.sub("", text)).strip()


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
