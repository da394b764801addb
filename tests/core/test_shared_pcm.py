"""PCM16: the arithmetic of samples, and what is refused at a border."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import pcm
from shared.errors import InvalidAudio

pytestmark = pytest.mark.core


@pytest.mark.parametrize(("length_bytes", "samples"), [(0, 0), (1, 0), (2, 1), (3, 1), (640, 320)])
def test_a_sample_has_two_bytes_and_half_a_sample_does_not_count(length_bytes: int, samples: int) -> None:
    assert pcm.samples_of(bytes(length_bytes)) == samples


@pytest.mark.parametrize(
    ("samples", "rate", "ms"),
    [(0, 16_000, 0), (15, 16_000, 0), (16, 16_000, 1), (31, 16_000, 1), (44_100, 44_100, 1000)],
)
def test_milliseconds_are_rounded_down(samples: int, rate: int, ms: int) -> None:
    assert pcm.ms_of(samples, rate) == ms


def test_whole_samples_pass_as_they_came_and_half_a_one_is_refused() -> None:
    whole = bytes(4)
    assert pcm.checked(whole) is whole
    with pytest.raises(InvalidAudio, match="5 bytes is an odd number"):
        pcm.checked(bytes(5))


@given(st.binary().map(lambda half: half * 2))
def test_base64_gives_back_the_audio(audio: bytes) -> None:
    assert pcm.from_base64(base64.b64encode(audio).decode()) == audio


@pytest.mark.parametrize("text", ["AAA", "A===", "AA==", "AAAA\n", "AA-_", "AAAAé", "🙂", "\ud800"])
def test_what_is_no_base64_of_whole_samples_is_refused(text: str) -> None:
    with pytest.raises(InvalidAudio):
        pcm.from_base64(text)


@given(st.text())
def test_any_text_is_audio_or_refused(text: str) -> None:
    try:
        assert len(pcm.from_base64(text)) % 2 == 0
    except InvalidAudio as refusal:
        assert refusal.code == "invalid_audio"
