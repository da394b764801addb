"""Whole sessions with clients that play and hear in one room: Parley does not cut itself short, but a person does.

The gateway and the asr_service are real, and all rooms are there at once. Time goes by in them frame by frame of their
microphones, and no faster than the gateway takes those.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from asr_service.app import build_app as build_recogniser
from asr_service.settings import AsrSettings
from gateway.app import build_app
from gateway.settings import GatewaySettings
from shared.wire import tts
from tests.support.echo_room import FRAME_MS, PLAYED_RATE, WAYS, EchoRoom, Way, reply
from tests.support.hand_clock import HandClock, HandLoop
from tests.support.live_client import LiveClient, open_client
from tests.support.mortal import Mortal
from tests.support.real_server import served

pytestmark = [pytest.mark.service, pytest.mark.anyio]

PIECE_BYTES = 2 * PLAYED_RATE * 40 // 1000
BEFORE_MS = 1_500  # before the answer
ALONE_MS = 3_500  # since the answer began to be heard
OVER_MS = 1_500
LATE_MS = 1_000  # at most, before an answer begins
PERSON, ABOVE_ECHO_DB = "hello_how_are_you_today", 6.0


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def anyio_backend(clock: HandClock) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: HandLoop(clock)}


class Teller(Mortal):
    """A voice that speaks for long, whatever it is asked to say, and stops when it is told."""

    def __init__(self) -> None:
        self._connections: set[ServerConnection] = set()

    async def _converse(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        async with anyio.create_task_group() as tasks:
            with suppress(ConnectionClosed):
                async for frame in connection:
                    message = tts.TTS_IN.decode(str(frame))
                    if isinstance(message, tts.Text):
                        tasks.start_soon(self._speak, connection, message)
                    elif isinstance(message, tts.Cancel):
                        done = tts.Done(reply_id=message.reply_id, outcome="cancelled", total_samples=0)
                        await connection.send(done.to_json())
                        break
            tasks.cancel_scope.cancel()
        self._connections.discard(connection)

    async def _speak(self, connection: ServerConnection, asked: tts.Text) -> None:
        sound, segment = reply(), tts.SegmentStarted(reply_id=asked.reply_id, index=0, text="A story.", start_samples=0)
        with suppress(ConnectionClosed):
            await connection.send(segment.to_json())
            for at in range(0, len(sound), PIECE_BYTES):
                await connection.send(tts.encode_audio(asked.reply_id, sound[at : at + PIECE_BYTES]))


class Guest:
    """A client in a room; its microphone is never off."""

    def __init__(self, client: LiveClient, way: Way) -> None:
        self.client = client
        self.way = way
        self.room = EchoRoom(way)
        self.tally = Counter[str]()  # of messages by their types
        self._taken = 0

    @property
    def has_heard_ms(self) -> int:
        return self.room.played_samples * 1000 // PLAYED_RATE

    async def live(self) -> None:
        """A frame's time passes in the room; until the gateway took that frame."""
        self._take()
        pongs = self.tally["pong"]
        await self.client.connection.send(self.room.tick())
        await self.client.send(type="ping")
        while self.tally["pong"] == pongs:
            await checkpoint()
            self._take()

    def _take(self) -> None:
        """What came since is played, paused or dropped."""
        frames = self.client.frames
        for frame in frames[self._taken :]:
            if isinstance(frame, bytes):
                self.room.put(frame)
                continue
            self.tally[frame["type"]] += 1
            if frame["type"] == "interrupted":
                self.room.drop()
            elif frame["type"] in ("reply_paused", "reply_resumed"):
                self.room.is_paused = frame["type"] == "reply_paused"
        self._taken = len(frames)


class Guests:
    """Everybody in a room of their own, at the same time."""

    def __init__(self, clock: HandClock, guests: list[Guest]) -> None:
        self.guests = guests
        self._clock = clock

    async def live(self, ms: int) -> None:
        for _ in range(ms // FRAME_MS):
            self._clock.now_s += FRAME_MS / 1000
            for guest in self.guests:
                await guest.live()

    async def hear_answers(self) -> None:
        """Until all have heard some of theirs."""
        for _ in range((LATE_MS + ALONE_MS) // FRAME_MS):
            if min(guest.has_heard_ms for guest in self.guests) < ALONE_MS:
                await self.live(FRAME_MS)

    def counts(self, kind: str) -> dict[Way, int]:
        return {guest.way: guest.tally[kind] for guest in self.guests}


@asynccontextmanager
async def guests_of(url: str, clock: HandClock, ways: list[Way]) -> AsyncIterator[Guests]:
    """One for each way."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(open_client(url)) for _ in ways]
        yield Guests(clock, [Guest(client, way) for client, way in zip(clients, ways, strict=True)])


@asynccontextmanager
async def gateway(folder: Path, clock: HandClock, **settings: Any) -> AsyncIterator[str]:
    """A gateway with a voice and an asr_service of which every sound is a word."""
    voice = Teller()
    await voice.start()
    ears = build_recogniser(AsrSettings(engine="fake"))
    async with anyio.create_task_group() as tasks:
        async with served(ears) as asr_port:
            wanted = GatewaySettings(
                database_url=f"sqlite+aiosqlite:///{folder}/t.db",
                asr_url=f"ws://127.0.0.1:{asr_port}",
                tts_url=voice.url,
                llm_url="http://127.0.0.1:9",  # an opening line needs no model
                **settings,
            )
            async with served(build_app(wanted)) as port:
                yield f"http://127.0.0.1:{port}"
                tasks.start_soon(run_on, clock)
        tasks.cancel_scope.cancel()
    await voice.stop()


async def run_on(clock: HandClock) -> None:
    """Time goes by, as servers need it to end."""
    while True:
        clock.now_s += FRAME_MS / 1000
        await checkpoint()


@pytest.mark.parametrize(("backchannels", "ways"), [(False, WAYS[::2]), (True, WAYS[1::2])])
async def test_parley_goes_on_over_its_own_echo_and_stops_for_a_person(
    clock: HandClock, tmp_path: Path, backchannels: bool, ways: list[Way]
) -> None:
    async with gateway(tmp_path, clock, backchannels=backchannels) as url, guests_of(url, clock, ways) as all_of_them:
        await all_of_them.live(BEFORE_MS)
        for guest in all_of_them.guests:
            await guest.client.send(type="config", persona="harry_potter", greets=True)
        await all_of_them.hear_answers()
        alone = all_of_them.counts("speech_started")
        for guest in all_of_them.guests:
            guest.room.speak(PERSON, ABOVE_ECHO_DB)
        await all_of_them.live(OVER_MS)
        starts, stops = all_of_them.counts("speech_started"), all_of_them.counts("interrupted")

    assert alone == dict.fromkeys(ways, 0)
    assert starts == stops == dict.fromkeys(ways, 1)
