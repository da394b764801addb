"""Echo guard: decides whether what a microphone hears is only what a loudspeaker plays, or somebody speaks over it.

A frame is taken apart into bands. What stands out of the echo that is expected there, and of the noise, is evidence of
a talker; the evidence of frame after frame adds up, less a tribute that chance pays, and above a limit somebody speaks
(the cumulative sum test of E. S. Page, 1954, "Continuous inspection schemes"). So a loud talker is found in two frames,
one who is quieter than the echo when a few bands have stood out for some, and single frames that an echo had not
promised are nothing. Bands are what makes it work: a voice is loud in few of them, and seldom in those of another.

It never hears audio, only levels in dB of full scale: of the frame that is heard (20 ms), and of the two hops (10 ms)
that are played meanwhile. It reads no clock.

Laws: where nothing has been played for the longest delay and a room's tail, it has no opinion; the share of a frame
that is left is 0 to 1; a loudspeaker alone that is within what was learnt is an echo; the same levels give the same
judgements.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from asr_service.core.echo_delay import AUDIBLE_DB, LAGS, EchoDelay
from asr_service.core.echo_path import EchoPath

TAIL_HOPS = 30  # of a room, after the longest delay
NEAR_HOPS, AFRESH_HOPS = 2, 6  # the delay may be so much off, and in the beginning of a reply
AFRESH_FOR_HOPS = 50
OTHER_DELAY_HOPS = 6  # a new delay that far away comes with a new path
BLIND_FRAMES = 26  # with an unknown delay, as long as an echo may take to come, nothing is learnt
EVIDENCE_DB = 16.0  # the most that a band tells
TRIBUTE, LIMIT, MOST = 0.4, 2.0, 3.5  # dB, mean of all bands; what is above `LIMIT` takes 80 ms to be forgotten
NOISE_ABOVE_DB, NOISE_MOST_ABOVE_DB = 6.0, 6.0  # above its louder moments, and above its usual level
NOISE_FALL, NOISE_RISE, NOISE_RISE_DB = 0.1, 0.05, 0.03  # a frame: shares of the way, and dB where speech may be
NOISE_NEAR_DB = 6.0
UNKNOWN_NOISE_DB = -50.0  # at most, of a stream that begins with something played
LOUD_QUANTILE, LOUD_STEP_DB, LOUD_LIMIT_DB = 0.95, 0.5, 14.0  # louder moments of the noise


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of a frame while something is played. `share` of its power is left without the echo: noise, or a talker."""

    is_echo: bool
    share: float


class EchoGuard:
    """Guards one stream."""

    def __init__(self, bands: int) -> None:
        self._delay = EchoDelay(bands)
        self._path = EchoPath(bands)
        self._hops: deque[Sequence[float]] = deque(maxlen=LAGS + AFRESH_HOPS)  # the latest first
        self._silent_hops = self._reply_hops = LAGS + TAIL_HOPS  # since something was played, since that began
        self._noise: list[float] = []
        self._loud_noise: list[float] = []
        self._evidence = 0.0

    def judge(self, heard: Sequence[float], played: Sequence[Sequence[float]]) -> Judgement | None:
        """A frame, and the hops that are played while it is heard, first to last; None: nothing is played."""
        for hop in played:
            self._play(hop)
        is_idle = self._silent_hops > LAGS + TAIL_HOPS
        self._follow_noise(heard, is_idle)
        if is_idle:
            self._evidence = 0.0
            self._path.fall_silent()
            return None
        self._find_delay(heard)
        self._path.play(self._arriving())
        most = self._path.most
        evidence = self._evidence_of(heard, most)
        self._evidence = max(0.0, min(MOST, self._evidence + evidence - TRIBUTE))
        if self._delay.hops is not None or self._delay.frames > BLIND_FRAMES:
            self._path.learn(heard, self._noise, is_slow=self._evidence > LIMIT)
        is_echo = self._evidence <= LIMIT
        return Judgement(is_echo, self._share_left(heard, most, is_echo))

    def _play(self, hop: Sequence[float]) -> None:
        is_audible = max(hop) > AUDIBLE_DB
        self._reply_hops += 1
        if is_audible and self._silent_hops > LAGS:
            self._reply_hops = 0
            self._delay.start_again()
        self._silent_hops = 0 if is_audible else self._silent_hops + 1
        self._hops.appendleft(hop)
        self._delay.play(hop, is_audible=is_audible)

    def _find_delay(self, heard: Sequence[float]) -> None:
        before = self._delay.hops
        self._delay.hear(heard, self._noise)
        now = self._delay.hops
        if now is not None and (before is None or abs(now - before) > OTHER_DELAY_HOPS):
            self._path.relearn(is_first=before is None)

    def _arriving(self) -> list[Sequence[float]]:
        """The hops of which the echo may be heard now: all of them while the delay is unknown."""
        delay = self._delay.hops
        if delay is None:
            return list(self._hops)[:LAGS]
        off = AFRESH_HOPS if self._reply_hops < delay + AFRESH_FOR_HOPS else NEAR_HOPS
        return list(self._hops)[max(0, delay - off) : delay + off + 1]

    def _evidence_of(self, heard: Sequence[float], most: Sequence[float]) -> float:
        """How far a frame stands out of echo and noise, in dB, mean of all bands."""
        total = 0.0
        for level, echo, usual, loud in zip(heard, most, self._noise, self._loud_noise, strict=True):
            total += min(EVIDENCE_DB, max(0.0, level - max(echo, usual + NOISE_MOST_ABOVE_DB, loud + NOISE_ABOVE_DB)))
        return total / len(heard)

    def _share_left(self, heard: Sequence[float], most: Sequence[float], is_echo: bool) -> float:
        """Noise is left of an echo, and of a talker whatever is louder than the echo."""
        whole = left = 0.0
        for level, echo, usual in zip(heard, most, self._noise, strict=True):
            power = 10 ** (level / 10)
            whole += power
            left += power if not is_echo and level > echo else min(power, 10 ** (usual / 10))
        return min(1.0, left / whole)

    def _follow_noise(self, heard: Sequence[float], is_idle: bool) -> None:
        """Noise is what is heard while nothing is played; it may be found to be less at any time."""
        if not self._noise:
            self._noise = list(heard) if is_idle else [min(level, UNKNOWN_NOISE_DB) for level in heard]
            self._loud_noise = list(self._noise)
        for band, level in enumerate(heard):
            above = level - self._noise[band]
            if above < 0.0:
                self._noise[band] += NOISE_FALL * above
            elif is_idle:
                self._noise[band] += NOISE_RISE_DB if above > NOISE_NEAR_DB else NOISE_RISE * above
            if is_idle:
                self._follow_loud_noise(band, level)

    def _follow_loud_noise(self, band: int, level: float) -> None:
        usual, loud = self._noise[band], self._loud_noise[band]
        if level < usual + LOUD_LIMIT_DB:  # what is louder is somebody who speaks
            loud += LOUD_STEP_DB * (LOUD_QUANTILE if level > loud else LOUD_QUANTILE - 1.0)
        self._loud_noise[band] = min(usual + LOUD_LIMIT_DB, max(usual, loud))
