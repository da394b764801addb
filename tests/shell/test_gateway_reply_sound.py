"""The sound of a reply, cut to what was heard of it."""

import pytest

from gateway.reply_sound import ReplySound

pytestmark = pytest.mark.shell

PIECE = b"\x01\x02" * 80  # 10 ms at 8 kHz


def sound_of(pieces: int, **others: int | bool) -> ReplySound:
    sound = ReplySound(8_000, wanted=bool(others.get("wanted", True)), most_bytes=int(others.get("most_bytes", 10_000)))
    for _ in range(pieces):
        sound.add(PIECE)
    return sound


@pytest.mark.parametrize(
    ("heard_ms", "size_bytes"), [(0, 0), (1, 16), (15, 240), (29, 464), (30, 480), (31, 480), (9_999, 480)]
)
def test_so_many_milliseconds_are_there(heard_ms: int, size_bytes: int) -> None:
    assert sound_of(3).heard(heard_ms) == (PIECE * 3)[:size_bytes]


def test_what_was_heard_to_its_end_is_whole_though_milliseconds_are_rounded_down() -> None:
    sound = sound_of(3)
    sound.add(b"\x01\x02" * 7)
    assert sound.heard(30) == PIECE * 3 + b"\x01\x02" * 7


def test_of_a_reply_that_is_too_long_nothing_is_there() -> None:
    assert sound_of(3, most_bytes=480).heard(30) == PIECE * 3
    assert sound_of(4, most_bytes=480).heard(30) == b""
    assert sound_of(9, most_bytes=480).heard(30) == b""


def test_what_is_not_wanted_is_not_gathered() -> None:
    assert sound_of(3, wanted=False).heard(30) == b""
