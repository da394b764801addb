"""Speech that another one owes a final: it goes on under its name."""

import json

import pytest

from gateway.core.retold_speech import Heard, Kind, RetoldSpeech

pytestmark = pytest.mark.core


def test_what_was_told_is_not_told_again_by_another_one() -> None:
    here, there = RetoldSpeech(), RetoldSpeech()
    here.take(Heard(Kind.STARTED, "utt_1", 100))
    here.take(Heard(Kind.PARTIAL, "utt_1", 5_000, "one two", "one"))
    there.take_up(json.loads(json.dumps(here.owed())))

    assert there.is_awaited
    assert there.take(Heard(Kind.STARTED, "utt_9", 100)) == []
    assert there.take(Heard(Kind.PARTIAL, "utt_9", 4_000, "one", "")) == []
    assert there.take(Heard(Kind.PARTIAL, "utt_9", 6_000, "one two three", "")) == [
        Heard(Kind.PARTIAL, "utt_1", 6_000, "one two three", "one")
    ]
    assert there.take(Heard(Kind.FINAL, "utt_9", 7_000, "one two three")) == [
        Heard(Kind.FINAL, "utt_1", 7_000, "one two three")
    ]
    assert there.owed() == []


def test_what_was_cleared_is_owed_to_nobody() -> None:
    retold = RetoldSpeech()
    retold.take(Heard(Kind.STARTED, "utt_1", 100))
    retold.clear()
    assert retold.owed() == []
