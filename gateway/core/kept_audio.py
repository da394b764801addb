"""Keep what a recogniser was sent of an utterance that has no final yet, so that another one can be sent it again.

What a person says goes in as pieces, in order: audio, and between it the messages that count from there on. They are
handed out once, and all that is kept is handed out again to a new connection. While nobody speaks, a short tail is
kept, for speech whose beginning was not told yet. Positions are seconds of audio since the beginning.

Laws: pieces leave in the order in which they came; a new connection gets the settings that hold where its audio begins,
then everything that is kept, without a gap; positions only grow; what is kept of what was sent is never longer than
`MOST_S`; audio that waits for the first time is fresh, and only that makes it full.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

MOST_S: Final = 30.0  # of one utterance; of a longer one the end is kept
TAIL_S: Final = 2.0  # while nobody speaks
BEFORE_S: Final = 1.0  # a start: what was around it tells speech from noise
FRESH_S: Final = 8.0  # that may wait to be sent
PIECES: Final = 2_048
MERGED_BYTES: Final = 4_096
SAMPLE_BYTES: Final = 2


class Kind(Enum):
    """What a piece is."""

    AUDIO = auto()
    CONFIG = auto()
    FLUSH = auto()
    CLEAR = auto()


@dataclass(slots=True)
class _Piece:
    kind: Kind
    content: bytes | str
    at_s: float
    lasts_s: float

    @property
    def end_s(self) -> float:
        return self.at_s + self.lasts_s


class KeptAudio:
    """What one person says, as it is sent on. `config` holds from the beginning."""

    def __init__(self, config: str) -> None:
        self._config = config  # where the kept audio begins
        self._sent: deque[_Piece] = deque()
        self._waiting: deque[_Piece] = deque()
        self._repeats = 0  # the first so many that wait were sent before
        self._held_s: float | None = None  # somebody speaks: what comes from there on is kept
        self.position_s = 0.0  # of all audio that came

    @property
    def is_full(self) -> bool:
        """Whether no more audio should come before some of it has left."""
        fresh_s = sum(piece.lasts_s for index, piece in enumerate(self._waiting) if index >= self._repeats)
        return fresh_s > FRESH_S or len(self._waiting) - self._repeats >= PIECES

    @property
    def kept_s(self) -> float:
        """How much audio of what was sent is kept."""
        return sum(piece.lasts_s for piece in self._sent)

    def add_audio(self, audio: bytes, lasts_s: float) -> None:
        """More audio."""
        self._waiting.append(_Piece(Kind.AUDIO, audio, self.position_s, lasts_s))
        self.position_s += lasts_s

    def add_message(self, kind: Kind, text: str) -> None:
        """Something that counts from here on."""
        self._waiting.append(_Piece(kind, text, self.position_s, 0.0))

    def next(self) -> bytes | str | None:
        """What is to be sent now; it counts as sent."""
        if not self._waiting:
            return None
        piece = self._waiting.popleft()
        self._repeats = max(0, self._repeats - 1)
        content = piece.content
        if piece.kind is Kind.CLEAR:  # what was said before it is void
            self._drop_sent()
            self._held_s = None
        else:
            self._keep(piece)
        return content

    def _keep(self, piece: _Piece) -> None:
        before = self._sent[-1].content if self._sent else ""
        if isinstance(before, str) or isinstance(piece.content, str) or len(before + piece.content) > MERGED_BYTES:
            self._sent.append(piece)
        else:  # of many small pieces few are kept
            self._sent[-1].content = before + piece.content
            self._sent[-1].lasts_s += piece.lasts_s

    def rewind(self) -> tuple[str, float]:
        """A new connection, which is sent all: the settings to begin with, and the position of its first sample."""
        if any(piece.kind is Kind.CLEAR for piece in self._waiting):  # nobody hears what is void already
            while self._sent or any(piece.kind is Kind.CLEAR for piece in self._waiting):
                self.next()
        self._waiting.extendleft(reversed(self._sent))
        self._repeats += len(self._sent)
        self._sent.clear()
        return self._config, self._waiting[0].at_s if self._waiting else self.position_s

    def forget(self) -> None:
        """Keep and send nothing of what came, but for the settings."""
        self._drop_sent()
        self._sent, self._waiting = self._waiting, deque()
        self._drop_sent()
        self._repeats, self._held_s = 0, None

    def configure(self, config: str) -> None:
        """Settings for the next connection, while there is none and nothing waits."""
        self._config = config

    def hold(self, start_s: float) -> None:
        """Somebody speaks since that position."""
        self._held_s = start_s - BEFORE_S

    def finish(self, end_s: float, *, is_flush: bool) -> None:
        """What was said before that position has its final. A flush that asked for it is not sent again."""
        self._held_s = None
        self.forget_until(end_s)
        if is_flush:
            asked = next((piece for piece in self._sent if piece.kind is Kind.FLUSH), None)
            if asked is not None:
                self._sent.remove(asked)

    def trim(self) -> None:
        """Forget what was sent and is not needed any more."""
        if self._sent:
            newest_s = self._sent[-1].end_s
            wanted_s = newest_s - TAIL_S if self._held_s is None else min(self._held_s, newest_s - TAIL_S)
            self.forget_until(max(wanted_s, newest_s - MOST_S))

    def forget_until(self, position_s: float) -> None:
        """Forget what was sent before that position."""
        while self._sent and self._sent[0].end_s <= position_s and self._sent[0].at_s < position_s:
            self._drop_first()
        if self._sent and self._sent[0].at_s < position_s:
            self._cut(self._sent[0], position_s)

    def _cut(self, piece: _Piece, position_s: float) -> None:
        """Its beginning goes, to the sample."""
        assert isinstance(piece.content, bytes), "a message lasts no time"
        samples = len(piece.content) // SAMPLE_BYTES
        gone = round(samples * (position_s - piece.at_s) / piece.lasts_s)
        gone_s = piece.lasts_s * gone / samples
        piece.content = piece.content[gone * SAMPLE_BYTES :]
        piece.at_s, piece.lasts_s = piece.at_s + gone_s, piece.lasts_s - gone_s

    def _drop_sent(self) -> None:
        while self._sent:
            self._drop_first()

    def _drop_first(self) -> None:
        piece = self._sent.popleft()
        if piece.kind is Kind.CONFIG and isinstance(piece.content, str):
            self._config = piece.content
