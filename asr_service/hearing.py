"""Hearing: frames of one stream in; where somebody speaks out, and the audio of each utterance from its pre-roll on.

It asks the endpointer and keeps the sound, and waits for nothing. What follows from an action (decoding, telling
somebody) is its owner's business: a live stream and a recording do not follow the same.
"""

from collections import deque

import numpy as np

from asr_service.core import endpointer as core
from asr_service.recognisers import Recognisers
from asr_service.utterance import Utterance
from shared.metrics import ASR_FINALS, ASR_RTF
from shared.wire.asr import STREAM_RATE

FRAME_SAMPLES = STREAM_RATE // 50  # 20 ms
FULL_SCALE = 32_768


class Hearing:
    """One stream. `utterance` is the one that is being spoken, from `begin` to `forget`."""

    def __init__(self, recognisers: Recognisers, params: core.EndpointerParams) -> None:
        self.utterance: Utterance | None = None
        self._recognisers = recognisers
        self._params = params
        self._endpointer = core.Endpointer(params)
        start_ms = params.pre_roll_ms + params.onset_ms
        self._recent: deque[bytes] = deque(maxlen=-(-start_ms * STREAM_RATE // 1000 // FRAME_SAMPLES) + 1)

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

    def configure(self, params: core.EndpointerParams) -> None:
        """Other settings from the next frame on; ValueError if they change what a frame is."""
        self._endpointer.configure(params)
        self._params = params

    def hear(self, frame: bytes) -> list[core.Action]:
        """Take the next frame of `FRAME_SAMPLES`, PCM16; return what follows from it, in order."""
        self._recent.append(frame)
        if self.utterance is not None:
            self.utterance.add([frame])
        return self._endpointer.handle(core.Frame(rms(frame)))

    def begin(self, started: core.SpeechStarted, language: str) -> Utterance:
        """The utterance that has started, with its audio so far."""
        self.utterance = Utterance(self._recognisers, language, started.pre_roll_from_samples)
        frames = (self.position_samples - started.pre_roll_from_samples) // FRAME_SAMPLES
        self.utterance.add(list(self._recent)[-frames:])
        return self.utterance

    def note(self) -> list[core.Action]:
        """Look at how the utterance reads now; its text may end it."""
        utterance = self.current
        return self._endpointer.handle(core.HypothesisChanged(utterance.text, utterance.heard_until_samples))

    def flush(self) -> list[core.Action]:
        """Whatever is being said ends here."""
        return self._endpointer.handle(core.Flush())

    def forget(self) -> None:
        """No utterance is being spoken any more; its recogniser goes back to the others, in whatever state."""
        if self.utterance is not None:
            self.utterance.release()
        self.utterance = None


def count(utterance: Utterance, ended: core.Endpoint) -> None:
    """Add an utterance that has ended to the figures."""
    ASR_FINALS.labels(ended.reason.value).inc()
    if utterance.audio_s:
        ASR_RTF.observe(utterance.decode_s / utterance.audio_s)


def rms(frame: bytes) -> float:
    """Loudness of PCM16; full scale is 1."""
    samples = np.frombuffer(frame, "<i2").astype(np.float32)
    return float(np.sqrt(np.mean(samples * samples))) / FULL_SCALE
