"""The endpointer at a stream's beginning, where no background is known yet, and what a steady one changes."""

import pytest

from asr_service.core.endpointer import (
    Candidate,
    Endpoint,
    EndpointerParams,
    EndpointerState,
    EndpointReason,
    Flush,
    SpeechStarted,
)
from asr_service.core.noise_floor import NoiseFloorParams
from tests.support.endpointer import Step, Stream, samples

pytestmark = pytest.mark.core

QUIET, SPEECH = 0.0, 0.15
SOFT, SYLLABLE = 0.01, 0.04  # under the floor's cap: a beginning must be told from noise
SILENT, ONSET, SPEAKING, PAUSING = EndpointerState


def started(at_ms: int, pre_roll_from_ms: int) -> SpeechStarted:
    return SpeechStarted(samples(at_ms), samples(pre_roll_from_ms))


@pytest.mark.parametrize("noise_rms", [0.0051, SOFT, SYLLABLE])
@pytest.mark.parametrize("zeros_ms", [0, 400, 5_000])
def test_steady_noise_that_a_stream_begins_with_starts_nothing(noise_rms: float, zeros_ms: int) -> None:
    stream = Stream((0.0, zeros_ms), (noise_rms, 980))

    assert (stream.state, stream.actions) == (ONSET, [])
    assert stream.then((noise_rms, 9_000)).actions == []
    assert stream.state is SILENT


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([(SYLLABLE, 240), (0.012, 100)], (started(0, 0), 300)),
        ([(SYLLABLE, 240), (0.001, 40)], (started(0, 0), 280)),
        ([(SOFT, 200), (SYLLABLE, 60)], (started(200, 0), 260)),
        ([(SOFT, 600), (SYLLABLE, 60)], (started(600, 300), 660)),
        ([(SOFT, 900), (SYLLABLE, 100)], (started(900, 600), 960)),
        ([(SPEECH, 60)], (started(0, 0), 60)),
    ],
)
def test_speech_that_a_stream_begins_with_starts_where_it_began(
    steps: list[Step], told: tuple[SpeechStarted, int]
) -> None:
    assert Stream(*steps).told == [told]


def test_a_first_word_that_is_over_when_it_is_known_for_one_ends_as_any_other() -> None:
    stream = Stream((SYLLABLE, 240), (QUIET, 40), candidate_ms=200)

    assert (stream.state, stream.actions) == (PAUSING, [started(0, 0)])
    assert stream.then((QUIET, 760)).told[1:] == [
        (Candidate(samples(240)), 440),
        (Endpoint(samples(240), 0, EndpointReason.SILENCE), 1_040),
    ]


def test_a_flush_takes_a_first_sound_for_speech_and_what_is_too_short_for_nothing() -> None:
    stream = Stream((SYLLABLE, 400), Flush())

    assert stream.told == [(started(0, 0), 400), (Endpoint(samples(400), 0, EndpointReason.FLUSH), 400)]
    assert stream.then((SYLLABLE, 60)).actions[2:] == [started(400, 400)]
    assert Stream((SYLLABLE, 40), Flush(), (SYLLABLE, 40), Flush(), (SYLLABLE, 880)).actions == []


def test_a_first_sound_is_waited_for_no_longer_than_an_utterance_may_last() -> None:
    stream = Stream((SYLLABLE, 800), (QUIET, 60), max_utterance_ms=500)

    assert stream.told == [
        (started(360, 60), 840),
        (Endpoint(samples(800), samples(360), EndpointReason.MAX_LENGTH), 860),
    ]


def test_where_a_model_tells_speech_a_first_sound_is_not_waited_for() -> None:
    assert Stream((SYLLABLE, 60, 0.9)).told == [(started(0, 0), 60)]
    assert Stream((SYLLABLE, 40), (SYLLABLE, 20, 0.9)).state is SPEAKING


def test_in_steady_noise_speech_comes_back_more_softly_than_it_began() -> None:
    talk: list[Step] = [(SOFT, 3_000), (SYLLABLE, 300), (SOFT, 100), (0.018, 60)]

    assert Stream(*talk).state is SPEAKING
    assert Stream((QUIET, 1_000), (SOFT, 2_100), *talk[1:]).state is SPEAKING
    assert Stream((SOFT, 3_000), (0.018, 60)).state is SILENT
    assert Stream(*[(0.012, 60), (0.008, 60)] * 25, *talk[1:]).state is PAUSING


def test_settings_of_the_floor_count_for_a_first_sound_too() -> None:
    settings = EndpointerParams(noise_floor=NoiseFloorParams(warm_up_ms=500))

    assert Stream((SOFT, 300), settings, (SOFT, 180)).state is ONSET
    assert Stream((SOFT, 300), settings, (SOFT, 200)).state is SILENT
