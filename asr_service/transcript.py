"""A recording, heard as a stream is: where somebody speaks, and what they said, one utterance after the other.

Nobody waits for the parts of an utterance here, so it is decoded only where a pause may end it, and where it does end.
For this it waits for a recogniser and gives it back at once: a recording has one at a time, and none between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

import anyio

from asr_service.core import endpointer as core
from asr_service.core.frame_cutter import FrameCutter
from asr_service.core.subtitles import Cue
from asr_service.hearing import FRAME_SAMPLES, Hearing, count
from asr_service.recognisers import Recognisers
from asr_service.utterance import UNSPACED, Utterance
from shared.pcm import BYTES_PER_SAMPLE, samples_of
from shared.wire.asr import STREAM_RATE

FRAME_BYTES = FRAME_SAMPLES * BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance: its text, never "", and when its parts were said."""

    text: str
    cues: tuple[Cue, ...]


class Recording:
    """One recording. `share` bounds how many recognisers all recordings hold together."""

    def __init__(
        self, recognisers: Recognisers, share: anyio.Semaphore, language: str, params: core.EndpointerParams
    ) -> None:
        self.language = language
        self._share = share
        self._hearing = Hearing(recognisers, params)
        self._cutter = FrameCutter(FRAME_BYTES)
        self._heard_samples = 0

    @property
    def duration_s(self) -> float:
        """How much was heard."""
        return self._heard_samples / STREAM_RATE

    @property
    def between(self) -> str:
        """What stands between two utterances in a text."""
        return "" if self.language.split("-")[0] in UNSPACED else " "

    async def add(self, pcm: bytes) -> list[Said]:
        """Hear what follows; return what has been said to its end by now. EngineFailed when a recogniser fails.

        A cancel loses the utterance that is being decoded; `close` must follow.
        """
        self._heard_samples += samples_of(pcm)
        said: list[Said] = []
        for frame in self._cutter.add(pcm):
            said += await self._perform(self._hearing.hear(frame))
        return said

    async def finish(self) -> list[Said]:
        """The recording ends; return what was said last. EngineFailed when a recogniser fails."""
        rest = self._cutter.rest
        said = await self._perform(self._hearing.hear(rest.ljust(FRAME_BYTES, b"\0"))) if rest else []
        return said + await self._perform(self._hearing.flush())

    def close(self) -> None:
        """Hear no more; a second call does nothing."""
        self._hearing.forget()

    async def _perform(self, actions: list[core.Action]) -> list[Said]:
        said: list[Said] = []
        for action in actions:
            match action:
                case core.SpeechStarted():
                    self._hearing.begin(action, self.language)
                case core.Candidate():
                    await self._decode(self._hearing.current)
                    said += await self._perform(self._hearing.note())
                case core.Resumed():
                    self._hearing.current.resume()
                case core.Endpoint():
                    said += await self._end(action)
                case _:
                    assert_never(action)
        return said

    async def _decode(self, utterance: Utterance) -> None:
        async with self._share:
            await utterance.conclude(can_wait=True)

    async def _end(self, ended: core.Endpoint) -> list[Said]:
        utterance = self._hearing.current
        await self._decode(utterance)
        count(utterance, ended)
        self._hearing.forget()
        return [Said(utterance.text, tuple(self._cues(utterance, ended)))] if utterance.text else []

    def _cues(self, utterance: Utterance, ended: core.Endpoint) -> Iterator[Cue]:
        """The spans that the engine tells, else the utterance as a whole; never beyond the recording."""
        spans = [(span.start_samples, span.end_samples, span.text) for span in utterance.spans if span.text]
        for start, end, text in spans or [(ended.start_samples, ended.at_samples, utterance.text)]:
            end_s = min(end / STREAM_RATE, self.duration_s)
            yield Cue(min(start / STREAM_RATE, end_s), end_s, text)
