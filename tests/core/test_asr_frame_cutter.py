"""Frame cutter: any chunking, same frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.frame_cutter import FrameCutter

pytestmark = pytest.mark.core


def test_a_chunk_one_byte_short_of_a_frame_waits() -> None:
    cutter = FrameCutter(4)

    assert cutter.add(b"abc") == []
    assert cutter.rest == b"abc"


def test_a_chunk_of_exactly_one_frame_leaves_nothing() -> None:
    cutter = FrameCutter(4)

    assert cutter.add(b"abcd") == [b"abcd"]
    assert cutter.rest == b""


def test_a_chunk_of_many_frames_gives_them_in_order_and_keeps_the_rest() -> None:
    cutter = FrameCutter(4)

    assert cutter.add(b"abcdefghi") == [b"abcd", b"efgh"]
    assert cutter.rest == b"i"


def test_a_frame_may_be_completed_by_the_last_byte_of_several_chunks() -> None:
    cutter = FrameCutter(4)

    assert [cutter.add(chunk) for chunk in (b"a", b"", b"bc", b"de")] == [[], [], [], [b"abcd"]]
    assert cutter.rest == b"e"


@pytest.mark.parametrize("frame_bytes", [0, -1])
def test_a_frame_without_length_is_refused_by_name(frame_bytes: int) -> None:
    with pytest.raises(ValueError, match="frame_bytes"):
        FrameCutter(frame_bytes)


@given(frame_bytes=st.integers(1, 12), chunks=st.lists(st.binary(max_size=30), max_size=20))
def test_law_any_chunking_gives_the_same_frames(frame_bytes: int, chunks: list[bytes]) -> None:
    pcm = b"".join(chunks)
    whole, cut = FrameCutter(frame_bytes), FrameCutter(frame_bytes)
    expected = whole.add(pcm)

    actual = [frame for chunk in chunks for frame in cut.add(chunk)]

    assert expected == actual
    assert whole.rest == cut.rest
    assert pcm == b"".join(actual) + cut.rest
    assert {frame_bytes} >= {len(frame) for frame in actual}
    assert len(cut.rest) < frame_bytes
