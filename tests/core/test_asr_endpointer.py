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
    is_sentence_end,
)
from asr_service.core.noise_floor import NoiseFloorParams

pytestmark = pytest.mark.core

QUIET, NOISE, SPEECH = 0.0, 0.06, 0.15  # NOISE is above the floor's cap: it never gets silent
SILENT, ONSET, SPEAKING, PAUSING = EndpointerState
SHORT_PAUSE, SILENCE, UNCHANGED, MAX_LENGTH, FLUSH = EndpointReason
FRAME_MS = 20
# (level, ms[, probability]), a reading, an event, or new settings
Step = tuple[float, int] | tuple[float, int, float] | str | Event | EndpointerParams


def samples(ms: int) -> int:
    return ms * 16


class Stream:
    """An endpointer and what it told: each action, and the position in ms at which it came."""

    def __init__(self, *steps: Step, params: EndpointerParams | None = None, **changed: Any) -> None:
        self.endpointer = Endpointer(params or EndpointerParams(**changed))
        self.told: list[tuple[Action, int]] = []
        self.then(*steps)

    @property
    def state(self) -> EndpointerState:
        return self.endpointer.state

    @property
    def actions(self) -> list[Action]:
        return [action for action, _ in self.told]

    def then(self, *steps: Step) -> "Stream":
        for step in steps:
            if isinstance(step, EndpointerParams):
                self.endpointer.configure(step)
            elif isinstance(step, tuple):
                self.then(*[Frame(step[0], *step[2:])] * (step[1] // FRAME_MS))
            else:
                event = HypothesisChanged(step) if isinstance(step, str) else step
                actions = self.endpointer.handle(event)
                self.told += [(action, self.endpointer.position_samples // 16) for action in actions]
        return self

    def endpoints(self) -> list[tuple[int, int, EndpointReason, int]]:
        """Start, end, reason and time told of each endpoint, in ms."""
        ends = [(action, told_ms) for action, told_ms in self.told if isinstance(action, Endpoint)]
        return [(end.start_samples // 16, end.at_samples // 16, end.reason, told_ms) for end, told_ms in ends]


def started(at_ms: int, pre_roll_from_ms: int) -> SpeechStarted:
    return SpeechStarted(samples(at_ms), samples(pre_roll_from_ms))


def heard(text: str, until_ms: int) -> HypothesisChanged:
    return HypothesisChanged(text, samples(until_ms))


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


TALK = (SPEECH, 2_000)
LIMIT_1000: dict[str, Any] = {"max_utterance_ms": 1_000}
PATIENT: dict[str, Any] = {"end_silence_ms": 5_000}
RULES: dict[str, tuple[dict[str, Any], list[Step], tuple[float, int], Any]] = {
    "silence": ({}, [(SPEECH, 500)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence without final punctuation": ({}, [(SPEECH, 500), "Hi,"], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence, punctuation taken back": ({}, [(SPEECH, 500), "Hi.", "Hi you"], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence, text older": ({}, [(SPEECH, 500), heard("Hi.", 499)], (QUIET, 800), (0, 500, SILENCE, 1_300)),
    "silence, a click": ({}, [(SPEECH, 500), (QUIET, 300), (SPEECH, 40)], (QUIET, 460), (0, 500, SILENCE, 1_300)),
    "short pause": ({}, [(SPEECH, 500), heard("Hi.", 500)], (QUIET, 300), (0, 500, SHORT_PAUSE, 800)),
    "unchanged": ({}, [TALK, "on"], (NOISE, 1_500), (0, 3_500, UNCHANGED, 3_500)),
    "new text": ({}, [TALK, (NOISE, 700), "on", (NOISE, 300), " on "], (NOISE, 1_200), (0, 4_200, UNCHANGED, 4_200)),
    "new sound": ({}, [TALK, "on", (NOISE, 1_400), (SPEECH, 20)], (NOISE, 1_500), (0, 4_920, UNCHANGED, 4_920)),
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
    stream = Stream((SPEECH, 500), (QUIET, 180))

    assert (stream.state, stream.actions[1:]) == (PAUSING, [])
    assert stream.then((QUIET, 600)).told[1:] == [(Candidate(samples(500)), 700)]


def test_an_endpoint_that_comes_no_later_than_the_candidate_comes_alone() -> None:
    assert Stream((SPEECH, 500), (QUIET, 200), end_silence_ms=200).actions[1:] == [Endpoint(samples(500), 0, SILENCE)]


def test_speech_as_long_as_an_onset_resumes_after_a_candidate_and_only_then() -> None:
    stream = Stream((SPEECH, 500), (QUIET, 300), (SPEECH, 40))

    assert (stream.state, stream.actions[2:]) == (PAUSING, [])
    assert stream.then((SPEECH, 20)).told[2:] == [(Resumed(samples(800)), 860)]
    assert stream.then((QUIET, 200)).actions[3:] == [Candidate(samples(860))]
    assert Stream((SPEECH, 500), (QUIET, 180), (SPEECH, 60)).actions[1:] == []


def test_no_pause_is_over_while_something_sounds_that_may_be_speech() -> None:
    stream = Stream((SPEECH, 500), (QUIET, 780), (SPEECH, 40), "Hi.")

    assert (stream.state, stream.actions[1:]) == (PAUSING, [Candidate(samples(500))])
    assert stream.then((SPEECH, 20)).actions[2:] == [Resumed(samples(1_280))]


def test_a_reading_ends_a_pause_that_is_long_enough_at_once() -> None:
    assert Stream((SPEECH, 500), (QUIET, 300), "Hi.").endpoints() == [(0, 500, SHORT_PAUSE, 800)]
    assert Stream((SPEECH, 500), (QUIET, 280), "Hi.").endpoints() == []

    stream = Stream((SPEECH, 500), heard("Hi.", 400), (QUIET, 400), heard("Hi.", 700))

    assert stream.endpoints() == [(0, 500, SHORT_PAUSE, 900)]


@pytest.mark.parametrize(("until_ms", "text"), [(1_000, "so."), (1_001, "Bye")])
def test_a_reading_that_ends_before_the_utterance_began_belongs_to_the_one_before(until_ms: int, text: str) -> None:
    stream = Stream((QUIET, 1_000), (SPEECH, 160), heard("so.", 1_160), heard("Bye", until_ms), (QUIET, 300))

    assert [end[2] for end in stream.endpoints()] == ([SHORT_PAUSE] if text == "so." else [])


def test_only_final_punctuation_of_any_script_ends_a_sentence() -> None:
    for mark in [*".!?。！？…．｡؟।", "..."]:
        assert is_sentence_end(f"say{mark}")
        assert is_sentence_end(f"say{mark} ”）\u3000")
    for text in ["", " ", "say", "say,", "。好", "吗，", "”", "a;", "네"]:
        assert not is_sentence_end(text)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([TALK, " ", (NOISE, 5_000)], id="noise without text"),
        pytest.param(["", (SPEECH, 300), "well", *[(NOISE, 500), (SPEECH, 200)] * 30], id="syllables without readings"),
        pytest.param([TALK, "well", (0.9, 20), (SPEECH, 5_000)], id="speech after one slam"),
    ],
)
def test_what_is_neither_text_nor_calm_is_not_ended_as_unchanged(steps: list[Step]) -> None:
    assert Stream(*steps).actions[1:] == []


def test_loud_sound_that_a_model_knows_for_no_speech_is_calm() -> None:
    talk: list[Step] = [(SPEECH, 500, 0.9), "so", (SPEECH, 1_500, 0.1)]

    assert Stream(*talk, **PATIENT).endpoints() == [(0, 500, UNCHANGED, 2_000)]


def after_noise_was_recognised(*steps: Step) -> list[Action]:
    """What follows after 3.5 s, when an utterance ended although NOISE goes on."""
    return Stream((SPEECH, 2_000), "on", (NOISE, 1_500), *steps, max_utterance_ms=5_000).actions[2:]


def test_noise_that_ended_an_utterance_begins_no_other_until_the_longest_utterance_has_passed() -> None:
    assert after_noise_was_recognised((NOISE, 5_040)) == []
    assert after_noise_was_recognised((NOISE, 5_060)) == [started(8_500, 8_200)]


def test_above_that_noise_or_after_it_speech_begins_at_once_and_a_click_does_not() -> None:
    assert after_noise_was_recognised((NOISE, 200), (SPEECH, 60)) == [started(3_700, 3_500)]
    assert after_noise_was_recognised((0.09, 60)) == [started(3_500, 3_500)]
    assert after_noise_was_recognised((SPEECH, 60), (NOISE, 1_000)) == [started(3_500, 3_500)]
    assert after_noise_was_recognised((SPEECH, 20), (NOISE, 200)) == []
    assert after_noise_was_recognised((NOISE, 200), (QUIET, 20), (NOISE, 60)) == [started(3_720, 3_500)]


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
        ([(0.0051, 400)], SPEAKING),
        ([(0.01, 3_000), (0.02, 60)], SILENT),  # the floor asks 0.025 to begin, 0.015 to go on
        ([(0.01, 3_000), (0.026, 20), (0.02, 40)], SPEAKING),
        ([(0.01, 3_000), (SPEECH, 60), (0.016, 60)], SPEAKING),
        ([(0.01, 3_000), (SPEECH, 60), (0.014, 60)], PAUSING),
        ([(SPEECH, 60, 0.5)], SILENT),
        ([(SPEECH, 60, 0.51)], SPEAKING),
        ([(SPEECH, 20, 0.51), (SPEECH, 40, 0.36)], SPEAKING),
        ([(SPEECH, 60, 0.9), (SPEECH, 60, 0.35)], PAUSING),
        ([(SPEECH, 60, 0.9), (SPEECH, 60, 0.36)], SPEAKING),
        ([(SPEECH, 60, 0.9), (QUIET, 60, 0.1), (SPEECH, 60, 0.4)], PAUSING),
        ([(SPEECH, 60, 0.9), (QUIET, 60, 0.1), (SPEECH, 20, 0.6), (SPEECH, 40, 0.4)], SPEAKING),
        ([(0.005, 60, 1.0)], SILENT),
        ([(0.03, 3_000, 0.1), (0.03, 60, 0.9)], SPEAKING),  # a model is believed over a high floor
    ],
)
def test_speech_begins_above_one_threshold_and_goes_on_above_a_lower(steps: list[Step], state: EndpointerState) -> None:
    assert Stream(*steps).state is state


def test_noise_that_starts_in_between_ends_as_silence_when_the_floor_has_reached_it() -> None:
    ((start_ms, at_ms, reason, told_ms),) = Stream((0.001, 3_000), (0.02, 4_000)).endpoints()

    assert (start_ms, reason, told_ms) == (3_000, SILENCE, at_ms + 800)
    assert 5_400 <= at_ms <= 5_600


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


BOUNDS: list[tuple[str, Any, Any]] = [  # the setting, a value at its bound, one beyond
    *[(name, 1, 0) for name in ("end_silence_ms", "short_pause_ms", "stable_nochange_ms", "onset_ms", "candidate_ms")],
    ("frame_samples", 1, 0),
    ("sample_rate", 16_000, 0),
    ("pre_roll_ms", 0, -1),
    ("max_utterance_ms", 80, 79),
    ("offset_ratio", 0.4, 0.39),
    *[(name, 1.0, 1.01) for name in ("silence_rms", "offset_ratio", "onset_probability", "calm_share")],
    *[(name, 0.0, -0.01) for name in ("silence_rms", "offset_probability", "calm_share")],
    ("offset_probability", 0.5, 0.51),
    ("silence_rms", 0.0, float("nan")),
]


@pytest.mark.parametrize(("name", "at_bound", "beyond"), BOUNDS)
def test_a_setting_is_taken_at_its_bound_and_refused_by_name_beyond(name: str, at_bound: Any, beyond: Any) -> None:
    assert getattr(EndpointerParams(**{name: at_bound}), name) == at_bound
    with pytest.raises(ValueError, match=f"^{name} must be"):
        EndpointerParams(**{name: beyond})


@pytest.mark.parametrize("impossible", [-0.001, float("inf"), float("nan")])
def test_a_frame_with_an_impossible_level_or_probability_cannot_be_made(impossible: float) -> None:
    with pytest.raises(ValueError, match="rms must be"):
        Frame(impossible)
    with pytest.raises(ValueError, match="speech_probability must be"):
        Frame(0.1, impossible)


def test_the_table_has_a_cell_for_every_event_in_every_state() -> None:
    assert set(product(EndpointerState, get_args(Event))) == set(TRANSITIONS)
    for cell in TRANSITIONS.values():
        assert cell.reason if isinstance(cell, Ignored) else cell.leads_to and hasattr(Endpointer, cell.method)


FRAMES = st.builds(Frame, st.sampled_from([0.0, 0.006, 0.03, 0.06, 0.2, 1.0]), st.sampled_from([None, None, 0.4, 0.9]))
RUNS = st.tuples(FRAMES, st.integers(1, 40)).map(lambda run: [run[0]] * run[1])
READINGS = st.builds(HypothesisChanged, st.sampled_from(["", "a", "a.", "b"]), st.none() | st.integers(0, 20_000))
MOST_MS = {"end_silence_ms": 400, "short_pause_ms": 200, "stable_nochange_ms": 600, "onset_ms": 90, "candidate_ms": 300}
SETTINGS = st.builds(
    EndpointerParams,
    noise_floor=st.just(NoiseFloorParams(window_ms=400, warm_up_ms=100)),
    max_utterance_ms=st.integers(110, 1_500),
    **{name: st.integers(1, most) for name, most in MOST_MS.items()},
)
OTHERS = READINGS.map(lambda reading: [reading]) | st.just([Flush()])
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
