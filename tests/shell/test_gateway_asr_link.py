"""A session's ears at recognisers that die, refuse and hear nothing in the middle of an utterance."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint
from websockets.asyncio.server import ServerConnection

from gateway.asr_link import PLAYED_BYTES, AsrLink
from gateway.core.events import StageFailed
from gateway.core.loudspeaker import AHEAD_S
from gateway.core.replica_choice import Condition
from gateway.replicas import Replicas
from shared.errors import AudioOverrun
from shared.wire import asr
from tests.support.replicas import Ears, started

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

WORD = 1_600  # samples
FRAME = 640  # bytes
SILENCE = bytes(2 * 3_200)
NOBODY = "ws://127.0.0.1:9"


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") * WORD for value in values)


class OldEars(Ears):
    """A recogniser of the time before anything was told of what is played."""

    async def _listen(self, connection: ServerConnection) -> None:
        async for frame in connection:
            if isinstance(frame, str):
                self.messages.append(frame)
                if "playing" in frame or "hush" in frame:
                    refusal = asr.AsrError(code="unknown_type", message="There is no message of that type.")
                    await connection.send(refusal.to_json())
                elif "flush" in frame:
                    final = asr.Final(
                        utterance_id=f"utt_{len(self.messages)}",
                        text="",
                        language="en",
                        segments=[],
                        start_samples=0,
                        end_samples=0,
                        reason="flush",
                    )
                    await connection.send(final.to_json())


def played_to(ears: Ears) -> list[bytes | str]:
    """The audio of each `playing` that it was told, and `hush`."""
    told = [json.loads(message) for message in ears.messages]
    audio = [base64.b64decode(one["audio"]) if one["type"] == "playing" else one["type"] for one in told]
    return [one for one in audio if one not in ("config", "flush")]


SPEECH = SILENCE + words(1, 2, 3) + SILENCE + words(4, 5) + SILENCE
STARTS, ENDS = [3_200, 11_200], [8_000, 14_400]


class Listener:
    """What a session is told."""

    def __init__(self) -> None:
        self.told: list[asr.AsrOut | StageFailed] = []
        self._changed = anyio.Event()

    async def take(self, message: asr.AsrOut | StageFailed) -> None:
        self.told.append(message)
        self._changed.set()
        self._changed = anyio.Event()

    def of(self, kind: type[asr.AsrOut | StageFailed]) -> list[asr.AsrOut | StageFailed]:
        return [message for message in self.told if isinstance(message, kind)]

    @property
    def finals(self) -> list[asr.Final]:
        return [message for message in self.told if isinstance(message, asr.Final)]

    async def hear(self, kind: type[asr.AsrOut | StageFailed], count: int = 1) -> None:
        """Until so many came; the test's own timeout is the limit."""
        while len(self.of(kind)) < count:
            await self._changed.wait()


@asynccontextmanager
async def listening(service: str | Replicas) -> AsyncIterator[tuple[AsrLink, Listener]]:
    listener = Listener()
    link = AsrLink(service, asr.Configure(sample_rate=16_000), listener.take, 1.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        await listener.hear(asr.AsrReady)
        yield link, listener
        tasks.cancel_scope.cancel()


async def say(link: AsrLink, speech: bytes) -> None:
    for at in range(0, len(speech), FRAME):
        await link.hear(speech[at : at + FRAME])
        await checkpoint()


def check_told_once(listener: Listener) -> None:
    """Two utterances, as one recogniser would have told them."""
    begun = [message for message in listener.told if isinstance(message, asr.SpeechStarted)]
    ended = [message for message in listener.told if isinstance(message, asr.Endpoint)]
    partials = [message for message in listener.told if isinstance(message, asr.Partial)]
    assert [final.text for final in listener.finals] == ["1 2 3", "4 5"]
    assert [one.utterance_id for one in begun] == [one.utterance_id for one in listener.finals]
    assert [one.utterance_id for one in ended] == [one.utterance_id for one in listener.finals]
    assert [one.text for one in partials] == ["1", "1 2", "1 2 3", "4", "4 5"]
    assert [one.at_samples for one in begun] == STARTS
    assert [(one.start_samples, one.end_samples) for one in listener.finals] == list(zip(STARTS, ENDS, strict=True))
    spans = [time for final in listener.finals for one in final.segments for time in (one.start, one.end)]
    assert spans == pytest.approx([samples / 16_000 for both in zip(STARTS, ENDS, strict=True) for samples in both])
    assert listener.of(StageFailed) == []


@pytest.mark.parametrize("dies_at", range(320, 15_900, 960))
async def test_wherever_a_recogniser_dies_all_is_heard_and_told_once(dies_at: int) -> None:
    mortal, other = Ears(dies_at), Ears()
    async with started(mortal, other) as urls:
        replicas = Replicas("asr_service", urls)
        async with listening(replicas) as (link, listener):
            await say(link, SPEECH)
            await listener.hear(asr.Final, 2)

        assert link.heard_s == pytest.approx(len(SPEECH) / 32_000)
        assert list(replicas.conditions.values()) == [Condition.LOST, Condition.UNKNOWN]
        assert list(replicas.users.values()) == [0, 0]
    check_told_once(listener)


@pytest.mark.parametrize("dies_at", [4_000, 7_040, 8_960])
async def test_a_single_recogniser_that_is_back_soon_hears_it_again(dies_at: int) -> None:
    async with started(Ears(dies_at)) as url, listening(url) as (link, listener):
        await say(link, SPEECH)
        await listener.hear(asr.Final, 2)
    check_told_once(listener)


async def test_two_recognisers_that_die_in_one_utterance_are_both_followed() -> None:
    ears = Ears(4_800), Ears(4_000), Ears()
    async with started(*ears) as urls, listening(urls) as (link, listener):
        await say(link, SPEECH)
        await listener.hear(asr.Final, 2)
    check_told_once(listener)


async def test_a_flush_that_was_not_answered_is_sent_again() -> None:
    mortal, other = Ears(3_200 + 3 * WORD), Ears()
    async with started(mortal, other) as urls, listening(urls) as (link, listener):
        await link.hear(SILENCE + words(1, 2, 3))
        await link.flush()
        await listener.hear(asr.Final)

    assert [(final.text, final.reason) for final in listener.finals] == [("1 2 3", "flush")]
    assert len(listener.of(asr.SpeechStarted)) == 1


async def test_what_was_cleared_is_not_heard_again() -> None:
    mortal, other = Ears(), Ears()
    async with started(mortal, other) as urls, listening(urls) as (link, listener):
        await say(link, SILENCE + words(1))
        await listener.hear(asr.SpeechStarted)
        await link.clear()
        while not any("clear" in message for message in mortal.messages):
            await checkpoint()
        await mortal.stop()
        await say(link, SILENCE + words(4, 5) + SILENCE)
        await listener.hear(asr.Final)

    begun = [one.utterance_id for one in listener.told if isinstance(one, asr.SpeechStarted)]
    assert [(final.text, final.utterance_id) for final in listener.finals] == [("4 5", begun[1])]
    assert (len(begun), listener.of(StageFailed)) == (2, [])


async def test_settings_follow_to_the_next_recogniser() -> None:
    mortal, other = Ears(), Ears()
    async with started(mortal, other) as urls, listening(urls) as (link, listener):
        await link.configure(asr.Configure(sample_rate=16_000, language="ko"))
        while len(mortal.messages) < 2:
            await checkpoint()
        await mortal.stop()
        await listener.hear(asr.AsrReady, 2)
        await say(link, SPEECH)
        await listener.hear(asr.Final, 2)

    assert [("ko" in message) for message in other.messages][-1]
    assert listener.of(StageFailed) == []


async def test_recognisers_that_refuse_or_are_away_are_passed_over_without_a_word() -> None:
    full, other = Ears(refuses="too_many_sessions"), Ears()
    async with started(full, other) as urls, listening(f"{NOBODY},{urls}") as (link, listener):
        await say(link, SPEECH)
        await listener.hear(asr.Final, 2)

    assert listener.of(asr.AsrError) == []
    check_told_once(listener)


async def test_when_all_refuse_one_reason_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.asr_link.BACK_OFF_S", (0.001,))
    ears = Ears(refuses="too_many_sessions"), Ears(refuses="too_many_sessions")
    listener = Listener()
    async with started(*ears) as urls, anyio.create_task_group() as tasks:
        link = AsrLink(urls, asr.Configure(), listener.take, 1.0)
        tasks.start_soon(link.run)
        await listener.hear(StageFailed)
        await link.hear(SPEECH)
        ears[1].refuses = None
        await listener.hear(asr.AsrReady)
        tasks.cancel_scope.cancel()

    assert (len(listener.of(asr.AsrError)), len(listener.of(StageFailed))) == (1, 1)


async def test_speech_that_finds_no_recogniser_in_time_is_told_and_not_heard_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.asr_link.RESCUE_S", 0.05)
    ears = Ears()
    async with started(ears) as url, listening(url) as (link, listener):
        await say(link, SILENCE + words(1, 2))
        await listener.hear(asr.Partial, 2)
        await ears.stop()
        await listener.hear(StageFailed)
        await ears.start()
        await listener.hear(asr.AsrReady, 2)
        await say(link, SILENCE + words(4, 5) + SILENCE)
        await listener.hear(asr.Final)

    assert [final.text for final in listener.finals] == ["4 5"]
    assert len({one.utterance_id for one in listener.told if isinstance(one, asr.SpeechStarted)}) == 2


async def test_speech_that_the_next_recogniser_does_not_find_is_told_to_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.asr_link.RESCUE_S", 0.05)
    async with started(Ears(4_800), Ears(is_deaf=True)) as urls, listening(urls) as (link, listener):
        await say(link, SPEECH)
        await listener.hear(StageFailed)

    failure = listener.of(StageFailed)[0]
    assert isinstance(failure, StageFailed)
    assert (failure.is_retryable, "lost" in failure.message) == (True, True)


async def test_settings_that_change_while_nobody_hears_hold_when_somebody_does() -> None:
    ears = Ears()
    async with started(ears) as url, listening(url) as (link, listener):
        while not ears.messages:
            await checkpoint()
        await ears.stop()
        await listener.hear(StageFailed)
        await link.configure(asr.Configure(sample_rate=8_000, language="ko"))
        await link.flush()  # nothing is there to be ended
        await ears.start()
        await listener.hear(asr.AsrReady, 2)
        while len(ears.messages) < 2:
            await checkpoint()

    assert [json.loads(message)["type"] for message in ears.messages] == ["config", "config"]
    assert json.loads(ears.messages[-1])["language"] == "ko"


async def test_more_audio_than_may_wait_is_an_overrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.asr_link.OVERRUN_S", 0.01)
    link = AsrLink(NOBODY, asr.Configure(sample_rate=16_000), Listener().take, 0.01)
    with pytest.raises(AudioOverrun):
        await link.hear(bytes(2 * 16_000 * 10))

    assert 8 <= link.heard_s < 9


async def test_a_recogniser_that_speaks_something_else_is_left_for_another_one() -> None:
    odd, other = Ears(says="no message of ours"), Ears()
    async with started(odd, other) as urls, listening(urls) as (link, listener):
        await say(link, SPEECH)
        await listener.hear(asr.Final, 2)
    check_told_once(listener)


async def test_what_is_played_is_told_with_the_audio_in_messages_that_the_wire_takes() -> None:
    ears, reply = Ears(), words(7) * 100
    async with started(ears) as url, listening(url) as (link, listener):
        link.play(reply, 48_000)
        await link.hear(SILENCE)
        link.hush()
        await link.hear(words(1) + SILENCE)
        await listener.hear(asr.Final)

    told = [asr.ASR_IN.decode(message) for message in ears.messages[1:]]
    assert [one.sample_rate for one in told if isinstance(one, asr.Playing)] == [48_000] * len(told[:-1])
    *pieces, hush = played_to(ears)
    assert [len(piece) for piece in pieces] == [PLAYED_BYTES, len(reply) - PLAYED_BYTES]
    assert (b"".join(piece for piece in pieces if isinstance(piece, bytes)), hush) == (reply, "hush")


async def test_what_waits_at_a_pause_is_told_again_when_it_goes_on() -> None:
    ears, reply = Ears(), words(7) * 10
    async with started(ears) as url, listening(url) as (link, listener):
        link.play(reply, 16_000)
        await link.hear(SILENCE)
        link.pause()
        await link.hear(SILENCE)
        link.resume()
        await link.hear(words(1) + SILENCE)
        await listener.hear(asr.Final)

    first, hush, rest = played_to(ears)
    assert (first, hush) == (reply, "hush")
    assert isinstance(rest, bytes)
    assert rest
    assert reply.endswith(rest)


async def test_a_recogniser_that_does_not_know_what_is_played_is_told_once_and_hears_on() -> None:
    old, other = OldEars(), Ears()
    async with started(old, other) as urls, listening(urls) as (link, listener):
        for count in range(1, 4):
            link.play(words(7), 16_000)
            await link.hear(SILENCE)
            link.hush()
            await link.hear(SILENCE)
            await link.flush()
            await listener.hear(asr.Final, count)
        await old.stop()
        await listener.hear(asr.AsrReady, 2)
        link.play(words(8), 16_000)
        await link.hear(words(1) + SILENCE)
        await listener.hear(asr.Final, 4)

    assert played_to(old) in ([words(7)], [words(7), "hush"])  # the hush may have left before the answer came
    assert played_to(other)[-1] == words(8)
    assert (listener.of(asr.AsrError), listener.of(StageFailed)) == ([], [])


async def test_what_is_played_is_told_to_the_next_recogniser_too() -> None:
    mortal, other = Ears(4_000), Ears()
    async with started(mortal, other) as urls, listening(urls) as (link, listener):
        link.play(words(7) * 10, 16_000)
        await say(link, SPEECH)
        await listener.hear(asr.Final, 2)

    assert played_to(mortal) == played_to(other) == [words(7) * 10]
    check_told_once(listener)


async def test_what_is_played_never_waits_and_fills_nothing() -> None:
    link = AsrLink(NOBODY, asr.Configure(sample_rate=16_000), Listener().take, 0.01)
    for _ in range(round(2 * AHEAD_S)):
        link.play(bytes(2 * 16_000), 16_000)
    await link.hear(bytes(2 * 16_000 * 8))

    assert link.heard_s == pytest.approx(8.0)
