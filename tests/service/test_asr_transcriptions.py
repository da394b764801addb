"""Files sent whole to the asr_service: every format in, every form of the answer out, and what silence costs."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from asr_service.engines.base import Result
from asr_service.engines.fake import FakeEngine, FakeRecogniser, Line
from shared.wire.asr import Final, Flush
from tests.support.asr import running, told_after
from tests.support.speech import FOLDER, cut, noise, silence, speech, tone
from tests.support.transcriptions import (
    TWO_UTTERANCES,
    UTTERANCE,
    WORDS,
    Caller,
    client_of,
    events_of,
    is_ready,
    sent,
    served,
)
from tests.support.uploads import encoded, wav

pytestmark = pytest.mark.service

ENGLISH = {
    "can_you_hear_me": {"hear"},
    "hello_how_are_you_today": {"how", "you"},
    "tell_me_a_story": {"tell", "story"},
    "what_is_the_capital_of_france": {"capital", "france"},
}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """On an engine that reads a script."""
    with client_of(FakeEngine(WORDS), max_file_s=30) as client:
        is_ready(client)
        yield client


@pytest.fixture(scope="module")
def real_client() -> Iterator[TestClient]:
    """On an engine that understands English."""
    with client_of(engine="pocketsphinx", decoders=1) as client:
        is_ready(client)
        yield client


# What comes in


@pytest.mark.parametrize("name", ENGLISH)
def test_speech_is_understood(real_client: TestClient, name: str) -> None:
    answer = sent(real_client, (FOLDER / f"{name}.wav").read_bytes(), model="whisper-1")

    assert answer.status_code == 200
    assert ENGLISH[name] <= set(answer.json()["text"].split())


@pytest.mark.parametrize("name", ["flac", "mp3", "ogg", "webm", "m4a"])
def test_speech_is_understood_in_every_format_whatever_its_name(real_client: TestClient, name: str) -> None:
    file = encoded(speech("what_is_the_capital_of_france"), name)
    answer = sent(real_client, file, name="../../etc/passwd\0.txt", response_format="text")

    assert answer.status_code == 200
    assert ENGLISH["what_is_the_capital_of_france"] <= set(answer.text.split())


def test_the_times_of_segments_are_those_of_the_speech(real_client: TestClient) -> None:
    pcm = silence(2_000) + speech("tell_me_a_story") + silence(3_000) + speech("can_you_hear_me")
    answer = sent(real_client, wav(pcm), response_format="verbose_json", timestamp_granularities=["segment"]).json()

    first, second = answer["segments"]
    assert 2.0 <= first["start"] < first["end"] <= 2.0 + 1.32
    assert 6.3 <= second["start"] < second["end"] <= answer["duration"]
    assert "story" in first["text"]
    assert "hear" in second["text"]


# What goes out


def test_json_is_the_text_and_how_much_was_heard(client: TestClient) -> None:
    answer = sent(client, wav(UTTERANCE))

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"text": "one two three", "usage": {"type": "duration", "seconds": 2}}


def test_text_is_plain(client: TestClient) -> None:
    answer = sent(client, wav(UTTERANCE), response_format="text")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "one two three\n"


def test_srt_has_a_block_for_each_utterance(client: TestClient) -> None:
    answer = sent(client, wav(TWO_UTTERANCES), response_format="srt")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == (
        "1\n00:00:00,200 --> 00:00:01,640\none two three\n\n2\n00:00:02,200 --> 00:00:03,000\none two\n"
    )


def test_vtt_has_a_header_and_a_block_for_each_utterance(client: TestClient) -> None:
    answer = sent(client, wav(TWO_UTTERANCES), response_format="vtt")

    assert answer.headers["content-type"] == "text/vtt; charset=utf-8"
    assert answer.text == (
        "WEBVTT\n\n00:00:00.200 --> 00:00:01.640\none two three\n\n00:00:02.200 --> 00:00:03.000\none two\n"
    )


@pytest.mark.parametrize("granularities", [{}, {"timestamp_granularities": ["segment"]}])
def test_verbose_json_has_every_field_of_its_form(client: TestClient, granularities: dict[str, Any]) -> None:
    answer = sent(client, wav(TWO_UTTERANCES), response_format="verbose_json", temperature="0.2", **granularities)

    untold = {"seek": 0, "tokens": [], "temperature": 0.2} | {
        "avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0
    }  # fmt: skip
    assert answer.json() == {
        "task": "transcribe",
        "language": "english",
        "duration": 3.0,
        "text": "one two three one two",
        "segments": [
            {"id": 0, "start": 0.2, "end": 1.64, "text": "one two three", **untold},
            {"id": 1, "start": 2.2, "end": 3.0, "text": "one two", **untold},
        ],
        "usage": {"type": "duration", "seconds": 3},
    }


@pytest.mark.parametrize("response_format", ["json", "text"])
def test_a_stream_tells_each_utterance_and_then_the_whole(client: TestClient, response_format: str) -> None:
    answer = sent(client, wav(TWO_UTTERANCES), stream="true", response_format=response_format)

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert events_of(answer.text) == [
        {"type": "transcript.text.delta", "delta": "one two three"},
        {"type": "transcript.text.delta", "delta": " one two"},
        {
            "type": "transcript.text.done",
            "text": "one two three one two",
            "usage": {
                "type": "tokens",
                "input_tokens": 30,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 30},
                "output_tokens": 6,
                "total_tokens": 36,
            },
        },
    ]
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")


def test_a_language_without_spaces_has_none_between_utterances() -> None:
    with client_of(FakeEngine((Line(100, "你好"),), languages=("en", "zh"))) as client:
        is_ready(client)
        answer = sent(client, wav(TWO_UTTERANCES), language="zh", response_format="verbose_json")
        streamed = sent(client, wav(TWO_UTTERANCES), language="zh", stream="true")

    assert (answer.json()["text"], answer.json()["language"]) == ("你好你好", "chinese")
    assert [event.get("delta") for event in events_of(streamed.text)] == ["你好", "你好", None]


class SpanlessRecogniser(FakeRecogniser):
    def read(self) -> Result:
        return Result("One.")

    finish = read


class SpanlessEngine(FakeEngine):
    def open(self) -> FakeRecogniser:
        return SpanlessRecogniser(WORDS)


def test_an_engine_that_tells_no_times_has_those_of_the_utterance() -> None:
    with client_of(SpanlessEngine()) as client:
        is_ready(client)
        answer = sent(client, wav(UTTERANCE), response_format="verbose_json").json()

        nameless = sent(client, wav(UTTERANCE), response_format="verbose_json", language="auto").json()

    assert [(part["start"], part["end"], part["text"]) for part in answer["segments"]] == [(0.5, 1.5, "One.")]
    assert (answer["language"], nameless["language"]) == ("english", "unknown"), "where the engine does not tell"


# Silence, and the same ears as a stream's


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        ("json", '{"text": "", "usage": {"type": "duration", "seconds": 3}}'),
        ("text", "\n"),
        ("srt", ""),
        ("vtt", "WEBVTT\n"),
    ],
)
def test_where_nobody_speaks_there_is_no_text(client: TestClient, response_format: str, expected: str) -> None:
    answer = sent(client, wav(silence(3_000)), response_format=response_format)

    assert (answer.status_code, answer.text) == (200, expected)


def test_noise_that_is_no_word_has_no_segment() -> None:
    with client_of(FakeEngine(())) as client:
        is_ready(client)
        answer = sent(client, wav(noise(500) + silence(1_000)), response_format="verbose_json").json()

    assert (answer["text"], answer["segments"]) == ("", [])


def test_silence_is_never_decoded() -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with client_of(FakeEngine(WORDS, on_step=count)) as client:
        is_ready(client)
        warm = steps
        assert sent(client, wav(silence(120_000))).json()["text"] == ""
        assert steps == warm
        spoken = sent(client, wav(silence(60_000) + tone(500) + silence(60_000)), response_format="verbose_json")

    assert [(part["start"], part["end"]) for part in spoken.json()["segments"]] == [(59.7, 60.64)]
    assert warm < steps <= warm + 2, "an utterance with its pre-roll and its pause, a second at a time"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "pcm",
    [
        UTTERANCE,
        TWO_UTTERANCES,
        tone(300) + silence(400) + tone(700) + silence(900) + tone(40) + silence(500) + tone(333),
        tone(45_000),
        silence(100) + tone(30)[:-7],
    ],
    ids=["one", "two", "with pauses", "without an end", "a click"],
)
async def test_a_file_reads_as_a_stream_of_the_same_sound_does(pcm: bytes) -> None:
    pcm += b"\0" * (len(pcm) % 2)
    async with running(FakeEngine(WORDS)) as scheduler:
        padded = pcm + bytes(-len(pcm) % 640)
        told = await told_after(scheduler, [*cut(padded, 640), Flush()])
        finals = [message.text for message in told if isinstance(message, Final) and message.text]
        caller = Caller(wav(pcm), stream="true")
        await caller.call(served(scheduler))

    assert [event["delta"].strip() for event in caller.events[:-1]] == finals
    assert (caller.events[-1]["type"], caller.events[-1]["text"]) == ("transcript.text.done", " ".join(finals))
