"""What the endpointer is told: values that nobody can have measured cannot be said."""

import pytest

from asr_service.core.endpointer_events import Frame, TurnJudged

pytestmark = pytest.mark.core


@pytest.mark.parametrize("impossible", [-0.001, float("inf"), float("nan")])
def test_a_frame_with_an_impossible_level_or_probability_cannot_be_made(impossible: float) -> None:
    with pytest.raises(ValueError, match="rms must be"):
        Frame(impossible)
    with pytest.raises(ValueError, match="speech_probability must be"):
        Frame(0.1, impossible)


@pytest.mark.parametrize("impossible", [-0.001, 1.001, float("nan")])
def test_a_judgement_with_an_impossible_probability_cannot_be_made(impossible: float) -> None:
    with pytest.raises(ValueError, match=r"^probability must be"):
        TurnJudged(impossible, 0)


def test_values_at_their_bounds_can() -> None:
    assert Frame(0.0, 1.0).speech_probability == 1.0
    assert TurnJudged(1.0, 0).probability == 1.0
