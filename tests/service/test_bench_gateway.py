"""The benchmarks of whole turns run and say what they promise; their figures are for a person to read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.gateway_speculation import Announced, announced, wasted
from tests.bench.gateway_stage import Frame, percentile
from tests.support.timed_engines import Asked

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]  # two services are started for each

TOP = Path(__file__).parents[2]


def last_line(*command: str) -> dict[str, Any]:
    """The last line that a benchmark prints, as JSON."""
    ran = subprocess.run([sys.executable, "-m", *command], cwd=TOP, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    line: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return line


def test_an_answer_that_was_prepared_is_timed_from_the_endpoint() -> None:
    found = last_line("tests.bench.gateway_speculation", "--turns", "1", "--callers", "1", "--settings", "with")

    assert set(found) == {"with"}
    assert (found["with"]["turns"], found["with"]["unanswered"]) == (1, 0)
    assert found["with"]["speech_to_audio_p50_ms"] > found["with"]["endpoint_to_audio_p50_ms"]
    assert found["with"]["answers_asked"] >= 1


def test_an_answer_that_is_spoken_over_stops_and_its_engines_know() -> None:
    found = last_line("tests.bench.gateway_barge_in", "--count", "1")

    assert (found["interruptions"], found["engines_not_told"], found["frames_after"]) == (1, 0, 0)
    assert found["interrupted_p50_ms"] == found["interrupted_p95_ms"] > 0


def test_of_the_answers_to_one_question_the_last_before_it_was_announced_was_of_use() -> None:
    answers = [
        Asked(question, asked_s, tokens=1)
        for question, asked_s in (("what", 1.0), ("What time?", 2.0), ("before\nwhat time", 3.0), ("what time", 5.0))
    ]
    frames: list[tuple[float, Frame]] = [
        (3.4, {"type": "final", "turn_id": "trn_1", "text": "What"}),
        (3.5, b"audio"),
        (3.9, {"type": "final", "turn_id": "trn_1", "text": "time."}),
        (4.0, {"type": "reply_started", "turn_id": "trn_1"}),
    ]
    told = announced(frames)

    assert told == [Announced("What time.", 4.0)]
    assert [answer.asked_s for answer in wasted(answers, told)] == [1.0, 2.0, 5.0]
    assert wasted(answers, []) == answers


def test_a_percentile_is_one_of_the_values_or_none() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 1.0)] == [1.0, 2.0, 3.0]
    assert percentile([], 0.5) is None
