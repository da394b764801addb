"""A client that sends back what it plays, the gateway's ears, and a real asr_service that is told what is played."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from gateway.asr_link import AsrLink
from gateway.core.events import StageFailed
from shared.wire import asr
from tests.support import own_service
from tests.support.echo_room import FRAME_MS, PLAYED_RATE, WAYS, EchoRoom, Way, reply
from tests.support.hand_clock import HandClock, HandLoop
from tests.support.speech import RATE

pytestmark = [pytest.mark.service, pytest.mark.anyio]

PIECE_BYTES = 2 * PLAYED_RATE * 40 // 1000
LEAD_MS = 2_000
BEFORE_MS = 1_500  # before the reply
SOON_MS = 400


@pytest.fixture(scope="module")
def recogniser() -> Iterator[str]:
    """An asr_service of which every sound is a word."""
    with own_service.ready("asr_service", "ASR", ASR_ENGINE="fake") as url:
        yield url.replace("http", "ws").removesuffix("/v1")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def anyio_backend(clock: HandClock) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: HandLoop(clock)}


class Talk:
    """A room, and what is heard in it."""

    def __init__(self, link: AsrLink, clock: HandClock, way: Way) -> None:
        self.link = link
        self.room = EchoRoom(way)
        self.starts_ms: list[int] = []
        self.ms = 0
        self.is_guarded = True
        self._clock = clock
        self._reply = reply()
        self._ended = anyio.Event()

    async def note(self, heard: asr.AsrOut | StageFailed) -> None:
        if isinstance(heard, asr.SpeechStarted):
            self.starts_ms.append(heard.at_samples * 1000 // RATE)
        elif isinstance(heard, asr.Final) and heard.reason == "flush":
            self._ended.set()

    def answer(self) -> None:
        """As much of the reply is sent as a client gets ahead of its ear."""
        while self._reply and self.room.left_ms < LEAD_MS:
            piece, self._reply = self._reply[:PIECE_BYTES], self._reply[PIECE_BYTES:]
            self.room.put(piece)
            if self.is_guarded:
                self.link.play(piece, PLAYED_RATE)

    async def go_on(self, ms: int, *, answers: bool = True, is_muted: bool = False) -> None:
        """Time passes in the room."""
        for _ in range(ms // FRAME_MS):
            self._clock.now_s += FRAME_MS / 1000
            if answers:
                self.answer()
            heard = self.room.tick()
            if not is_muted:
                self.ms += FRAME_MS
                await self.link.hear(heard)

    async def end(self) -> None:
        """All of it has been heard."""
        await self.link.flush()
        await self._ended.wait()


@asynccontextmanager
async def talking(url: str, clock: HandClock, way: Way) -> AsyncIterator[Talk]:
    """A room in which somebody asked something a while ago."""

    async def note(heard: asr.AsrOut | StageFailed) -> None:
        if isinstance(heard, asr.AsrReady):
            ready.set()
        await talk.note(heard)

    ready = anyio.Event()
    link = AsrLink(url, asr.Configure(sample_rate=RATE), note, 1.0)
    talk = Talk(link, clock, way)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        await ready.wait()
        await talk.go_on(BEFORE_MS, answers=False)
        yield talk
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_parley_does_not_hear_itself(recogniser: str, clock: HandClock, way: Way) -> None:
    async with talking(recogniser, clock, way) as talk:
        await talk.go_on(12_000)
        await talk.end()

    assert talk.starts_ms == []


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_somebody_who_speaks_over_it_is_heard(recogniser: str, clock: HandClock, way: Way) -> None:
    async with talking(recogniser, clock, way) as talk:
        await talk.go_on(4_000)
        talk.room.speak("hello_how_are_you_today", 6.0)
        begins_ms = talk.ms
        await talk.go_on(1_000)
        await talk.end()

    assert [begins_ms <= ms < begins_ms + SOON_MS for ms in talk.starts_ms] == [True]


async def test_without_being_told_it_hears_itself(recogniser: str, clock: HandClock) -> None:
    async with talking(recogniser, clock, WAYS[2]) as talk:
        talk.is_guarded = False
        await talk.go_on(4_000)
        await talk.end()

    assert talk.starts_ms != []


@pytest.mark.parametrize("pause_ms", [300, 900])
async def test_an_answer_that_paused_is_still_its_own(recogniser: str, clock: HandClock, pause_ms: int) -> None:
    async with talking(recogniser, clock, WAYS[1]) as talk:
        await talk.go_on(3_000)
        talk.room.is_paused = True
        talk.link.pause()
        await talk.go_on(pause_ms)
        talk.room.is_paused = False
        talk.link.resume()
        await talk.go_on(5_000)
        await talk.end()

    assert talk.starts_ms == []


@pytest.mark.parametrize(("muted_ms", "confused_ms"), [(600, 1_300), (3_000, 0)])
async def test_a_microphone_that_was_switched_off_meanwhile_hears_no_speech_for_long(
    recogniser: str, clock: HandClock, muted_ms: int, confused_ms: int
) -> None:
    async with talking(recogniser, clock, WAYS[3]) as talk:
        await talk.go_on(3_000)
        on_ms = talk.ms
        await talk.go_on(muted_ms, is_muted=True)
        await talk.go_on(5_000)
        await talk.end()

    assert [ms - on_ms for ms in talk.starts_ms if ms > on_ms + confused_ms] == []
