"""Endpointer: the arithmetic of each rule in milliseconds, at its limit and a frame before it, and the laws."""

import re
from itertools import chain, product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.endpointer import (
    TRANSITIONS,
    Action,
    Candidate,
    Endpoint,
    Endpointer,
    EndpointerParams,
    EndpointerState,
    EndpointReason,
    Event,
    Flush,
    Frame,
    HypothesisChanged,
    Ignored,
    Resumed,
    SpeechStarted,
    TurnJudged,
)
from asr_service.core.noise_floor import NoiseFloorParams
from tests.support.endpointer import FRAME_MS, Step, Stream, samples

pytestmark = pytest.mark.core

QUIET, NOISE, SPEECH = 0.0, 0.06, 0.15  # NOISE is above the floor's cap: it never gets silent
SILENT, ONSET, SPEAKING, PAUSING = EndpointerState
SHORT_PAUSE, COMPLETE, SILENCE, UNCHANGED, MAX_LENGTH, FLUSH = EndpointReason


def started(at_ms: int, pre_roll_from_ms: int) -> SpeechStarted:
    return SpeechStarted(samples(at_ms), samples(pre_roll_from_ms))


def heard(text: str, until_ms: int, language: str = "") -> HypothesisChanged:
    return HypothesisChanged(text, samples(until_ms), language)


def english(text: str, until_ms: int) -> HypothesisChanged:
    return heard(text, until_ms, "en")


def judged(probability: float, until_ms: int) -> TurnJudged:
    return TurnJudged(probability, samples(until_ms))


def test_speech_starts_after_the_onset_where_it_began_with_pre_roll_before() -> None:
    stream = Stream((QUIET, 400), (SPEECH, 40))

    assert (stream.state, stream.actions) == (ONSET, [])
    assert stream.then((SPEECH, 20)).told == [(started(400, 100), 460)]


def test_speech_shorter_than_the_onset_is_a_click_and_clicks_do_not_add_up() -> None:
    stream = Stream((SPEECH, 40), (QUIET, 20), (SPEECH, 40), (QUIET, 20))

    assert (stream.state, stream.actions) == (SILENT, [])
    assert Stream((SPEECH, 20), onset_ms=20).actions == [started(0, 0)]


def test_pre_roll_begins_neither_before_the_stream_nor_in_the_previous_utterance() -> None:
    again = Stream((SPEECH, 200), (QUIET, 160), (SPEECH, 60), end_silence_ms=100)

    assert Stream((QUIET, 100), (SPEECH, 60)).actions == [started(100, 0)]
    assert again.actions[-1] == started(360, 200)


LEAD, TALK = (QUIET, 1_000), (SPEECH, 2_000)  # after the lead, a quiet background is known
OVER, SHORT = (0, 500, COMPLETE, 940), (0, 500, SHORT_PAUSE, 800)
OFF: dict[str, Any] = {"complete_pause_ms": 0}
SOON: dict[str, Any] = {"complete_pause_ms": 320, "end_silence_ms": 300}
LATER = (1_000, 5_200, UNCHANGED, 5_200)
LIMIT_1000: dict[str, Any] = {"max_utterance_ms": 1_000}
PATIENT: dict[str, Any] = {"end_silence_ms": 5_000}
RULES: dict[str, tuple[dict[str, Any], list[Step], tuple[float, int], Any]] = {
    "silence": ({}, [(SPEECH, 500)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence without final punctuation": ({}, [(SPEECH, 500), "Hi,"], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence, punctuation taken back": ({}, [(SPEECH, 500), "Hi.", "Hi you"], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence, text older": ({}, [(SPEECH, 500), heard("Hi.", 499)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence, a click": ({}, [(SPEECH, 500), (QUIET, 300), (SPEECH, 40)], (QUIET, 460), (0, 500, SILENCE, 1_300)),
    "short pause": ({}, [(SPEECH, 500), heard("Hi.", 500)], (QUIET, 300), (0, 500, SHORT_PAUSE, 800)),
    "complete": ({}, [(SPEECH, 500), english("hello there", 500)], (QUIET, 440), (0, 500, COMPLETE, 940)),
    "silence, open": ({}, [(SPEECH, 500), english("in the", 500)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence, off": (OFF, [(SPEECH, 500), english("hello there", 500)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence sooner": (SOON, [(SPEECH, 500), english("hello there", 500)], (QUIET, 300), (0, 500, SILENCE, 800)),
    "silence, heard less": ({}, [(SPEECH, 500), english("hello", 480)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence, nothing read": ({}, [(SPEECH, 500), english("", 500)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "turn over": ({}, [(SPEECH, 500), english("in the", 500), judged(0.5, 500)], (QUIET, 440), OVER),
    "turn over, unread": ({}, [(SPEECH, 500), judged(0.9, 500)], (QUIET, 440), OVER),
    "turn over, marked": ({}, [(SPEECH, 500), heard("Hi.", 500), judged(0.9, 500)], (QUIET, 300), SHORT),
    "turn open": ({}, [(SPEECH, 500), heard("Hi.", 500), judged(0.49, 500)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "turn judged too soon": ({}, [(SPEECH, 500), heard("Hi.", 500), judged(0.1, 480)], (QUIET, 300), SHORT),
    "turn judged before": ({}, [LEAD, (SPEECH, 500), judged(0.9, 1_000)], (QUIET, 800), (1_000, 1_500, SILENCE, 2_300)),
    "unchanged": ({}, [LEAD, TALK, "on"], (NOISE, 1_500), (1_000, 4_500, UNCHANGED, 4_500)),
    "new text": ({}, [LEAD, TALK, (NOISE, 700), "on", (NOISE, 300), " on "], (NOISE, 1_200), LATER),
    "new sound": (
        {},
        [LEAD, TALK, "on", (NOISE, 1_400), (SPEECH, 20)],
        (NOISE, 1_500),
        (1_000, 5_920, UNCHANGED, 5_920),
    ),
    "unchanged in a pause": (PATIENT, [(SPEECH, 500), "so"], (QUIET, 1_500), (0, 500, UNCHANGED, 2_000)),
    "longest": (LIMIT_1000, [], (SPEECH, 1_000), (0, 1_000, MAX_LENGTH, 1_000)),
    "longest, between frames": ({"max_utterance_ms": 1_001}, [], (SPEECH, 1_020), (0, 1_020, MAX_LENGTH, 1_020)),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_ends_the_utterance_at_its_limit_and_not_a_frame_before(rule: str) -> None:
    settings, before, (rms, last_ms), expected = RULES[rule]
    stream = Stream(*before, (rms, last_ms - FRAME_MS), **settings)

    assert stream.endpoints() == []
    assert stream.then((rms, FRAME_MS)).endpoints() == [expected]
    assert stream.state is SILENT


def test_a_candidate_is_told_once_when_the_pause_is_long_enough() -> None:
    stream = Stream((SPEECH, 500), (QUIET, 120))

    assert (stream.state, stream.actions[1:]) == (PAUSING, [])
    assert stream.then((QUIET, 660)).told[1:] == [(Candidate(samples(500)), 640)]


def test_an_endpoint_that_comes_no_later_than_the_candidate_comes_alone() -> None:
    stream = Stream((SPEECH, 500), (QUIET, 200), candidate_ms=200, end_silence_ms=200)

    assert stream.actions[1:] == [Endpoint(samples(500), 0, SILENCE)]


def test_speech_as_long_as_an_onset_resumes_after_a_candidate_and_only_then() -> None:
    stream = Stream((SPEECH, 500), (QUIET, 300), (SPEECH, 40), candidate_ms=200)

    assert (stream.state, stream.actions[2:]) == (PAUSING, [])
    assert stream.then((SPEECH, 20)).told[2:] == [(Resumed(samples(800)), 860)]
    assert stream.then((QUIET, 200)).actions[3:] == [Candidate(samples(860))]
    assert Stream((SPEECH, 500), (QUIET, 180), (SPEECH, 60), candidate_ms=200).actions[1:] == []


def test_no_pause_is_over_while_something_sounds_that_may_be_speech() -> None:
    stream = Stream((SPEECH, 500), (QUIET, 780), (SPEECH, 40), "Hi.")

    assert (stream.state, stream.actions[1:]) == (PAUSING, [Candidate(samples(500))])
    assert stream.then((SPEECH, 20)).actions[2:] == [Resumed(samples(1_280))]


def test_a_reading_ends_a_pause_that_is_long_enough_at_once() -> None:
    assert Stream((SPEECH, 500), (QUIET, 300), "Hi.").endpoints() == [(0, 500, SHORT_PAUSE, 800)]
    assert Stream((SPEECH, 500), (QUIET, 280), "Hi.").endpoints() == []

    stream = Stream((SPEECH, 500), heard("Hi.", 400), (QUIET, 400), heard("Hi.", 700))

    assert stream.endpoints() == [(0, 500, SHORT_PAUSE, 900)]


def test_a_look_of_completeness_ends_only_what_is_known_to_be_heard_up_to_the_pause() -> None:
    stream = Stream((SPEECH, 500), HypothesisChanged("hello there", None, "en"), (QUIET, 600))

    assert stream.endpoints() == []
    assert stream.then(english("hello there", 1_100)).endpoints() == [(0, 500, COMPLETE, 1_100)]


def test_a_judgement_ends_a_pause_that_is_long_enough_at_once_and_speech_after_it_makes_it_void() -> None:
    assert Stream((SPEECH, 500), (QUIET, 500), judged(0.8, 1_000)).endpoints() == [(0, 500, COMPLETE, 1_000)]

    stream = Stream((SPEECH, 500), (QUIET, 200), judged(0.8, 700), (SPEECH, 100), (QUIET, 780))

    assert stream.endpoints() == []
    assert stream.then((QUIET, 20)).endpoints() == [(0, 800, SILENCE, 1_600)]


@pytest.mark.parametrize(("until_ms", "text"), [(1_000, "so."), (1_001, "Bye")])
def test_a_reading_that_ends_before_the_utterance_began_belongs_to_the_one_before(until_ms: int, text: str) -> None:
    stream = Stream((QUIET, 1_000), (SPEECH, 160), heard("so.", 1_160), heard("Bye", until_ms), (QUIET, 300))

    assert [end[2] for end in stream.endpoints()] == ([SHORT_PAUSE] if text == "so." else [])


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([LEAD, TALK, " ", (NOISE, 2_900)], id="noise without text"),
        pytest.param(
            [LEAD, "", (SPEECH, 300), "well", *[(NOISE, 500), (SPEECH, 200)] * 30], id="syllables without readings"
        ),
        pytest.param([LEAD, TALK, "well", (0.9, 20), (SPEECH, 2_900)], id="speech after one slam"),
    ],
)
def test_what_is_neither_text_nor_calm_is_not_ended_as_unchanged(steps: list[Step]) -> None:
    assert Stream(*steps).endpoints() == []


def test_loud_sound_that_a_model_knows_for_no_speech_is_calm() -> None:
    talk: list[Step] = [(SPEECH, 500, 0.9), "so", (SPEECH, 1_500, 0.1)]

    assert Stream(*talk, **PATIENT).endpoints() == [(0, 500, UNCHANGED, 2_000)]


def after_noise_was_recognised(*steps: Step) -> list[Action]:
    """What follows after 4.5 s, when an utterance ended although NOISE goes on."""
    return Stream(LEAD, TALK, "on", (NOISE, 1_500), *steps, max_utterance_ms=5_000).actions[2:]


def test_noise_that_ended_an_utterance_begins_no_other_until_the_longest_utterance_has_passed() -> None:
    assert after_noise_was_recognised((NOISE, 5_040)) == []
    assert after_noise_was_recognised((NOISE, 5_060)) == [started(9_500, 9_200)]


def test_above_that_noise_or_after_it_speech_begins_at_once_and_a_click_does_not() -> None:
    assert after_noise_was_recognised((NOISE, 200), (SPEECH, 60)) == [started(4_700, 4_500)]
    assert after_noise_was_recognised((0.09, 60)) == [started(4_500, 4_500)]
    assert after_noise_was_recognised((SPEECH, 60), (NOISE, 1_000)) == [started(4_500, 4_500)]
    assert after_noise_was_recognised((SPEECH, 20), (NOISE, 200)) == []
    assert after_noise_was_recognised((NOISE, 200), (QUIET, 20), (NOISE, 60)) == [started(4_720, 4_500)]


def test_text_that_ended_a_silent_pause_leaves_soft_speech_free_to_begin() -> None:
    assert Stream((SPEECH, 500), "so", (QUIET, 1_500), (0.02, 60), **PATIENT).actions[3:] == [started(2_000, 1_700)]


def test_speech_cut_by_the_limit_or_begun_in_a_pause_that_it_cut_is_the_next_start() -> None:
    assert Stream((SPEECH, 1_060), **LIMIT_1000).actions[2:] == [started(1_000, 1_000)]

    stream = Stream((SPEECH, 500), (QUIET, 460), (SPEECH, 40), **LIMIT_1000)

    assert (stream.state, stream.endpoints()) == (ONSET, [(0, 500, MAX_LENGTH, 1_000)])
    assert stream.then((SPEECH, 20)).actions[-1] == started(960, 660)


@pytest.mark.parametrize(
    ("before", "endpoints"),
    [
        ([(QUIET, 40)], []),
        ([(SPEECH, 40)], []),
        ([(SPEECH, 500)], [(0, 500, FLUSH, 500)]),
        ([(SPEECH, 500), (QUIET, 100), (SPEECH, 40)], [(0, 500, FLUSH, 640)]),
    ],
)
def test_a_flush_ends_what_was_begun_and_drops_what_was_not_confirmed(before: list[Step], endpoints: list[Any]) -> None:
    stream = Stream(*before, Flush())

    assert (stream.state, stream.endpoints()) == (SILENT, endpoints)
    assert stream.then((SPEECH, 40)).state is ONSET


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ([(0.005, 400)], SILENT),
        ([(0.001, 20), (0.0051, 400)], SPEAKING),
        ([(0.01, 3_000), (0.02, 60)], SILENT),  # the floor asks 0.025 to begin, 0.01125 to go on
        ([(0.01, 3_000), (0.026, 20), (0.02, 40)], SPEAKING),
        ([(0.01, 3_000), (SPEECH, 60), (0.0114, 60)], SPEAKING),
        ([(0.01, 3_000), (SPEECH, 60), (0.011, 60)], PAUSING),
        ([(SPEECH, 60, 0.5)], SILENT),
        ([(SPEECH, 60, 0.51)], SPEAKING),
        ([(SPEECH, 20, 0.51), (SPEECH, 40, 0.36)], SPEAKING),
        ([(SPEECH, 60, 0.9), (SPEECH, 60, 0.35)], PAUSING),
        ([(SPEECH, 60, 0.9), (SPEECH, 60, 0.36)], SPEAKING),
        ([(SPEECH, 60, 0.9), (QUIET, 60, 0.1), (SPEECH, 60, 0.4)], PAUSING),
        ([(SPEECH, 60, 0.9), (QUIET, 60, 0.1), (SPEECH, 20, 0.6), (SPEECH, 40, 0.4)], SPEAKING),
        ([(0.005, 60, 1.0)], SILENT),
        ([(0.03, 3_000, 0.1), (0.043, 60, 0.9)], SPEAKING),  # a model is believed over a high floor
        ([(0.03, 3_000, 0.1), (0.041, 60, 0.9)], SILENT),  # but not of what is no louder than the background
        ([(0.01, 3_000, 0.1), (SPEECH, 300, 0.9), (0.01, 60, 0.9)], PAUSING),
    ],
)
def test_speech_begins_above_one_threshold_and_goes_on_above_a_lower(steps: list[Step], state: EndpointerState) -> None:
    assert Stream(*steps).state is state


def test_noise_that_starts_in_between_ends_as_silence_when_the_floor_has_reached_it() -> None:
    ((start_ms, at_ms, reason, told_ms),) = Stream((0.001, 3_000), (0.02, 4_000)).endpoints()

    assert (start_ms, reason, told_ms) == (3_000, SILENCE, at_ms + 800)
    assert 5_400 <= at_ms <= 5_600


def test_speech_that_a_stream_begins_with_is_known_by_its_end_or_its_next_syllable() -> None:
    stream = Stream((0.04, 240), (QUIET, 40))

    assert (stream.state, stream.told) == (PAUSING, [(started(0, 0), 280)])
    assert Stream((0.01, 600), (0.04, 60)).told == [(started(600, 300), 660)]
    assert Stream((0.04, 60, 0.9)).told == [(started(0, 0), 60)]
    assert Stream((0.04, 400), Flush()).actions == [started(0, 0), Endpoint(samples(400), 0, FLUSH)]


def test_new_settings_count_from_the_next_event_and_lose_nothing() -> None:
    settings = EndpointerParams(short_pause_ms=200, noise_floor=NoiseFloorParams(cap_rms=0.001))
    stream = Stream((SPEECH, 500), "Hi.", (QUIET, 240), settings)

    assert stream.endpoints() == []
    assert stream.then((QUIET, 20)).endpoints() == [(0, 500, SHORT_PAUSE, 760)]
    assert stream.then((0.01, 3_000)).state is SPEAKING  # under the new cap


def test_settings_that_change_what_a_frame_is_are_refused_and_change_nothing() -> None:
    stream = Stream((SPEECH, 500))
    for changed in (EndpointerParams(160, end_silence_ms=20), EndpointerParams(320, 8_000, end_silence_ms=20)):
        with pytest.raises(ValueError, match="frame_samples and sample_rate"):
            stream.then(changed)

    assert stream.then((QUIET, 20)).endpoints() == []


def test_the_table_has_a_cell_for_every_event_in_every_state() -> None:
    assert set(product(EndpointerState, get_args(Event))) == set(TRANSITIONS)
    for cell in TRANSITIONS.values():
        assert cell.reason if isinstance(cell, Ignored) else cell.leads_to and hasattr(Endpointer, cell.method)


FRAMES = st.builds(Frame, st.sampled_from([0.0, 0.006, 0.03, 0.06, 0.2, 1.0]), st.sampled_from([None, None, 0.4, 0.9]))
RUNS = st.tuples(FRAMES, st.integers(1, 40)).map(lambda run: [run[0]] * run[1])
PLACES = st.integers(0, 20_000)
TEXTS = st.sampled_from(["", "a", "no way", "no way."])
READINGS = st.builds(HypothesisChanged, TEXTS, st.none() | PLACES, st.sampled_from(["", "en"]))
JUDGEMENTS = st.builds(TurnJudged, st.sampled_from([0.1, 0.9]), PLACES)
MOST_MS = {
    "end_silence_ms": 400,
    "complete_pause_ms": 300,
    "short_pause_ms": 200,
    "stable_nochange_ms": 600,
    "onset_ms": 90,
    "candidate_ms": 300,
}
SETTINGS = st.builds(
    EndpointerParams,
    noise_floor=st.just(NoiseFloorParams(window_ms=400, warm_up_ms=100)),
    max_utterance_ms=st.integers(110, 1_500),
    **{name: st.integers(1, most) for name, most in MOST_MS.items()},
)
OTHERS = (READINGS | JUDGEMENTS).map(lambda event: [event]) | st.just([Flush()])
EVENTS = st.lists(RUNS | RUNS | OTHERS, max_size=25).map(lambda runs: list(chain(*runs)))
STEPS = st.lists(RUNS | RUNS | OTHERS | SETTINGS.map(lambda it: [it]), max_size=25).map(lambda runs: list(chain(*runs)))


@given(params=SETTINGS, steps=STEPS)
def test_law_starts_have_one_endpoint_and_candidates_one_answer(params: EndpointerParams, steps: list[Step]) -> None:
    initials = "".join(type(action).__name__[0] for action in Stream(*steps, Flush(), params=params).actions)

    assert re.fullmatch("(S(CR)*C?E)*", initials)


@given(params=SETTINGS, steps=STEPS)
def test_law_neither_positions_nor_pre_roll_go_back(params: EndpointerParams, steps: list[Step]) -> None:
    stream = Stream(*steps, Flush(), params=params)
    last, end = 0, 0
    for action, told_ms in stream.told:
        assert last <= action.at_samples <= samples(told_ms)
        last = action.at_samples
        if isinstance(action, SpeechStarted):
            assert end <= action.pre_roll_from_samples <= action.at_samples
        if isinstance(action, Endpoint):
            end = action.at_samples


@given(params=SETTINGS, events=EVENTS)
def test_law_an_utterance_is_at_most_the_longest_and_a_frame(params: EndpointerParams, events: list[Step]) -> None:
    for start_ms, end_ms, _, told_ms in Stream(*events, Flush(), params=params).endpoints():
        assert end_ms - start_ms <= told_ms - start_ms < params.max_utterance_ms + FRAME_MS


@given(events=st.lists(st.builds(Frame, st.floats(0.0, 0.005), st.none() | st.floats(0.0, 1.0)) | READINGS))
def test_law_silence_never_starts_speech(events: list[Step]) -> None:
    assert Stream(*events, Flush(), onset_ms=1).actions == []


@given(params=SETTINGS, steps=STEPS)
def test_law_the_same_events_give_the_same_actions(params: EndpointerParams, steps: list[Step]) -> None:
    assert Stream(*steps, params=params).told == Stream(*steps, params=params).told


@given(params=SETTINGS, events=EVENTS)
def test_law_each_event_keeps_to_its_cell_of_the_table(params: EndpointerParams, events: list[Event]) -> None:
    stream = Stream(params=params)
    for event in events:
        cell, before, told = TRANSITIONS[stream.state, type(event)], stream.state, len(stream.told)
        stream.then(event)

        if isinstance(cell, Ignored):
            assert (stream.state, len(stream.told)) == (before, told)
        else:
            assert stream.state in cell.leads_to
    assert stream.endpointer.position_samples == samples(FRAME_MS * sum(isinstance(event, Frame) for event in events))
