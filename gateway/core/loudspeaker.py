"""Loudspeaker: what was sent to be played to one person, how much of it is left, and what a recogniser is told of it.

The recogniser lays what it is told out on the time of its stream, the audio of the microphone: a piece begins behind
the one before it, or where it is told when nothing is left. So pieces are told with the audio that follows them. A
microphone may stand still, a line may lie idle, a person's ear may pause: then stream and clock part, and what is left
by the clock is told anew.

It reads no clock: `now_s` is monotonic seconds. Laws: pieces are told in the order in which they came, and nothing but
with audio; what is told ahead is off by `OFF_S` at most from what is left by the clock; what is left is never longer
than `AHEAD_S`, and what is held to be told never longer than that and `OFF_S`.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

AHEAD_S: Final = 60.0  # what comes further ahead of the ear is not told
OFF_S: Final = 1.0  # so far, or so long, a line may stutter; then audio was lost, or the microphone was off
NEAR_S: Final = 0.25  # what is a recogniser's to find out
SAMPLE_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Played:
    """PCM16 of whole samples that is played."""

    audio: bytes
    sample_rate: int

    @property
    def lasts_s(self) -> float:
        return len(self.audio) / SAMPLE_BYTES / self.sample_rate

    def after(self, seconds: float) -> "Played":
        """Without its beginning, to the sample."""
        return Played(self.audio[SAMPLE_BYTES * round(seconds * self.sample_rate) :], self.sample_rate)


@dataclass(frozen=True, slots=True)
class Hush:
    """Nothing that was told is played any more."""


class Reel:
    """Pieces that are played one after the other as time passes."""

    def __init__(self) -> None:
        self._pieces: deque[Played] = deque()
        self._sum_s = 0.0  # of them all
        self._into_s = 0.0  # the first of them

    @property
    def left_s(self) -> float:
        return self._sum_s - self._into_s

    def add(self, piece: Played) -> None:
        self._pieces.append(piece)
        self._sum_s += piece.lasts_s

    def clear(self) -> None:
        self._pieces.clear()
        self._sum_s = self._into_s = 0.0

    def let_pass(self, seconds: float) -> None:
        """So much of it is played now; where nothing is left, time passes for nothing."""
        self._into_s += seconds
        while self._pieces and self._into_s >= self._pieces[0].lasts_s:
            gone_s = self._pieces.popleft().lasts_s
            self._sum_s -= gone_s
            self._into_s -= gone_s
        if not self._pieces:
            self.clear()

    def rest(self) -> list[Played]:
        """What is left, the first piece without what of it was played."""
        pieces = list(self._pieces)
        return [pieces[0].after(self._into_s), *pieces[1:]] if pieces else []


class Loudspeaker:
    """One person's, as one recogniser is told of it."""

    def __init__(self) -> None:
        self._reel = Reel()
        self._at_s = 0.0  # up to this moment the reel has been played
        self._untold: list[Played] = []
        self._told_s = 0.0  # how much is told and, by the stream, not played
        self._is_off = False  # what was told is not what is played
        self._near_at_s = 0.0  # when it last was
        self._is_paused = False

    def play(self, piece: Played, now_s: float) -> bool:
        """A piece is played behind the others. False: it comes too far ahead to be told."""
        self._follow(now_s)
        if self._reel.left_s + piece.lasts_s > AHEAD_S:
            return False
        self._reel.add(piece)
        if not self._is_paused:
            self._untold.append(piece)
        return True

    def hush(self) -> None:
        """What is left is never played."""
        self._reel.clear()
        self._is_paused = False
        self.retell()

    def pause(self, now_s: float) -> None:
        """What is left waits for `resume`, and what comes meanwhile."""
        self._follow(now_s)
        self._is_paused = True
        self.retell()

    def resume(self, now_s: float) -> None:
        """It goes on where it paused; nothing happens when it did not."""
        self._follow(now_s)
        if self._is_paused:
            self._is_paused = False
            self.retell()

    def retell(self) -> None:
        """What is left is told anew with the next audio."""
        self._untold.clear()
        self._is_off = True

    def forget_told(self) -> None:
        """Nothing that was told reaches anybody."""
        self._told_s = 0.0
        self.retell()

    def tell(self, lasts_s: float, now_s: float) -> list[Played | Hush]:
        """What is to be told before audio of so many seconds."""
        self._follow(now_s)
        ahead_s = 0.0 if self._is_paused else self._reel.left_s
        told_s = self._told_s + _seconds(self._untold)
        said: list[Played | Hush] = list(self._untold)
        if self._is_off or self._has_parted(abs(told_s - ahead_s), now_s):
            said = [Hush()] if self._told_s else []
            said += [] if self._is_paused else self._reel.rest()
            told_s, self._near_at_s = ahead_s, now_s
        self._untold.clear()
        self._is_off = False
        self._told_s = max(0.0, told_s - lasts_s)
        return said

    def _has_parted(self, off_s: float, now_s: float) -> bool:
        """Whether stream and clock are far apart, or have been apart for longer than a line stutters."""
        if off_s <= NEAR_S:
            self._near_at_s = now_s
        return off_s > OFF_S or now_s - self._near_at_s > OFF_S

    def _follow(self, now_s: float) -> None:
        """The clock goes on; what was played while nobody listened need not be told."""
        if not self._is_paused:
            self._reel.let_pass(max(0.0, now_s - self._at_s))
        self._at_s = max(now_s, self._at_s)
        if _seconds(self._untold) > self._reel.left_s + OFF_S:
            self.retell()


def _seconds(pieces: list[Played]) -> float:
    return sum(piece.lasts_s for piece in pieces)
