"""How far the speech of a reply has come, so that another replica can go on with it when the one that made it dies.

A segment whose audio may not be complete is made again from its beginning, and as many samples of the new rendering are
left out as were handed on of the old one. The other replica may cut the text elsewhere: what is announced again is not
announced, and of a segment that reaches beyond what was announced only the rest is. Positions are samples of the audio
handed on; text is compared but for whitespace, as segments have lost what was between them. Never looks at a sample.

Laws: however often and wherever the speech is begun again, the segments announced are together the text, each part
once, their positions never go back, and where both renderings are alike the audio handed on is the audio of an
undisturbed reply. A rendering that is shorter than the one before loses nothing of the segment behind it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Announced:
    """Text that is spoken from a position on."""

    text: str
    start_samples: int


class SpeechProgress:
    """One reply: text goes in as it is written, then segments and audio as they come from a replica."""

    def __init__(self) -> None:
        self._text = ""
        self._announced_chars = 0  # the announced segments end there
        self._cursor_chars = 0  # the next segment from the replica begins there
        self._samples = 0  # handed on
        self._unit_chars = 0  # the segment that is being made begins there,
        self._unit_samples = 0  # and its audio there
        self._skip_samples = 0  # of the audio that comes, to be left out

    @classmethod
    def of(cls, text: str, segments: list[tuple[str, int]]) -> "SpeechProgress":
        """What another one had come to: so much text, and segments, each with the samples handed on of it."""
        progress = cls()
        progress.add_text(text)
        for segment, samples in segments:
            progress.take_segment(segment)
            progress.take_audio(samples)
        return progress

    def add_text(self, delta: str) -> None:
        """More text of the reply."""
        self._text += delta

    def take_segment(self, text: str) -> Announced | None:
        """A segment begins; what is new of it, if anything is."""
        begin_chars = self._cursor_chars
        self._cursor_chars = self._behind(begin_chars, text)
        if begin_chars >= self._announced_chars:  # what is left to leave out belongs to the segment before
            self._skip_samples = 0
        self._unit_chars, self._unit_samples = begin_chars, self._samples - self._skip_samples
        if begin_chars < self._announced_chars:
            text = self._text[self._announced_chars : self._cursor_chars].strip()
        if not text or (self._cursor_chars <= self._announced_chars and begin_chars < self._announced_chars):
            return None
        self._announced_chars = self._cursor_chars
        return Announced(text, self._samples)

    def take_audio(self, samples: int) -> int:
        """Audio comes; how many samples at its beginning are not to be handed on."""
        left_out = min(self._skip_samples, samples)
        self._skip_samples -= left_out
        self._samples += samples - left_out
        return left_out

    def begin_again(self) -> str:
        """Another replica goes on; the text that it is to speak, to which more may be added."""
        self._skip_samples = self._samples - self._unit_samples
        self._cursor_chars = self._unit_chars
        return self._text[self._unit_chars :]

    def _behind(self, begin_chars: int, text: str) -> int:
        """Where a segment that begins there ends."""
        left, at = sum(not char.isspace() for char in text), begin_chars
        while left and at < len(self._text):
            left -= not self._text[at].isspace()
            at += 1
        return at
