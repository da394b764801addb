"""What a client may ask of a file beyond its text: the times of words, the language that is spoken, a translation."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from asr_service.engines.base import Recogniser, Result, Task
from asr_service.engines.fake import FakeEngine, FakeRecogniser, Line
from tests.support.speech import silence, tone
from tests.support.transcriptions import (
    MS,
    PATH,
    TRANSLATIONS,
    TWO_UTTERANCES,
    UTTERANCE,
    WORDS,
    client_of,
    error_of,
    events_of,
    is_ready,
    sent,
)
from tests.support.uploads import wav

pytestmark = pytest.mark.service

GRANULARITIES = "timestamp_granularities"
MIXED = (Line(200 * MS, "Hello."), Line(700 * MS, "你好。"))  # who speaks for long speaks Chinese


class KnowingRecogniser(FakeRecogniser):
    """Finds out by the text which language was spoken, and notes how it is told to read."""

    def __init__(self, script: tuple[Line, ...], tasks: list[Task]) -> None:
        self._tasks = list[Task]()
        super().__init__(script)
        self._tasks = tasks

    def start(self, task: Task) -> None:
        super().start(task)
        self._tasks.append(task)

    def finish(self) -> Result:
        result = super().finish()
        return replace(result, language="zh" if "你" in result.text else "en") if result.language else result


class KnowingEngine(FakeEngine):
    """Understands two languages, and translates; of `lacks`, which are names of abilities, it can nothing."""

    translates = True

    def __init__(
        self, script: tuple[Line, ...] = WORDS, languages: tuple[str, ...] = ("en", "zh"), lacks: tuple[str, ...] = ()
    ) -> None:
        super().__init__(script, languages)
        self.tasks: list[Task] = []
        for ability in lacks:
            setattr(self, ability, False)

    def open(self) -> FakeRecogniser:
        return KnowingRecogniser(self._script, self.tasks)

    def warm_up(self, recogniser: Recogniser, task: Task) -> None:
        pass


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """On an engine that can do everything."""
    with client_of(KnowingEngine()) as client:
        is_ready(client)
        yield client


def verbose(client: TestClient, pcm: bytes, **fields: Any) -> dict[str, Any]:
    answer = sent(client, wav(pcm), response_format="verbose_json", **fields)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


# Words


def test_words_have_their_times(client: TestClient) -> None:
    told = verbose(client, TWO_UTTERANCES, **{GRANULARITIES: ["word"]})

    assert set(told) == {"task", "language", "duration", "text", "words", "usage"}
    assert told["words"] == [
        {"word": "one", "start": 0.2, "end": 0.68},
        {"word": "two", "start": 0.68, "end": 1.16},
        {"word": "three", "start": 1.16, "end": 1.64},
        {"word": "one", "start": 2.2, "end": 2.6},
        {"word": "two", "start": 2.6, "end": 3.0},
    ]


def test_words_and_segments_may_both_be_had_and_lie_in_each_other(client: TestClient) -> None:
    told = verbose(client, TWO_UTTERANCES, **{GRANULARITIES: ["segment", "word"]})

    inside = [
        [word["word"] for word in told["words"] if part["start"] <= word["start"] and word["end"] <= part["end"]]
        for part in told["segments"]
    ]
    assert [" ".join(words) for words in inside] == [part["text"] for part in told["segments"]]


@pytest.mark.parametrize("fields", [{}, {GRANULARITIES: ["segment"]}])
def test_words_are_told_to_who_asks_alone(client: TestClient, fields: dict[str, Any]) -> None:
    told = verbose(client, UTTERANCE, **fields)

    assert "words" not in told
    assert [part["text"] for part in told["segments"]] == ["one two three"]


def test_where_nobody_speaks_there_are_no_words(client: TestClient) -> None:
    told = verbose(client, silence(2_000), **{GRANULARITIES: ["word", "segment"]})

    assert (told["text"], told["words"], told["segments"], told["duration"]) == ("", [], [], 2.0)


@pytest.mark.parametrize("granularities", [["word"], ["segment", "word"]])
def test_words_are_refused_where_the_engine_does_not_know_their_times(granularities: list[str]) -> None:
    with client_of(KnowingEngine(lacks=("tells_words",))) as client:
        is_ready(client)
        fields: dict[str, Any] = {"response_format": "verbose_json", GRANULARITIES: granularities}

        assert error_of(sent(client, wav(UTTERANCE), **fields)) == (400, "unsupported", GRANULARITIES)
        assert "words" not in verbose(client, UTTERANCE, **{GRANULARITIES: ["segment"]})


# The language


@pytest.mark.parametrize(
    ("service", "asked", "task", "name"),
    [
        ("zh", {}, "zh", "chinese"),
        ("zh", {"language": "en"}, "en", "english"),
        ("en", {"language": "zh-Hant-TW"}, "zh-Hant-TW", "chinese"),
        ("en", {"language": "auto"}, "", "english"),
        ("en", {"language": ""}, "en", "english"),
        ("auto", {}, "", "english"),
        ("auto", {"language": "zh"}, "zh", "chinese"),
    ],
)
def test_a_language_is_listened_for_or_found_out(service: str, asked: dict[str, str], task: str, name: str) -> None:
    engine = KnowingEngine()
    with client_of(engine, language=service) as client:
        is_ready(client)

        assert verbose(client, UTTERANCE, **asked)["language"] == name
    assert engine.tasks == [Task(task)]


def test_the_language_that_was_spoken_longest_is_told(client: TestClient) -> None:
    short, long = tone(300) + silence(1_000), tone(900) + silence(1_000)
    with client_of(KnowingEngine(MIXED), language="auto") as client:
        is_ready(client)

        assert verbose(client, short)["language"] == "english"
        mixed = verbose(client, short + short + long)
        streamed = events_of(sent(client, wav(short + short + long), stream="true").text)

    assert (mixed["language"], mixed["text"]) == ("chinese", "Hello. Hello.你好。")
    assert [event.get("delta") for event in streamed[:-1]] == ["Hello.", " Hello.", "你好。"]
    assert streamed[-1]["text"] == mixed["text"]


def test_the_language_of_silence_is_not_known_unless_it_was_told(client: TestClient) -> None:
    assert verbose(client, silence(1_000), language="auto")["language"] == "unknown"
    assert verbose(client, silence(1_000), language="zh")["language"] == "chinese"


def test_an_engine_that_finds_out_no_language_wants_it_named() -> None:
    with client_of(KnowingEngine(lacks=("detects",))) as client:
        is_ready(client)

        assert error_of(sent(client, wav(UTTERANCE), language="auto")) == (400, "unsupported", "language")
        assert verbose(client, UTTERANCE)["language"] == "english"


def test_an_engine_of_one_language_finds_it_out() -> None:
    engine = KnowingEngine(languages=("ko",), lacks=("detects",))
    with client_of(engine, language="ko") as client:
        is_ready(client)

        assert verbose(client, UTTERANCE, language="auto")["language"] == "korean"
    assert engine.tasks == [Task("ko")]


# Translations


TRANSLATED = {
    "json": '{"text": "one two three"}',
    "text": "one two three\n",
    "srt": "1\n00:00:00,200 --> 00:00:01,640\none two three\n",
    "vtt": "WEBVTT\n\n00:00:00.200 --> 00:00:01.640\none two three\n",
}


@pytest.mark.parametrize("response_format", TRANSLATED)
def test_a_translation_is_had_in_each_form(client: TestClient, response_format: str) -> None:
    answer = sent(client, wav(UTTERANCE), path=TRANSLATIONS, response_format=response_format, model="whisper-1")

    assert (answer.status_code, answer.text) == (200, TRANSLATED[response_format])


def test_a_translation_tells_the_language_of_its_text(client: TestClient) -> None:
    told = verbose(client, UTTERANCE, path=TRANSLATIONS, language="zh")

    assert list(told) == ["task", "language", "duration", "text", "segments"]
    assert (told["task"], told["language"], told["duration"]) == ("translate", "english", 2.5)
    assert [(part["start"], part["end"], part["text"]) for part in told["segments"]] == [(0.2, 1.64, "one two three")]


@pytest.mark.parametrize(
    ("lacks", "asked", "task"),
    [
        ((), {}, Task("", translate=True)),
        ((), {"language": "zh"}, Task("zh", translate=True)),
        ((), {"language": "auto"}, Task("", translate=True)),
        (("detects",), {}, Task("en", translate=True)),
    ],
)
def test_what_is_translated_is_found_out_unless_it_is_told(
    lacks: tuple[str, ...], asked: dict[str, str], task: Task
) -> None:
    engine = KnowingEngine(lacks=lacks)
    with client_of(engine) as client:
        is_ready(client)
        assert sent(client, wav(UTTERANCE), path=TRANSLATIONS, **asked).status_code == 200

    assert engine.tasks == [task]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "diarized_json"}, "response_format"),
        ({"response_format": "verbose_json", GRANULARITIES: ["word"]}, GRANULARITIES),
        ({"stream": "true"}, "stream"),
        ({"include": ["logprobs"]}, "include"),
        ({"language": "tlh"}, "language"),
    ],
)
def test_what_a_translation_does_not_have_is_named(client: TestClient, fields: dict[str, Any], param: str) -> None:
    assert error_of(sent(client, wav(UTTERANCE), path=TRANSLATIONS, **fields)) == (400, "unsupported", param)


@pytest.mark.parametrize("path", [PATH, TRANSLATIONS])
def test_the_same_files_are_refused(client: TestClient, path: str) -> None:
    assert error_of(sent(client, b"", path=path)) == (400, "invalid_audio", "file")
    assert error_of(sent(client, wav(UTTERANCE), path=path, response_format="xml"))[1:] == (
        "invalid_message",
        "response_format",
    )


def test_both_forms_are_described(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    fields = [
        set(described[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"])
        for path in (PATH, TRANSLATIONS)
    ]

    assert fields[0] - fields[1] == {"stream", "include", GRANULARITIES}
    assert fields[1] == {"file", "model", "language", "prompt", "response_format", "temperature"}
