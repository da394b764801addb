"""Cut the text of a reply into segments to speak, while it comes, in every script.

A newline, a sentence's end, a soft mark (for the first segment only) or too great a length ends a segment; `boundaries`
says what is a sentence's end, this file what is held and when it leaves. It knows nothing of voices, audio or time.

Laws: the same text gives the same segments however it was cut into deltas; joined, the segments are the text but for
whitespace; no segment comes from more than `max_chars` code points, except a fenced code block, which is one segment of
any length (it is shown, not spoken); no emoji sequence or combining cluster is parted unless it alone is longer than
that, no number, abbreviation or Latin word unless it alone is longer than two thirds of that; a CJK comma that ends
the first segment leaves at once, whatever could still combine with it; what is held is bounded, code blocks excepted,
and so is the work for a delta of given length; any text is accepted, control characters and lone surrogates too.
"""

import re
from dataclasses import dataclass
from enum import Enum

from tts_service.core.boundaries import Verdict, is_in_wide_number, is_soft_end, judge, may_rest
from tts_service.core.clusters import parts_cluster, parts_word
from tts_service.core.marks import (
    CLOSED_BY,
    CONTENT,
    MARKS,
    NEWLINES,
    OPENERS,
    SOFT_MARKS,
    SPACE,
    Place,
    close,
    closes,
    left_open,
    read_ending,
)

_BRACKETS = "".join(CLOSED_BY) + OPENERS
_STOPS = re.compile(f"[{MARKS}{NEWLINES}{_BRACKETS}`]")
_STOPS_AND_SOFT = re.compile(f"[{MARKS}{NEWLINES}{_BRACKETS}`{SOFT_MARKS}]")
_STOPS_IN_CODE = re.compile(f"[{NEWLINES}`]")
_TICKS = re.compile("`+")
_SPACE_NEXT = re.compile(SPACE)
_NEWLINE = re.compile(f"[{NEWLINES}]")
_FENCE = re.compile(rf"{SPACE}{{0,16}}(?P<fence>`{{3,16}}(?!`)|~{{3,16}}(?!~))")
_MAYBE_FENCE = re.compile(rf"{SPACE}{{0,16}}(?:`{{0,16}}|~{{0,16}})\Z")
# What may stand behind an opening fence. Tildes also decorate speech, so there only a language's name makes a fence.
_FENCE_LABEL = {"`": re.compile(f"[^`{NEWLINES}]{{0,64}}"), "~": re.compile(r"[\w#+. -]{0,64}", re.ASCII)}
# Behind other text of its line only a block that names its language opens: "Here:```py". Ticks alone are talked of too.
_LATE_FENCE = re.compile(rf"`{{3,16}}(?P<label>[\w#+.-]{{1,20}}){SPACE}{{0,4}}[{NEWLINES}]", re.ASCII)
_MAYBE_LATE_FENCE = re.compile(rf"`{{3,16}}[\w#+.-]{{0,20}}{SPACE}{{0,4}}\Z", re.ASCII)
_MOUTHFUL_CHARS = 1024  # of a delta, looked at together: each cut moves what is held
_LONGEST_CLOSING_LINE_CHARS = 256  # a longer line of a fenced block is code


class BreakKind(Enum):
    """Why a segment ends where it ends; the value is a name and the pause due behind it, in milliseconds."""

    CLAUSE = ("clause", 120)  # a soft mark, in the first segment
    SENTENCE = ("sentence", 280)
    LINE = ("line", 500)  # a newline
    LENGTH = ("length", 120)
    END = ("end", 0)  # the text is over

    @property
    def pause_ms(self) -> int:
        """Silence to put between this segment and the next."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Segment:
    """A speakable piece of the reply: stripped text, its number from 0, and why it ends."""

    text: str
    index: int
    kind: BreakKind

    @property
    def pause_ms(self) -> int:
        """Silence to put between this segment and the next."""
        return self.kind.pause_ms


@dataclass(frozen=True, slots=True)
class _Step:
    """Nothing more is to be decided before `stop`; the segment ends there if there is a kind."""

    stop: int
    kind: BreakKind | None = None


class Segmenter:
    """One reply's cutter: `add` deltas, then `finish`. Lists, since a half-read generator would lose text."""

    def __init__(self, language: str, first_min: int = 0, max_chars: int = 150) -> None:
        """`language` is a tag such as "zh-Hans". With `first_min` > 0 the first segment may end at a soft mark that
        makes it so many characters; `max_chars` counts the code points of the raw text since the last cut.
        """
        if first_min < 0 or max_chars < 1:
            raise ValueError(f"first_min {first_min} must not be negative, max_chars {max_chars} must be positive")
        self._first_min = first_min
        self._max_chars = max_chars
        self._text = ""  # held: from the segment's begin, in a fenced block from the line's
        self._at = 0  # what stands before it is decided
        self._place = Place(language)
        self._brackets: tuple[str, ...] = ()
        self._ticks = 0  # how many backticks opened the code span that we are in
        self._ticks_at_begin = 0
        self._may_open_fence = True
        self._fence = ""  # the marks that opened the block we are in
        self._fenced: list[str] = []  # its lines so far
        self._is_long_line = False  # more of its line than may close it is among them
        self._has_content = False
        self._count = 0

    def add(self, text: str) -> list[Segment]:
        """Take a delta; give the segments it completes."""
        segments: list[Segment] = []
        for at in range(0, len(text), _MOUTHFUL_CHARS):
            self._text += text[at : at + _MOUTHFUL_CHARS]
            segments += self._cut(is_complete=False)
        return segments

    def finish(self) -> list[Segment]:
        """The text is over: give what is left. Nothing is to be added afterwards."""
        return self._cut(is_complete=True) + self._take(len(self._text), BreakKind.END)

    def idle(self) -> list[Segment]:
        """Nothing has come for a while (150 to 250 ms): give the sentence that has its final mark but waits for more.

        Not what could still be a number, an abbreviation, an address or an emoji sequence. The segments may differ from
        those of the same text without the stall by this earlier boundary alone: a closer, an emoji or a lowercase word
        that comes after all begins the next segment.
        """
        undecided = self._text[self._at : self._at + 1]
        if not undecided or undecided not in MARKS or not self._has_content:
            return []
        ending = read_ending(self._text, self._at, self._place, self._brackets, self._max_chars)
        return self._take(ending.stop, BreakKind.SENTENCE) if may_rest(self._text, ending, self._place) else []

    def _cut(self, is_complete: bool) -> list[Segment]:
        is_long = len(self._text) > self._max_chars
        self._has_content = self._has_content or is_long or CONTENT.search(self._text) is not None
        segments: list[Segment] = []
        while self._has_content and (step := self._next_cut(is_complete)):
            assert step.kind, "a cut has a kind"
            segments += self._take(step.stop, step.kind)
        return segments

    def _next_cut(self, is_complete: bool) -> _Step | None:
        while True:
            if self._may_open_fence and not self._settle_fence(is_complete):
                return None
            step = self._fenced_step() if self._fence else self._step(is_complete)
            if step is None or step.kind:
                return step
            self._at = step.stop

    def _settle_fence(self, is_complete: bool) -> bool:
        """At a line's begin: is it the first of a fenced block? False while that cannot be told."""
        text = self._text
        if _MAYBE_FENCE.match(text) and not is_complete:
            return False
        if opening := _FENCE.match(text):
            fence = opening["fence"]
            label = _FENCE_LABEL[fence[0]].match(text, opening.end())
            assert label, "the pattern matches nothing too"
            if label.end() == len(text) and not is_complete:
                return False
            if text[label.end() : label.end() + 1] in NEWLINES:  # the end of the text too
                self._fence = fence
                self._hold_line(label.end() + 1)
        self._may_open_fence = False
        return True

    def _fenced_step(self) -> _Step | None:
        newline = _NEWLINE.search(self._text, self._at)
        if newline is None:
            self._at = len(self._text)
            if self._at > _LONGEST_CLOSING_LINE_CHARS:
                self._hold_line(self._at)
                self._is_long_line = True
            return None
        is_code = self._is_long_line or newline.start() > _LONGEST_CLOSING_LINE_CHARS
        line = "" if is_code else self._text[: newline.start()].strip()
        if line.startswith(self._fence) and not line.strip(self._fence[0]):
            return _Step(newline.end(), BreakKind.LINE)
        self._hold_line(newline.end())
        self._is_long_line = False
        return _Step(0)

    def _hold_line(self, stop: int) -> None:
        self._fenced.append(self._text[:stop])
        self._text = self._text[stop:]
        self._at = 0

    def _step(self, is_complete: bool) -> _Step | None:
        wants_soft = self._first_min and not self._count
        stops = _STOPS_IN_CODE if self._ticks else _STOPS_AND_SOFT if wants_soft else _STOPS
        found = stops.search(self._text, self._at, self._max_chars)
        if found is None:
            self._at = max(self._at, min(len(self._text), self._max_chars))
            return self._length_step()
        self._at, char = found.start(), found[0]
        if char in NEWLINES:
            return _Step(found.end(), BreakKind.LINE)
        if char in MARKS:
            return self._mark_step(is_complete)
        if char in SOFT_MARKS:
            return self._soft_step(is_complete)
        if char == "`":
            return self._code_step(is_complete)
        self._brackets = close(self._brackets, char) if closes(self._brackets, char) else (*self._brackets, char)
        return _Step(found.end())

    def _mark_step(self, is_complete: bool) -> _Step | None:
        ending = read_ending(self._text, self._at, self._place, self._brackets, self._max_chars)
        if ending.stop > self._max_chars:
            return _Step(ending.stop)
        verdict = judge(self._text, ending, self._place, is_complete)
        if verdict is Verdict.WAIT:
            return None
        self._brackets = ending.brackets
        return _Step(ending.stop, BreakKind.SENTENCE if verdict is Verdict.ENDS else None)

    def _soft_step(self, is_complete: bool) -> _Step | None:
        """Cut the first segment here? A CJK comma leaves at once: nothing that may follow belongs to it."""
        char, stop = self._text[self._at], self._at + 1
        needs_next = char in ",:—" or self._text[max(0, self._at - 1)].isdecimal()
        if needs_next and stop == len(self._text) and not is_complete:
            return None
        after = self._text[stop : stop + 1]
        is_inside = self._brackets or is_in_wide_number(self._text, self._at) or (char == "—" and after == "—")
        if is_inside or (char in ",:" and not _SPACE_NEXT.match(after)):
            return _Step(stop)
        is_long_enough = len(self._text[:stop].strip()) >= self._first_min
        return _Step(stop, BreakKind.CLAUSE if is_long_enough else None)

    def _code_step(self, is_complete: bool) -> _Step | None:
        run = _TICKS.match(self._text, self._at)
        assert run, "there is a backtick"
        if run.end() == len(self._text) and run.end() <= self._max_chars and not is_complete:
            return None
        if not self._ticks and run.end() <= self._max_chars and len(run[0]) > 2:
            if _LATE_FENCE.match(self._text, self._at):
                return _Step(self._at, BreakKind.LINE)
            if _MAYBE_LATE_FENCE.match(self._text, self._at) and not is_complete:
                return None
        self._ticks = _toggled(self._ticks, len(run[0]))
        return _Step(run.end())

    def _length_step(self) -> _Step | None:
        if len(self._text) <= self._max_chars:
            return None
        if self._text[self._max_chars] in NEWLINES:
            return _Step(self._max_chars + 1, BreakKind.LINE)
        return _Step(self._length_cut(), BreakKind.LENGTH)

    def _length_cut(self) -> int:
        """Behind the last soft mark, else the last space, else where no word or at least no cluster is parted."""
        text, limit = self._text, self._max_chars
        first = -(-limit // 3)  # in the last two thirds
        places = range(limit - 1, first - 1, -1)
        for fits in (is_soft_end, _is_space):
            for at in places:
                if fits(text, at) and not parts_cluster(text, at + 1):
                    return at + 1
        for stop in range(limit, first, -1):
            if not parts_cluster(text, stop) and not parts_word(text, stop):
                return stop
        for stop in range(limit, 0, -1):
            if not parts_cluster(text, stop):
                return stop
        return limit

    def _take(self, stop: int, kind: BreakKind) -> list[Segment]:
        """Cut at `stop`; a list of one segment, or of none if only whitespace was held."""
        text = ("".join(self._fenced) + self._text[:stop]).strip()
        is_line = kind is BreakKind.LINE
        signs = frozenset[str]() if is_line else left_open(self._text, stop, self._place.left_open)
        # A length cut may fall into a code span, which then goes on; quotes and brackets do not.
        self._ticks = self._ticks_at_begin = self._ticks_at(stop) if kind is BreakKind.LENGTH else 0
        self._place = Place(self._place.language, is_line, signs)
        self._text = self._text[stop:]
        self._at = 0
        self._brackets = ()
        self._may_open_fence = is_line
        self._fence, self._fenced, self._is_long_line = "", [], False
        if not text:
            return []
        self._count += 1
        return [Segment(text, self._count - 1, kind)]

    def _ticks_at(self, stop: int) -> int:
        ticks = self._ticks_at_begin
        for run in _TICKS.finditer(self._text, 0, stop):
            ticks = _toggled(ticks, len(run[0]))
        return ticks


def _toggled(ticks: int, run: int) -> int:
    """The backticks of the open code span behind a run of them: it opens one, closes its like, or is code itself."""
    if not ticks:
        return run
    return 0 if run == ticks else ticks


def _is_space(text: str, at: int) -> bool:
    return text[at].isspace()
