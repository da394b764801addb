"""What is played comes back through a loudspeaker: to the hearing it is no speech, and who speaks over it is heard."""

import base64

import numpy as np
import pytest

from asr_service.core.endpointer import Action, EndpointerParams
from asr_service.core.endpointer import SpeechStarted as Started
from asr_service.detectors import Detectors
from asr_service.echo import AHEAD_BYTES, Loudspeaker
from asr_service.engines.fake import FakeEngine, Line
from asr_service.hearing import FRAME_SAMPLES, Hearing
from shared.wire.asr import AsrError, AsrOut, Final, Flush, Hush, Playing, SpeechStarted
from shared.wire.codec import Message
from tests.support.asr import plain, running, told_after
from tests.support.speech import RATE, cut, silence, speech, tone

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

FRAME_BYTES = 2 * FRAME_SAMPLES
REPLY = (speech("what_is_the_capital_of_france") + silence(300) + speech("hello_how_are_you_today")) * 2
QUESTION = speech("tell_me_a_story")
ENGINE = FakeEngine((Line(1_600, "one"),))


def mixed(*sounds: tuple[bytes, int, float]) -> bytes:
    """Each sound at its place in ms and with its gain in dB, beside the hiss of a room; then a second of that."""
    places = [(np.frombuffer(pcm, "<i2") * 10 ** (db / 20), at_ms * RATE // 1000) for pcm, at_ms, db in sounds]
    whole = np.random.default_rng(1).normal(0, 15, max(len(sound) + at for sound, at in places) + RATE)
    for sound, at in places:
        whole[at : at + len(sound)] += sound
    return whole.clip(-32_768, 32_767).astype("<i2").tobytes()


ECHO = mixed((REPLY, 1_200, -12.0))  # played from the first second on, heard 200 ms later
TALK_MS = 4_000
LEAD_MS = next(at for at, one in enumerate(np.frombuffer(QUESTION, "<i2")) if abs(one) > 500) * 1_000 // RATE
OVERLAP = mixed((REPLY, 1_200, -12.0), (QUESTION, TALK_MS, -6.0))


def playing(pcm: bytes, rate: int = RATE, chunk_bytes: int = 65_536) -> list[bytes | str | Message]:
    """Messages as the gateway sends them, faster than they are played."""
    pieces = cut(pcm, chunk_bytes)
    return [Playing(sample_rate=rate, audio=base64.b64encode(piece).decode()) for piece in pieces]


def conversation(heard: bytes, *told: bytes | str | Message, chunk_bytes: int = 640) -> list[bytes | str | Message]:
    """A second is heard, then these are told, then the rest is heard."""
    return [*cut(heard[: 2 * RATE], chunk_bytes), *told, *cut(heard[2 * RATE :], chunk_bytes), Flush()]


def starts_ms(told: list[AsrOut]) -> list[int]:
    return [message.at_samples * 1000 // RATE for message in told if isinstance(message, SpeechStarted)]


async def heard(*frames: bytes | str | Message) -> list[AsrOut]:
    async with running(ENGINE) as scheduler:
        return await told_after(scheduler, frames)


async def test_an_echo_is_taken_for_speech_where_nobody_says_what_is_played() -> None:
    assert starts_ms(await heard(*conversation(ECHO))) != []


async def test_what_is_played_is_no_speech() -> None:
    assert starts_ms(await heard(*conversation(ECHO, *playing(REPLY)))) == []


async def test_who_speaks_over_it_is_heard_and_gets_a_final() -> None:
    told = await heard(*conversation(OVERLAP, *playing(REPLY)))
    [start_ms] = starts_ms(told)

    assert TALK_MS < start_ms < TALK_MS + LEAD_MS + 250
    assert next(message.text for message in told if isinstance(message, Final)) == "one"


async def test_the_same_is_told_however_audio_is_cut() -> None:
    told = [
        plain(await heard(*conversation(OVERLAP, *playing(REPLY, RATE, piece), chunk_bytes=chunk)))
        for chunk, piece in ((640, 65_536), (8_000, 1_002), (334, 16_384))
    ]

    assert told[1:] == [told[0]] * 2


async def test_what_is_played_may_have_another_rate() -> None:
    samples = np.frombuffer(REPLY, "<i2").astype(np.float64)
    places = np.arange(len(samples) * 3 // 2) / 1.5
    faster = np.interp(places, np.arange(len(samples)), samples).astype("<i2").tobytes()

    assert starts_ms(await heard(*conversation(ECHO, *playing(faster, 24_000)))) == []


async def test_after_a_hush_the_same_words_are_somebody_s() -> None:
    assert starts_ms(await heard(*conversation(ECHO, *playing(REPLY), Hush()))) != []
    assert starts_ms(await heard(Hush(), *conversation(ECHO))) != []


async def test_audio_that_is_none_gets_a_typed_error_and_the_stream_lives_on() -> None:
    told = await heard('{"type": "playing", "audio": "?"}', Playing(audio="AAAA"), tone(500), Flush())
    errors = [message.code for message in told if isinstance(message, AsrError)]

    assert errors == ["invalid_audio", "invalid_audio"]
    assert len(starts_ms(told)) == 1


def actions(hearing: Hearing, pcm: bytes) -> list[Action]:
    return [action for frame in cut(pcm, FRAME_BYTES) if len(frame) == FRAME_BYTES for action in hearing.hear(frame)]


@pytest.mark.parametrize("silent_ms", [0, 20, 5_000])
def test_where_silence_is_played_all_is_heard_as_if_there_were_no_guard(silent_ms: int) -> None:
    told = []
    for is_played in (False, True):
        hearing = Hearing(EndpointerParams(), Detectors())
        before = actions(hearing, silence(400))
        if is_played:
            hearing.play(silence(silent_ms), RATE)
        told.append(before + actions(hearing, OVERLAP))

    assert told[0] == told[1] != []


class Certain:
    """A detector that takes everything for speech."""

    def open(self) -> "Certain":
        return self

    def probability(self, _frame: bytes) -> float:
        return 1.0


def test_a_learnt_detector_is_not_believed_where_there_is_only_an_echo() -> None:
    detectors = Detectors()
    detectors.speech = Certain()
    hearing = Hearing(EndpointerParams(), detectors)
    before = actions(hearing, ECHO[: 2 * RATE])
    hearing.play(REPLY, RATE)
    after = actions(hearing, ECHO[2 * RATE :])

    assert [action for action in before + after if isinstance(action, Started)] == []


def test_a_loudspeaker_plays_one_piece_after_the_other_and_then_nothing() -> None:
    loudspeaker = Loudspeaker()
    assert loudspeaker.take(4) == bytes(4)
    loudspeaker.play(b"abcd", RATE)
    loudspeaker.play(b"efghij", RATE)

    assert [loudspeaker.take(4) for _ in range(4)] == [b"abcd", b"efgh", b"ij\0\0", bytes(4)]


def test_a_hush_leaves_nothing_to_be_played() -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.play(b"abcd", RATE)
    loudspeaker.hush()

    assert loudspeaker.take(4) == bytes(4)


def test_a_loudspeaker_holds_two_minutes_at_most() -> None:
    loudspeaker = Loudspeaker()
    for _ in range(3):
        loudspeaker.play(b"ab" * (AHEAD_BYTES // 4), RATE)

    assert loudspeaker.take(2 * AHEAD_BYTES).rstrip(b"\0") == b"ab" * (AHEAD_BYTES // 2)


def test_a_rate_may_change_between_two_pieces() -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.play(tone(1_000, 48_000), 48_000)
    loudspeaker.play(tone(1_000, 24_000), 24_000)

    played = loudspeaker.take(10 * RATE).rstrip(b"\0")
    assert len(played) / (2 * RATE) == pytest.approx(2.0, abs=0.05)
