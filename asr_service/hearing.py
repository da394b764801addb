"""Hearing: frames of one stream in; where somebody speaks out, and the audio of each utterance from its pre-roll on.

It asks the endpointer and the learnt detectors, if there are any, and keeps the sound. What follows from an action
(decoding, telling somebody) is its owner's business: a live stream and a recording do not follow the same.
"""

from collections import deque

import numpy as np

from asr_service.core import endpointer as core
from asr_service.detectors import Detectors
from asr_service.utterance import Utterance
from shared import threads
from shared.metrics import ASR_FINALS, ASR_RTF
from shared.wire.asr import STREAM_RATE

FRAME_SAMPLES = STREAM_RATE // 50  # 20 ms
FULL_SCALE = 32_768
TURN_FRAMES = 8 * STREAM_RATE // FRAME_SAMPLES  # what a turn detector looks back on


class Hearing:
    """One stream. `utterance` is the one that is being spoken, from `begin` to `forget`."""

    def __init__(self, params: core.EndpointerParams, detectors: Detectors) -> None:
        self.utterance: Utterance | None = None
        self._params = params
        self._endpointer = core.Endpointer(params)
        self._speech = detectors.speech.open() if detectors.speech else None
        self._turn = detectors.turn
        self._recent: deque[bytes] = deque(maxlen=self._remembered_frames)

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
        self._recent = deque(self._recent, maxlen=self._remembered_frames)

    def hear(self, frame: bytes) -> list[core.Action]:
        """Take the next frame of `FRAME_SAMPLES`, PCM16; return what follows from it, in order."""
        self._recent.append(frame)
        if self.utterance is not None:
            self.utterance.add([frame])
        probability = self._speech.probability(frame) if self._speech else None
        return self._endpointer.handle(core.Frame(rms(frame), probability))

    def begin(self, started: core.SpeechStarted, utterance: Utterance) -> None:
        """The utterance that has started; it gets its audio so far."""
        self.utterance = utterance
        frames = (self.position_samples - started.pre_roll_from_samples) // FRAME_SAMPLES
        utterance.add(list(self._recent)[-frames:])

    async def judge(self) -> list[core.Action]:
        """Ask the turn detector, if there is one, whether the speaker is done; at a pause."""
        if self._turn is None:
            return []
        position = self.position_samples
        frames = min(TURN_FRAMES, (position - self.current.from_samples) // FRAME_SAMPLES)
        heard = b"".join(list(self._recent)[-frames:])  # not what was said before: that turn is over
        probability = await threads.call(self._turn.probability, heard)
        return self._endpointer.handle(core.TurnJudged(probability, position))

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

    @property
    def _remembered_frames(self) -> int:
        """How many frames may be asked for again: those before a start, and those that a turn is judged by."""
        start_ms = self._params.pre_roll_ms + self._params.onset_ms
        frames = -(-start_ms * STREAM_RATE // 1000 // FRAME_SAMPLES) + 1
        return max(frames, TURN_FRAMES) if self._turn else frames


def count(utterance: Utterance, ended: core.Endpoint) -> None:
    """Add an utterance that has ended to the figures."""
    ASR_FINALS.labels(ended.reason.value).inc()
    if utterance.decoded_s:
        ASR_RTF.observe(utterance.decode_s / utterance.decoded_s)


def rms(frame: bytes) -> float:
    """Loudness of PCM16; full scale is 1."""
    samples = np.frombuffer(frame, "<i2").astype(np.float32)
    return float(np.sqrt(np.mean(samples * samples))) / FULL_SCALE
