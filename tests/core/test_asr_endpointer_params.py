"""The endpointer's settings: every bound, and what follows from a frame's length."""

from typing import Any

import pytest

from asr_service.core.endpointer_params import EndpointerParams

pytestmark = pytest.mark.core

BOUNDS: list[tuple[str, Any, Any]] = [  # the setting, a value at its bound, one beyond
    *[(name, 1, 0) for name in ("end_silence_ms", "short_pause_ms", "stable_nochange_ms", "onset_ms", "candidate_ms")],
    ("frame_samples", 1, 0),
    ("sample_rate", 16_000, 0),
    *[(name, 0, -1) for name in ("pre_roll_ms", "complete_pause_ms")],
    ("max_utterance_ms", 80, 79),
    ("offset_ratio", 0.4, 0.39),
    *[(name, 1.0, 1.01) for name in ("silence_rms", "offset_ratio", "onset_probability", "turn_probability")],
    ("calm_share", 1.0, 1.01),
    *[(name, 0.0, -0.01) for name in ("silence_rms", "offset_probability", "calm_share", "turn_probability")],
    ("offset_probability", 0.5, 0.51),
    ("silence_rms", 0.0, float("nan")),
]


@pytest.mark.parametrize(("name", "at_bound", "beyond"), BOUNDS)
def test_a_setting_is_taken_at_its_bound_and_refused_by_name_beyond(name: str, at_bound: Any, beyond: Any) -> None:
    assert getattr(EndpointerParams(**{name: at_bound}), name) == at_bound
    with pytest.raises(ValueError, match=f"^{name} must be"):
        EndpointerParams(**{name: beyond})


@pytest.mark.parametrize(("onset_ms", "frames"), [(1, 1), (20, 1), (21, 2), (60, 3), (61, 4)])
def test_an_onset_is_the_fewest_frames_that_last_it(onset_ms: int, frames: int) -> None:
    params = EndpointerParams(onset_ms=onset_ms)

    assert params.onset_frames == frames
    assert params.reaches(frames * 320, onset_ms) and not params.reaches((frames - 1) * 320, onset_ms)
    assert params.frames_under(onset_ms) == frames - 1


def test_a_length_is_reached_when_it_is_there_to_the_sample() -> None:
    params = EndpointerParams(frame_samples=160, sample_rate=8_000)

    assert params.frame_ms == 20.0
    assert [params.reaches(samples, 300) for samples in (2_399, 2_400)] == [False, True]
