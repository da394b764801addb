"""A recording, heard as a stream is: where somebody speaks, and what they said, one utterance after the other.

Nobody waits for the parts of an utterance here, so it is decoded only where a pause may end it, and where it does end.
Those who speak live go first: a recording asks no more urgently than a partial, and all recordings together leave a
lane of the scheduler, and with it a recogniser, to the others where there are two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

import anyio

from asr_service.core import endpointer as core
from asr_service.core.decode_queue import Urgency
from asr_service.core.frame_cutter import FrameCutter
from asr_service.core.subtitles import Cue
from asr_service.engines.base import Task
from asr_service.hearing import FRAME_SAMPLES, Hearing, count
from asr_service.scheduler import DecodeScheduler
from asr_service.utterance import Utterance
from shared.pcm import BYTES_PER_SAMPLE, samples_of
from shared.wire.asr import STREAM_RATE

FRAME_BYTES = FRAME_SAMPLES * BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance: its text, never "", its language, when its parts were said, and its words where asked for."""

    text: str
    language: str
    cues: tuple[Cue, ...]
    words: tuple[Cue, ...] = ()


class Recording:
    """One recording, read as `task` says. `share` bounds how many recordings have an utterance that is decoded."""

    def __init__(self, scheduler: DecodeScheduler, share: anyio.Semaphore, task: Task, hearing: Hearing) -> None:
        self._scheduler = scheduler
        self._share = share
        self._has_share = False
        self._task = task
        self._hearing = hearing
        self._cutter = FrameCutter(FRAME_BYTES)
        self._heard_samples = 0

    @property
    def language(self) -> str:
        """What is listened for; "" when it is found out."""
        return self._task.language

    @property
    def duration_s(self) -> float:
        """How much was heard."""
        return self._heard_samples / STREAM_RATE

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
        if self._has_share:
            self._share.release()
            self._has_share = False

    async def _perform(self, actions: list[core.Action]) -> list[Said]:
        said: list[Said] = []
        for action in actions:
            match action:
                case core.SpeechStarted():
                    self._hearing.begin(action, lambda started: Utterance(self._scheduler, self._task, started))
                case core.Candidate():
                    await self._decode(self._hearing.current)
                    said += await self._perform([*await self._hearing.judge(), *self._hearing.note()])
                case core.Resumed():
                    self._hearing.current.resume()
                case core.Endpoint():
                    said += await self._end(action)
                case _:
                    assert_never(action)
        return said

    async def _decode(self, utterance: Utterance) -> None:
        if not self._has_share:
            await self._share.acquire()
            self._has_share = True  # as long as the utterance has a recogniser
        utterance.conclude(Urgency.PARTIAL)
        await utterance.ended()
        news = utterance.take_news()
        if news is not None and news.failure is not None:
            raise news.failure

    async def _end(self, ended: core.Endpoint) -> list[Said]:
        utterance = self._hearing.current
        await self._decode(utterance)
        count(utterance, ended)
        self.close()
        if not utterance.text:
            return []
        words = (word for span in utterance.spans for word in span.words)
        return [
            Said(
                utterance.text,
                utterance.language,
                tuple(self._cues(utterance, ended)),
                tuple(self._cue(word.start_samples, word.end_samples, word.text) for word in words),
            )
        ]

    def _cues(self, utterance: Utterance, ended: core.Endpoint) -> Iterator[Cue]:
        """The spans that the engine tells, else the utterance as a whole."""
        spans = [(span.start_samples, span.end_samples, span.text) for span in utterance.spans if span.text]
        for start, end, text in spans or [(ended.start_samples, ended.at_samples, utterance.text)]:
            yield self._cue(start, end, text)

    def _cue(self, start_samples: int, end_samples: int, text: str) -> Cue:
        """Never beyond the recording."""
        end_s = min(end_samples / STREAM_RATE, self.duration_s)
        return Cue(min(start_samples / STREAM_RATE, end_s), end_s, text)
