"""Hearing: frames of one stream in; where somebody speaks out, and the audio of each utterance from its pre-roll on.

It asks the endpointer and the learnt detectors, if there are any, and keeps the sound. What follows from an action
(decoding, telling somebody) is its owner's business: a live stream and a recording do not follow the same.

Where it is told what is played to the talker, the echo of that is no speech (core/echo_guard.py): it is as quiet as the
noise around it, and a talker as loud as what stands out of it. Until then, and where nothing has been played for a
while, everything is heard as if there were no guard. The audio of an utterance is always what came in.
"""

import logging
import math
from collections import deque
from collections.abc import Callable

import numpy as np

from asr_service.core import endpointer as core
from asr_service.detectors import Detectors
from asr_service.echo import Echo
from asr_service.utterance import Utterance
from shared import threads
from shared.metrics import ASR_FINALS, ASR_RTF
from shared.wire.asr import STREAM_RATE

FRAME_SAMPLES = STREAM_RATE // 50  # 20 ms
FULL_SCALE = 32_768
START_FRAMES = 2 * STREAM_RATE // FRAME_SAMPLES  # the longest pre-roll, and what an opening takes to be told as one
TURN_FRAMES = 8 * STREAM_RATE // FRAME_SAMPLES  # what a turn detector looks back on
log = logging.getLogger(__name__)


class Hearing:
    """One stream. `utterance` is the one that is being spoken, from `begin` to `forget`."""

    def __init__(self, params: core.EndpointerParams, detectors: Detectors) -> None:
        self.utterance: Utterance | None = None
        self._params = params
        self._endpointer = core.Endpointer(params)
        self._speech = detectors.speech.open() if detectors.speech else None
        self._turn = detectors.turn
        self._recent: deque[bytes] = deque(maxlen=TURN_FRAMES if self._turn else START_FRAMES)
        self._echo: Echo | None = None  # until something is played

    @property
    def params(self) -> core.EndpointerParams:
        """When an utterance ends."""
        return self._params

    @property
    def position_samples(self) -> int:
        """End of the last frame."""
        return self._endpointer.position_samples

    @property
    def current(self) -> Utterance:
        """The utterance that is being spoken; there must be one."""
        assert self.utterance is not None, "the endpointer speaks of an utterance that never started"
        return self.utterance

    @property
    def is_speaking(self) -> bool:
        """Whether the last frame was speech of an utterance, not a pause."""
        return self._endpointer.state is core.EndpointerState.SPEECH

    def configure(self, params: core.EndpointerParams) -> None:
        """Other settings from the next frame on; ValueError if they change what a frame is."""
        self._endpointer.configure(params)
        self._params = params

    def play(self, pcm: bytes, sample_rate: int) -> None:
        """PCM16 is played to the talker from the next frame on, or after what is to be played before it."""
        if self._echo is None:
            self._echo = Echo()
            for frame in self._recent:  # the noise around the talker, as it was before
                self._echo.judge(frame)
        self._echo.loudspeaker.play(pcm, sample_rate)

    def hush(self) -> None:
        """What has not been played yet will not be."""
        if self._echo is not None:
            self._echo.loudspeaker.hush()

    def hear(self, frame: bytes) -> list[core.Action]:
        """Take the next frame of `FRAME_SAMPLES`, PCM16; return what follows from it, in order."""
        self._recent.append(frame)
        if self.utterance is not None:
            self.utterance.add([frame])
        probability = self._speech.probability(frame) if self._speech else None
        level = rms(frame)
        echo = self._echo.judge(frame) if self._echo is not None else None
        if echo is not None:
            level *= math.sqrt(echo.share)
            probability = 0.0 if echo.is_echo and probability is not None else probability
        return self._endpointer.handle(core.Frame(level, probability))

    def begin(self, started: core.SpeechStarted, make: Callable[[core.SpeechStarted], Utterance]) -> Utterance:
        """The utterance that has started, by `make`, with its audio so far: whole frames, as far as they are kept."""
        wanted = -(-(self.position_samples - started.pre_roll_from_samples) // FRAME_SAMPLES)
        frames = list(self._recent)[-wanted:]
        from_samples = self.position_samples - len(frames) * FRAME_SAMPLES
        self.utterance = make(core.SpeechStarted(started.at_samples, from_samples))
        self.utterance.add(frames)
        return self.utterance

    async def judge(self) -> list[core.Action]:
        """Ask the turn detector, if there is one, whether the speaker is done; at a pause."""
        if self._turn is None:
            return []
        position = self.position_samples
        frames = min(TURN_FRAMES, (position - self.current.from_samples) // FRAME_SAMPLES)
        heard = b"".join(list(self._recent)[-frames:])  # not what was said before: that turn is over
        try:
            judged = core.TurnJudged(await threads.call(self._turn.probability, heard), position)
        except Exception:  # a model library may raise anything, and the text can judge without it
            log.exception("the turn detector failed")
            return []
        return self._endpointer.handle(judged)

    def note(self) -> list[core.Action]:
        """Look at how the utterance reads now; its text may end it."""
        utterance = self.current
        return self._endpointer.handle(
            core.HypothesisChanged(utterance.text, utterance.heard_until_samples, utterance.language)
        )

    def flush(self) -> list[core.Action]:
        """Whatever is being said ends here."""
        return self._endpointer.handle(core.Flush())

    def forget(self) -> None:
        """No utterance is being spoken any more; it is decoded no more."""
        if self.utterance is not None:
            self.utterance.close()
        self.utterance = None


def count(utterance: Utterance, ended: core.Endpoint) -> None:
    """Add an utterance that has ended to the figures."""
    ASR_FINALS.labels(ended.reason.value).inc()
    if utterance.decoded_s:
        ASR_RTF.observe(utterance.decode_s / utterance.decoded_s)


def rms(frame: bytes) -> float:
    """Loudness of PCM16; full scale is 1."""
    samples = np.frombuffer(frame, "<i2").astype(np.float32)
    return float(np.sqrt(np.mean(samples * samples))) / FULL_SCALE
