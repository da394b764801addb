"""Keep what a recogniser was sent of an utterance that has no final yet, so that another one can be sent it again.

What a person says goes in as pieces, in order: audio, and between it the messages that count from there on. They are
handed out once, and all that is kept is handed out again to a new connection. While nobody speaks, a short tail is
kept, for speech whose beginning was not told yet. What is played to that person meanwhile goes along
(core/loudspeaker.py). Positions are seconds of audio since the beginning.

Laws: pieces leave in the order in which they came; a new connection gets the settings that hold where its audio begins,
what was still to be played there, then everything that is kept, without a gap; positions only grow; what is kept of
what was sent is never longer than `MOST_S`; audio that waits for the first time is fresh, and only that makes it full;
of what is played more than `PLAYED_S` is never kept: what is still to be played is told anew then.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeGuard

from gateway.core.loudspeaker import Hush, Loudspeaker, Played, Reel

MOST_S: Final = 30.0  # of one utterance; of a longer one the end is kept
TAIL_S: Final = 2.0  # while nobody speaks
BEFORE_S: Final = 1.0  # a start: what was around it tells speech from noise
FRESH_S: Final = 8.0  # that may wait to be sent
PLAYED_S: Final = 120.0  # of what is played
PIECES: Final = 2_048
MERGED_BYTES: Final = 4_096
SAMPLE_BYTES: Final = 2


class Kind(Enum):
    """What a piece is."""

    AUDIO = auto()
    CONFIG = auto()
    FLUSH = auto()
    CLEAR = auto()
    PLAYED = auto()


Content = bytes | str | Played | Hush


@dataclass(slots=True)
class _Piece:
    kind: Kind
    content: Content
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
        self._ahead = Reel()  # what is still to be played where the kept audio begins
        self._played_s = 0.0  # of what is played, in what was sent and what waits
        self.loudspeaker = Loudspeaker()
        self.position_s = 0.0  # of all audio that came

    @property
    def is_full(self) -> bool:
        """Whether no more audio should come before some of it has left."""
        fresh = [piece for index, piece in enumerate(self._waiting) if index >= self._repeats]
        pieces = sum(piece.kind is not Kind.PLAYED for piece in fresh)
        return sum(piece.lasts_s for piece in fresh) > FRESH_S or pieces >= PIECES

    @property
    def kept_s(self) -> float:
        """How much audio of what was sent is kept."""
        return sum(piece.lasts_s for piece in self._sent)

    @property
    def played_s(self) -> float:
        """How much of what is played is kept or waits."""
        return self._ahead.left_s + self._played_s

    def add_audio(self, audio: bytes, lasts_s: float, now_s: float) -> bool:
        """More audio, which came at that moment of a monotonic clock. False: too much was played to be kept."""
        told = self.loudspeaker.tell(lasts_s, now_s)
        self._waiting.extend(self._piece(one, self.position_s) for one in told)
        is_too_much = bool(told) and self.played_s > PLAYED_S
        if is_too_much:
            self._forget_played()
        self._waiting.append(_Piece(Kind.AUDIO, audio, self.position_s, lasts_s))
        self.position_s += lasts_s
        return not is_too_much

    def _piece(self, told: Played | Hush, at_s: float) -> _Piece:
        self._played_s += told.lasts_s if isinstance(told, Played) else 0.0
        return _Piece(Kind.PLAYED, told, at_s, 0.0)

    def add_message(self, kind: Kind, text: str) -> None:
        """Something that counts from here on."""
        self._waiting.append(_Piece(kind, text, self.position_s, 0.0))

    def next(self) -> Content | None:
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
        before = self._sent[-1] if self._sent else None
        joined = _joined(before.content, piece.content) if before else None
        if before and joined:  # of many small pieces few are kept
            before.content = joined
            before.lasts_s += piece.lasts_s
        else:
            self._sent.append(piece)

    def rewind(self) -> tuple[str, float]:
        """A new connection, which is sent all: the settings to begin with, and the position of its first sample."""
        if any(piece.kind is Kind.CLEAR for piece in self._waiting):  # nobody hears what is void already
            while self._sent or any(piece.kind is Kind.CLEAR for piece in self._waiting):
                self.next()
        self._waiting.extendleft(reversed(self._sent))
        begin_s = self._waiting[0].at_s if self._waiting else self.position_s
        ahead = [self._piece(one, begin_s) for one in self._ahead.rest()]
        self._waiting.extendleft(reversed(ahead))
        self._repeats += len(self._sent) + len(ahead)
        self._sent.clear()
        self._ahead.clear()
        return self._config, begin_s

    def forget(self) -> None:
        """Keep and send nothing of what came, but for the settings."""
        self._drop_sent()
        self._sent, self._waiting = self._waiting, deque()
        self._drop_sent()
        self._repeats, self._held_s = 0, None
        self._ahead.clear()
        self.loudspeaker.forget_told()

    def spoken(self) -> tuple[str, float, list[tuple[Kind, bytes | str]]]:
        """All that is kept or waits, but for what is played: the settings and the position with which it begins."""
        pieces = [piece for piece in [*self._sent, *self._waiting] if piece.kind is not Kind.PLAYED]
        begin_s = pieces[0].at_s if pieces else self.position_s
        return self._config, begin_s, [(piece.kind, piece.content) for piece in pieces if _is_plain(piece.content)]

    def take_up(self, begin_s: float, pieces: list[tuple[Kind, bytes | str, float]]) -> None:
        """Go on where another one was, which kept these pieces, each with its seconds of audio: all is sent again."""
        self.position_s = self._held_s = begin_s
        for kind, content, lasts_s in pieces:
            self._waiting.append(_Piece(kind, content, self.position_s, lasts_s))
            self.position_s += lasts_s
        self._repeats = len(self._waiting)

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
        self._ahead.let_pass(gone_s)

    def _drop_sent(self) -> None:
        while self._sent:
            self._drop_first()

    def _drop_first(self) -> None:
        piece = self._sent.popleft()
        self._ahead.let_pass(piece.lasts_s)
        match piece.content:
            case str() if piece.kind is Kind.CONFIG:
                self._config = piece.content
            case Played() as played:
                self._ahead.add(played)
                self._played_s -= played.lasts_s
            case Hush():
                self._ahead.clear()

    def _forget_played(self) -> None:
        """Keep nothing of it; what is still to be played is told anew."""
        repeats = sum(piece.kind is not Kind.PLAYED for piece in list(self._waiting)[: self._repeats])
        self._sent = deque(piece for piece in self._sent if piece.kind is not Kind.PLAYED)
        self._waiting = deque(piece for piece in self._waiting if piece.kind is not Kind.PLAYED)
        self._repeats = repeats
        self._ahead.clear()
        self._played_s = 0.0
        self.loudspeaker.retell()


def _is_plain(content: Content) -> TypeGuard[bytes | str]:
    return isinstance(content, bytes | str)


def _joined(first: Content, second: Content) -> bytes | None:
    """Two pieces of audio as one, unless that is too large."""
    if isinstance(first, bytes) and isinstance(second, bytes) and len(first) + len(second) <= MERGED_BYTES:
        return first + second
    return None
