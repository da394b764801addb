"""A long text of several scripts, spoken by espeak-ng as it streams: little is held, and joints do not click."""

from dataclasses import dataclass, field
from itertools import pairwise

import anyio
import numpy as np
import numpy.typing as npt
import pytest
from anyio import Event
from anyio.lowlevel import checkpoint

from shared.wire.tts import Done, SegmentStarted
from tts_service.engines.espeak import EspeakEngine
from tts_service.outbox import Lane, Outbox
from tts_service.reply import Reply
from tts_service.settings import TtsSettings
from tts_service.synthesiser import Synthesiser

pytestmark = [pytest.mark.service, pytest.mark.anyio]

RATE = 24_000
CHARS = 5_000
LEAD_MS = 2_000
FRAME_MS = 100
PARAGRAPH = (
    "Dr. Smith paid $3.50 for version 2.1, and it runs well. 今天天气很好，我们去公园散步。他说：“明天见！”然后走了。\n"
    "안녕하세요, 오늘은 정말 좋은 날입니다. Is that so? ¿De verdad? Ja, wirklich! これはペンです。そうですか。\n"
)
TEXT = (PARAGRAPH * (CHARS // len(PARAGRAPH) + 1))[:CHARS]
Samples = npt.NDArray[np.int32]


@dataclass
class Spoken:
    """What came of a text, and how much of it was held at most."""

    segments: list[SegmentStarted] = field(default_factory=list)
    pcm: bytearray = field(default_factory=bytearray)
    most_ms: float = 0.0
    done: Done | None = None

    @property
    def samples(self) -> Samples:
        return np.frombuffer(bytes(self.pcm), np.int16).astype(np.int32)

    def lengths_ms(self) -> list[float]:
        """Of each segment, with the pause after it."""
        starts = [segment.start_samples for segment in self.segments] + [len(self.pcm) // 2]
        return [(end - start) * 1000 / RATE for start, end in pairwise(starts)]


async def until_full(lane: Lane, is_made: Event) -> None:
    """The laziest reader: takes nothing while more can be made ahead of it."""
    while lane.waiting_ms <= LEAD_MS and not is_made.is_set():
        await checkpoint()


async def run(reply: Reply, is_made: Event) -> None:
    await reply.run()
    is_made.set()


async def speak(text: str) -> Spoken:
    spoken = Spoken()
    settings = TtsSettings(slots=1, lead_ms=LEAD_MS)
    synthesiser = Synthesiser(settings, EspeakEngine())
    with anyio.fail_after(50):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(synthesiser.run)
            while await synthesiser.state() != "ready":
                await checkpoint()
            outbox = Outbox()
            lane = outbox.open("long", RATE)
            manner = synthesiser.manner(language="en", voice=None, speed=1.0)
            reply = synthesiser.reply(manner, lane)
            is_made = Event()
            tasks.start_soon(run, reply, is_made)
            reply.add(text)
            reply.end()
            while spoken.done is None:
                await until_full(lane, is_made)
                spoken.most_ms = max(spoken.most_ms, lane.waiting_ms)
                _, item = await outbox.take()
                if isinstance(item, bytes):
                    spoken.pcm += item
                elif isinstance(item, SegmentStarted):
                    spoken.segments.append(item)
                elif isinstance(item, Done):
                    spoken.done = item
        await synthesiser.close()
    return spoken


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def spoken() -> Spoken:
    return await speak(TEXT)


async def test_no_more_is_held_of_a_long_text_than_the_lead_and_a_segment(spoken: Spoken) -> None:
    assert spoken.most_ms <= LEAD_MS + max(spoken.lengths_ms()) + FRAME_MS
    total_ms = len(spoken.pcm) / 2 * 1000 / RATE
    assert total_ms > 20 * spoken.most_ms, "the text is too short to tell"


async def test_all_of_it_is_spoken_in_order(spoken: Spoken) -> None:
    assert spoken.done is not None
    assert (spoken.done.outcome, spoken.done.total_samples) == ("completed", len(spoken.pcm) // 2)
    said = "".join("".join(segment.text.split()) for segment in spoken.segments)
    assert said == "".join(TEXT.split())
    assert [segment.index for segment in spoken.segments] == list(range(len(spoken.segments)))
    assert all(length_ms > 0 for length_ms in spoken.lengths_ms())


async def test_segments_join_without_a_click(spoken: Spoken) -> None:
    samples = spoken.samples
    steps = np.abs(np.diff(samples))
    starts = [segment.start_samples for segment in spoken.segments]
    joints = [largest_at_joint(samples, steps, start) for start in starts[1:]]
    assert len(joints) > 50
    assert 20 * max(joints) <= steps.max(), "speech itself has steps far larger than these"


def largest_at_joint(samples: Samples, steps: Samples, start: int) -> int:
    """The largest step in the millisecond around the end of the sound before a segment, and around its beginning."""
    around = RATE // 2000
    end = start - 1
    while samples[end] == 0:
        end -= 1
    return int(max(steps[end - around : end + 1].max(), steps[start - 1 : start + around].max()))
