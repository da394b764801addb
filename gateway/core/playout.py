"""What of one reply was sent, and what of it has been heard: in samples, in milliseconds and in words.

The server's clock counts (audio is heard from the moment it is sent, as fast as it plays, and not while the client was
told to wait) until the client tells what it has played; from then on its marks alone count. The two never mix: `now`
is monotonic seconds, all else is samples of the reply. Marks and sizes may be absurd, late or doubled; nothing here
raises for them.
Laws (tests/core/test_gateway_playout.py): 0 <= heard <= sent; heard samples and heard text never go back; heard text is
a prefix of the segments' texts in a row; what is finished was heard whole.
"""

import math
from dataclasses import dataclass
from unicodedata import east_asian_width

from gateway.core.words import joined, pieces

_END_TOLERANCE_MS = 20  # a mark so close to the end is the end: clients resample, and round down
_WEIGHTS_PER_S = 12  # pace of a slow voice, until this one's is known: too slow forgets a word, too fast invents one
_WIDE_WEIGHT = 3  # an ideograph, kana or Hangul syllable takes as long as three letters


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of the reply: where its audio starts, and where its text stands in the whole."""

    start_samples: int
    begin: int
    text: str

    @property
    def end(self) -> int:
        return self.begin + len(self.text)


class Playout:
    """The playing of one reply. `has_client_marks` tells that this client is known to mark what it plays."""

    def __init__(self, sample_rate: int, has_client_marks: bool = False) -> None:
        self._sample_rate = sample_rate
        self._has_marks = has_client_marks
        self._segments: list[_Segment] = []
        self._text = ""
        self._shown_text = ""
        self._is_ended = False
        self._sent_samples = 0
        self._marked_samples = 0
        self._anchor_s = -math.inf  # at this moment of the clock ...
        self._anchor_samples = 0  # ... so much had been heard, and playback went on without a gap
        self._is_paused = False
        self._told_chars = 0

    def add_segment(self, text: str, start_samples: int) -> None:
        """A piece of the reply is spoken from `start_samples` on, until the next one starts or the audio ends."""
        text = text.strip()
        if not text:
            return
        earliest = self._segments[-1].start_samples if self._segments else 0
        self._text = joined(self._text, text)
        self._segments.append(_Segment(max(earliest, start_samples), len(self._text) - len(text), text))

    def add_audio(self, samples: int, now: float) -> None:
        """So many samples more were sent to the client. When playback had run dry, they begin to be heard now."""
        if self._is_ended or samples <= 0:
            return
        if now >= self._dry_s and not self._is_paused:
            self._anchor_s, self._anchor_samples = now, self._sent_samples
        self._sent_samples += samples

    def pause(self, now: float) -> None:
        """The client was told to wait: by the clock nothing more is heard until `resume`."""
        if not self._is_paused:
            self._anchor_samples, self._is_paused = self._heard_by_clock(now), True

    def resume(self, now: float) -> None:
        """Playback goes on from the sample at which it paused."""
        if self._is_paused:
            self._anchor_s, self._is_paused = now, False

    def take_up(self, segments: list[tuple[str, int]], heard_ms: int, now: float) -> None:
        """Go on where another one was: segments, each with the samples that were sent of it. It begins paused."""
        for text, samples in segments:
            self.add_segment(text, self._sent_samples)
            self._sent_samples += samples
        self._anchor_samples = min(heard_ms * self._sample_rate // 1000, self._sent_samples)
        self._anchor_s, self._is_paused = now, True

    def trust_clock(self, now: float) -> None:
        """Marks of the client may be lost: until the next one, what follows is heard as fast as it plays."""
        if self._has_marks:
            self._has_marks, self._anchor_s, self._anchor_samples = False, now, self.heard_samples(now)

    def mark(self, ms: int, now: float) -> None:
        """The client has played `ms` of the reply."""
        if not self._has_marks:
            self._has_marks, self._marked_samples = True, self._heard_by_clock(now)
        played = min(ms * self._sample_rate // 1000, self._sent_samples)
        self._marked_samples = max(self._marked_samples, played)

    def end(self, total_text: str | None) -> None:
        """No more audio comes. `total_text` is what a reply without any audio shows."""
        self._is_ended = True
        self._shown_text = (total_text or "").strip()

    @property
    def segments(self) -> list[tuple[str, int]]:
        """The text of each segment, and the sample at which it starts."""
        return [(segment.text, segment.start_samples) for segment in self._segments]

    def heard_samples(self, now: float) -> int:
        if not self._has_marks:
            return self._heard_by_clock(now)
        missing_ms = self._ms(self._sent_samples - self._marked_samples)
        if self._is_ended and self._marked_samples and missing_ms <= _END_TOLERANCE_MS:
            return self._sent_samples
        return self._marked_samples

    def heard_ms(self, now: float) -> int:
        return self._ms(self.heard_samples(now))

    def heard_text(self, now: float) -> str:
        """The words heard so far. What was told once stays told, also when the voice's pace was guessed too high."""
        if self.is_finished(now):
            return self._text if self._sent_samples else self._shown_text
        self._told_chars = max(self._told_chars, self._heard_chars(self.heard_samples(now)))
        return self._text[: self._told_chars]

    def lead_ms(self, now: float) -> int:
        """How much audio was sent and not heard yet."""
        return self._ms(self._sent_samples - self.heard_samples(now))

    def is_finished(self, now: float) -> bool:
        """Whether all was heard; a reply without any audio is finished when it ends."""
        return self._is_ended and self.heard_samples(now) == self._sent_samples

    def next_change_at(self, now: float) -> float | None:
        """When all that was sent will have been heard; None when it has been, in a pause, or when only a mark tells."""
        if self._has_marks or self._is_paused or self.heard_samples(now) == self._sent_samples:
            return None
        return self._dry_s

    @property
    def _dry_s(self) -> float:
        """The moment at which the clock has played all that was sent."""
        return self._anchor_s + (self._sent_samples - self._anchor_samples) / self._sample_rate

    def _heard_by_clock(self, now: float) -> int:
        if self._is_paused:
            return self._anchor_samples
        if now >= self._dry_s:
            return self._sent_samples
        played = max(0, int((now - self._anchor_s) * self._sample_rate))
        return min(self._anchor_samples + played, self._sent_samples)

    def _ms(self, samples: int) -> int:
        return samples * 1000 // self._sample_rate

    def _heard_chars(self, heard_samples: int) -> int:
        """Where in the text the ear is: behind the segments heard whole, and behind the words heard of the next one."""
        chars = 0
        starts = [segment.start_samples for segment in self._segments]
        for segment, end_samples in zip(self._segments, [*starts[1:], self._last_end_samples()], strict=False):
            heard, length = heard_samples - segment.start_samples, end_samples - segment.start_samples
            if heard <= 0:
                break
            if heard < length:
                words = _heard_words(segment.text, heard, length)
                return segment.begin + words if words else chars
            chars = segment.end
        return chars

    def _last_end_samples(self) -> int:
        """Where the last segment ends. While its audio may still come, the pace of those before it says where."""
        if self._is_ended or not self._segments:
            return self._sent_samples
        *before, last = self._segments
        pace = self._sample_rate, _WEIGHTS_PER_S
        if before and last.start_samples > before[0].start_samples:
            weight = sum(_weight(segment.text) for segment in before)
            pace = last.start_samples - before[0].start_samples, max(1, weight)
        return max(last.start_samples + _weight(last.text) * pace[0] // pace[1], self._sent_samples + 1)


def _heard_words(text: str, heard: int, length: int) -> int:
    """How many characters of `text` are whole words of it, when `heard` of its `length` samples were heard."""
    total, said, chars = _weight(text), 0, 0
    for piece in pieces(text):
        said_then = said + _weight(piece)
        if said_then * length > heard * total:
            break
        said, chars = said_then, chars + len(piece)
    return chars if said else 0  # signs alone are not heard before the words that follow them


def _weight(text: str) -> int:
    """How long a text takes to say, in letters of a script with an alphabet."""
    return sum(_WIDE_WEIGHT if east_asian_width(c) in "WF" else 1 for c in text if c.isalnum())
