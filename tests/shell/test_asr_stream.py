"""One stream from its peer's side, in memory, on an engine that reads a script as sound goes by."""

from itertools import groupby

import pytest
from anyio import wait_all_tasks_blocked

from asr_service.core.endpointer import EndpointerParams
from asr_service.engines.base import Result
from asr_service.engines.fake import FakeEngine, FakeRecogniser, Line
from asr_service.stream import INBOX_FRAMES
from shared.wire.asr import (
    AsrError,
    AsrOut,
    AsrReady,
    Candidate,
    Clear,
    Configure,
    Endpoint,
    Endpointing,
    Final,
    Flush,
    Partial,
    Resumed,
    SpeechStarted,
)
from shared.wire.codec import MESSAGE_LIMIT_BYTES, Message
from tests.support.asr import plain, running, stream, told_after
from tests.support.speech import cut, noise, silence, tone

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

MS = 16  # samples
WORDS = (Line(200 * MS, "one"), Line(400 * MS, "one two"), Line(700 * MS, "one two three"))
UTTERANCE = silence(500) + tone(1_000) + silence(1_000)
CANDIDATE_200 = Configure(endpointing=Endpointing(candidate_ms=200))


class PunctuatingRecogniser(FakeRecogniser):
    """Knows where a sentence ends only when it has ended."""

    def finish(self) -> Result:
        return Result("One.")


class PunctuatingEngine(FakeEngine):
    def open(self) -> FakeRecogniser:
        return PunctuatingRecogniser(WORDS, lambda: None)


def kinds(told: list[AsrOut]) -> list[str]:
    """The types in order, a run of equal ones once."""
    return [kind for kind, _ in groupby(message.type for message in told)]


def finals(told: list[AsrOut]) -> list[str]:
    return [message.text for message in told if isinstance(message, Final)]


async def test_a_stream_says_first_what_hears_it() -> None:
    async with running(FakeEngine(languages=("en", "ko"))) as scheduler, stream(scheduler) as peer:
        assert await peer.until(AsrReady) == AsrReady(engine="fake", languages=["en", "ko"])


async def test_an_utterance_is_told_in_order_and_with_its_positions() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, [CANDIDATE_200, UTTERANCE])

    assert kinds(told) == ["speech_started", "partial", "candidate", "endpoint", "final"]
    started, ended, final = told[0], told[-2], told[-1]
    assert isinstance(final, Final)
    assert started == SpeechStarted(utterance_id=final.utterance_id, at_samples=500 * MS)
    assert ended == Endpoint(utterance_id=final.utterance_id, at_samples=1_500 * MS, reason="complete")
    assert (final.start_samples, final.end_samples) == (500 * MS, 1_500 * MS)
    assert (final.text, final.language, final.reason) == ("one two three", "en", "complete")
    assert [(span.start, span.end, span.text) for span in final.segments] == [(0.2, 1.7, "one two three")]


async def test_partials_grow_while_somebody_speaks() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        partials = [message for message in await told_after(scheduler, [UTTERANCE]) if isinstance(message, Partial)]

    assert list(dict.fromkeys(partial.text for partial in partials)) == ["one", "one two", "one two three"]
    assert all(partial.text.startswith(partial.committed) for partial in partials)
    assert [partial.at_samples for partial in partials] == sorted(partial.at_samples for partial in partials)
    assert 700 * MS < partials[0].at_samples < 800 * MS


async def test_the_candidate_reads_as_the_final_does() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, [UTTERANCE])

    assert [message.text for message in told if isinstance(message, Candidate)] == finals(told)


async def test_speech_that_goes_on_after_a_candidate_belongs_to_the_same_text() -> None:
    frames: list[bytes | Message] = [CANDIDATE_200, tone(500), silence(400), tone(300), silence(1_000)]
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, frames)
        final = told[-1]

    assert [kind for kind in kinds(told) if kind != "partial"] == [
        "speech_started",
        "candidate",
        "resumed",
        "candidate",
        "endpoint",
        "final",
    ]
    assert isinstance(final, Final)
    assert [m.text for m in told if isinstance(m, Candidate)] == ["one two", "one two three"]
    assert [(span.start, span.end, span.text) for span in final.segments] == [(0.0, 1.4, "one two three")]
    assert next(m for m in told if isinstance(m, Resumed)).at_samples == 900 * MS


async def test_a_language_may_be_asked_for() -> None:
    frames: list[bytes | Message] = [Configure(language="zh-TW"), tone(500), silence(1_000)]
    async with running(FakeEngine((Line(100, "你好"),), languages=("en", "zh"))) as scheduler:
        told = await told_after(scheduler, frames)

    assert finals(told) == ["你好"]
    assert {m.language for m in told if isinstance(m, Partial | Final)} == {"zh-TW"}


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
async def test_the_same_audio_is_told_the_same_however_it_is_cut(rate: int) -> None:
    pcm = b"".join(
        [silence(310, rate), tone(450, rate), silence(390, rate), tone(220, rate), silence(930, rate), tone(310, rate)]
    )
    async with running(FakeEngine(WORDS)) as scheduler:
        told = [
            plain(await told_after(scheduler, [Configure(sample_rate=rate), *cut(pcm, chunk_bytes), Flush()]))
            for chunk_bytes in (len(pcm), 8_192, 1_002, 640, 34, 2)
        ]

    assert [message["type"] for message in told[0]].count("final") == 2
    assert told[1:] == [told[0]] * 5


async def test_positions_count_at_16_khz_whatever_the_rate() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        told = [
            await told_after(
                scheduler,
                [Configure(sample_rate=rate), silence(500, rate) + tone(1_000, rate) + silence(1_200, rate)],
            )
            for rate in (8_000, 48_000)
        ]

    for messages in told:
        final = messages[-1]
        assert isinstance(final, Final)
        assert (final.start_samples, final.end_samples) == (500 * MS, 1_500 * MS)


async def test_the_rate_may_change_between_two_frames() -> None:
    frames: list[bytes | Message] = [
        Configure(sample_rate=8_000), silence(500, 8_000), Configure(sample_rate=16_000), tone(500),
        Configure(sample_rate=24_000), silence(1_000, 24_000),
    ]  # fmt: skip
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, frames)

    assert finals(told) == ["one two"]
    assert told[0].model_dump(exclude={"utterance_id"}) == {"at_samples": 500 * MS}


async def test_flush_ends_the_utterance_with_its_final() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, [tone(500), Flush()])

    assert kinds(told)[-2:] == ["endpoint", "final"]
    assert isinstance(told[-1], Final)
    assert (told[-1].reason, told[-1].text) == ("flush", "one two")


async def test_flush_in_silence_gives_an_empty_final_alone() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, [silence(200), Flush(), tone(40), Flush()])

    assert [(m.text, m.start_samples, m.end_samples) for m in told if isinstance(m, Final)] == [
        ("", 200 * MS, 200 * MS),
        ("", 240 * MS, 240 * MS),
    ]
    assert len(told) == 2


async def test_clear_forgets_the_utterance_and_nothing_else() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, [tone(500), Clear(), silence(1_000), tone(300), silence(1_000), Clear()])

        assert scheduler.recognisers.idle == scheduler.recognisers.opened
    assert kinds(told) == ["speech_started", "partial", "speech_started", "partial", "candidate", "endpoint", "final"]
    assert finals(told) == ["one"]


async def test_an_utterance_of_noise_has_one_empty_final() -> None:
    async with running(FakeEngine(())) as scheduler:
        told = await told_after(scheduler, [noise(500), silence(1_000)])

    assert kinds(told) == ["speech_started", "candidate", "endpoint", "final"]
    assert finals(told) == [""]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\0\0\0", "invalid_audio"),
        (bytes(MESSAGE_LIMIT_BYTES + 2), "message_too_large"),
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ('{"type": "dance"}', "unknown_type"),
        ("{}", "unknown_type"),
        ('{"op": "config", "sampleRate": 7}', "invalid_message"),
        ('{"type": "config", "endpointing": {"end_silence_ms": 1}}', "invalid_message"),
        ('{"type": "config", "language": "tlh"}', "unsupported"),
        ("[" * 100_000, "invalid_json"),
        ('{"type": "flush", "more": "' + "x" * MESSAGE_LIMIT_BYTES + '"}', "message_too_large"),
    ],
)
async def test_a_bad_frame_gets_a_typed_error_and_the_stream_lives_on(frame: bytes | str, code: str) -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, [frame, tone(500), Flush()])

    assert isinstance(told[0], AsrError)
    assert told[0].code == code
    assert finals(told) == ["one two"]


async def test_a_bad_frame_in_mid_utterance_is_dropped_alone() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        expected = plain(await told_after(scheduler, [tone(300), tone(200), Flush()]))
        told = plain(await told_after(scheduler, [tone(300), b"\0", tone(200), Flush()]))

    assert [message for message in told if message["type"] != "error"] == expected


async def test_endpointing_may_change_while_the_stream_runs() -> None:
    patient = Configure(
        endpointing=Endpointing(end_silence_ms=2_000, complete_pause_ms=2_000, stable_nochange_ms=5_000)
    )
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, [tone(300), patient, silence(1_900), tone(300), silence(2_100)])

    assert finals(told) == ["one two"]


async def test_an_utterance_too_long_is_cut_and_goes_on_as_the_next() -> None:
    brief = Configure(endpointing=Endpointing(max_utterance_ms=1_000))
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, [brief, tone(2_100), silence(1_000)])

    ends = [message for message in told if isinstance(message, Final)]
    assert [end.reason for end in ends] == ["max_length", "max_length", "silence"]
    assert [end.start_samples for end in ends[1:]] == [end.end_samples for end in ends[:-1]]
    assert finals(told) == ["one two three", "one two three", ""]


async def test_a_text_that_ends_in_punctuation_ends_at_a_short_pause() -> None:
    async with running(FakeEngine((Line(100, "One."),))) as scheduler:
        told = await told_after(scheduler, [tone(500), silence(400)])

    assert isinstance(told[-1], Final)
    assert (told[-1].reason, told[-1].text) == ("short_pause", "One.")


async def test_a_candidate_whose_text_ends_the_utterance_is_told_before_the_endpoint() -> None:
    hasty = EndpointerParams(short_pause_ms=100)
    async with running(PunctuatingEngine()) as scheduler, stream(scheduler, params=hasty) as peer:
        peer.say(tone(500), silence(300))
        final = await peer.until(Final)

        assert kinds(peer.told)[-4:] == ["partial", "candidate", "endpoint", "final"]
        assert (final.reason, final.text) == ("short_pause", "One.")
        assert {partial.text for partial in peer.told if isinstance(partial, Partial)} == {"one", "one two"}


async def test_a_recogniser_that_fails_is_told_once_and_replaced() -> None:
    steps = 0

    def fail_later() -> None:
        nonlocal steps
        steps += 1
        if steps == 5:  # the first warms up
            raise OSError("the library broke")

    async with running(FakeEngine(WORDS, on_step=fail_later)) as scheduler:
        told = await told_after(scheduler, [tone(1_000), silence(1_000)])
        errors = [message for message in told if isinstance(message, AsrError)]

        assert [(error.code, error.retryable) for error in errors] == [("engine_failed", True)]
        assert "library" not in errors[0].message
        assert kinds(told)[-3:] == ["error", "endpoint", "final"]
        assert finals(told) == ["one"], "the text so far is kept"
        assert finals(await told_after(scheduler, [UTTERANCE])) == ["one two three"]


async def test_a_peer_that_does_not_read_stops_its_stream_and_is_read_no_further() -> None:
    frames = [tone(20), silence(980), *cut(UTTERANCE, 640)] * 20
    async with running(FakeEngine(WORDS)) as scheduler, stream(scheduler) as peer:
        await peer.until(AsrReady)
        peer.stop_reading()
        peer.say(*frames)
        await wait_all_tasks_blocked()
        taken = peer.taken

        assert taken < 3 * INBOX_FRAMES < len(frames)
        peer.read_on()
        await peer.until(Final, 20)
        assert finals(peer.told) == ["one two three"] * 20


async def test_a_language_that_is_not_pinned_is_found_out() -> None:
    async with running(FakeEngine(WORDS, languages=("ko", "en"))) as scheduler:
        told = await told_after(scheduler, [Configure(language="auto"), UTTERANCE])

    assert {m.language for m in told if isinstance(m, Partial | Final)} == {"ko"}


@pytest.mark.parametrize("pre_roll_ms", [300, 310, 1_000])
async def test_a_pre_roll_that_is_asked_for_just_before_speech_is_whole(pre_roll_ms: int) -> None:
    heard: list[bytes] = []

    class Listening(FakeRecogniser):
        def hear(self, pcm: bytes) -> None:
            heard.append(pcm)
            super().hear(pcm)

    class ListeningEngine(FakeEngine):
        def open(self) -> FakeRecogniser:
            return Listening(WORDS)

    async with running(ListeningEngine()) as scheduler:
        heard.clear()
        asked = Configure(endpointing=Endpointing(pre_roll_ms=pre_roll_ms))
        told = await told_after(scheduler, [silence(1_400), asked, silence(100), tone(500), Flush()])
    final = told[-1]

    assert isinstance(final, Final)
    assert b"".join(heard).find(tone(20)) // 2 == -(-pre_roll_ms // 20) * 20 * MS
    assert (final.segments[0].start, final.start_samples) == (1.5 - -(-pre_roll_ms // 20) * 0.02, 1_500 * MS)


async def test_every_setting_of_endpointing_may_be_asked_for() -> None:
    asked = {name: 500 for name in Endpointing.model_fields if name.endswith("_ms")}
    asked |= {"max_utterance_ms": 5_000, "pre_roll_ms": 1_000}
    frames: list[bytes | Message] = [
        Configure(endpointing=Endpointing(**asked, silence_rms=0.01)), tone(480), silence(600), tone(600), silence(900),
    ]  # fmt: skip
    async with running(FakeEngine(WORDS)) as scheduler:
        told = await told_after(scheduler, frames)

    assert [(m.at_samples, m.type) for m in told if isinstance(m, SpeechStarted)] == [(1_080 * MS, "speech_started")]
    assert finals(told) == ["one two three"], "the second before the start was heard with it"
