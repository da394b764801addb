"""Learnt detectors beside a stream: what they say decides, and only what was heard is put to them."""

import pytest

from asr_service.core.endpointer import EndpointerParams
from asr_service.detectors import Detectors
from asr_service.engines.fake import FakeEngine, Line
from shared.wire.asr import Configure, Final, Flush
from tests.support.asr import running, stream
from tests.support.speech import silence, tone

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

MS = 16  # samples


class Deaf:
    """Takes nothing for speech."""

    def open(self) -> "Deaf":
        return self

    def probability(self, frame: bytes) -> float:
        assert len(frame) == 640
        return 0.0


class Judge:
    """Has one opinion of every turn."""

    def __init__(self, opinion: float) -> None:
        self._opinion = opinion
        self.heard: list[bytes] = []

    def probability(self, pcm: bytes) -> float:
        self.heard.append(pcm)
        return self._opinion


async def final_with(detectors: Detectors, text: str = "one two three") -> Final:
    """What a peer is told that speaks for half a second and is silent."""
    engine = FakeEngine((Line(100, text),))
    params = EndpointerParams(candidate_ms=200, short_pause_ms=300, complete_pause_ms=500, end_silence_ms=900)
    async with running(engine) as scheduler, stream(scheduler, params=params, detectors=detectors) as peer:
        peer.say(Configure(language="en"), silence(10_000), tone(500), silence(1_000), Flush())
        return await peer.until(Final)


async def test_sound_that_the_detector_takes_for_no_speech_starts_nothing() -> None:
    detectors = Detectors()
    detectors.speech = Deaf()

    assert (await final_with(detectors)).text == ""


@pytest.mark.parametrize(
    ("opinion", "text", "reason"),
    [(0.9, "one two and", "complete"), (0.1, "one two three", "silence"), (0.1, "One two three.", "silence")],
)
async def test_a_turn_detector_is_believed_instead_of_the_text(opinion: float, text: str, reason: str) -> None:
    detectors, judge = Detectors(), Judge(opinion)
    detectors.turn = judge

    assert (await final_with(detectors, text)).reason == reason
    assert [len(pcm) for pcm in judge.heard] == [2 * (300 + 500 + 200) * MS], "pre-roll, speech and pause"


@pytest.mark.parametrize("opinion", [float("nan"), 2.0, None])
async def test_a_turn_detector_that_fails_leaves_it_to_the_text(opinion: float | None) -> None:
    class Broken(Judge):
        def probability(self, pcm: bytes) -> float:
            if opinion is None:
                raise OSError("the library broke")
            return opinion

    detectors = Detectors()
    detectors.turn = Broken(0.0)

    assert (await final_with(detectors)).reason == "complete"


async def test_without_detectors_loudness_and_the_text_decide() -> None:
    detectors = Detectors()
    detectors.load()

    assert [(await final_with(detectors, text)).reason for text in ("one two three", "one two and", "One.")] == [
        "complete",
        "silence",
        "short_pause",
    ]


async def test_a_turn_detector_hears_the_last_eight_seconds_at_most() -> None:
    detectors, judge = Detectors(), Judge(0.9)
    detectors.turn = judge
    async with running(FakeEngine()) as scheduler, stream(scheduler, detectors=detectors) as peer:
        peer.say(tone(10_000), silence(1_000))
        await peer.until(Final)

    assert [len(pcm) for pcm in judge.heard] == [2 * 8_000 * MS]
