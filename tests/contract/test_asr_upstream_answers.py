"""The engine that asks a server elsewhere: what it sends, what it makes of the answers, and what it never tells."""

from collections.abc import Callable, Iterator

import pytest

from asr_service.engines.base import Recogniser, Result, Span, Task, Word
from asr_service.engines.openai_upstream import LANES, LONGEST_SAMPLES, UpstreamEngine
from asr_service.engines.upstream_http import Upstream, UpstreamFailed
from tests.support.asr_upstreams import KEY, SOUND, Reply, StandIn, begun, opened
from tests.support.speech import noise, silence, tone

pytestmark = pytest.mark.contract

SECOND = 16_000  # samples
VERBOSE = {"response_format": ["verbose_json"]}
WORDS = VERBOSE | {"timestamp_granularities[]": ["segment", "word"]}


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn().running() as running:
        yield running


@pytest.fixture
def engine(server: StandIn) -> Iterator[UpstreamEngine]:
    made = opened(server.url)
    yield made
    made.close()


@pytest.fixture
def recogniser(engine: UpstreamEngine) -> Recogniser:
    return engine.open()


def forms(server: StandIn) -> list[dict[str, list[str]]]:
    """What was asked for, the model and the language aside."""
    aside = ("model", "language")
    return [{name: value for name, value in one.fields.items() if name not in aside} for one in server.asked]


# What is sent


def test_a_reading_sends_the_stretch_so_far_and_the_end_asks_for_times(server: StandIn, recogniser: Recogniser) -> None:
    begun(recogniser, Task("zh-Hant-TW"), SOUND).read()
    recogniser.hear(silence(200))
    recogniser.finish()

    assert [one.pcm for one in server.asked] == [SOUND, SOUND + silence(200)]
    assert [one.path for one in server.asked] == ["/v1/audio/transcriptions"] * 2
    assert [one.key for one in server.asked] == [f"Bearer {KEY}"] * 2
    fields = {"model": ["whisper-9"], "language": ["zh"]}
    assert [one.fields for one in server.asked] == [fields | {"response_format": ["json"]}, fields | VERBOSE]


def test_whatever_is_spoken_has_no_language_and_no_key_is_no_header(server: StandIn) -> None:
    engine = UpstreamEngine(Upstream(server.url, "", "m", 10.0, LANES), "en")
    begun(engine.open(), Task("")).finish()
    engine.close()

    assert server.asked[0].fields == {"model": ["m"]} | VERBOSE
    assert server.asked[0].key == ""


@pytest.mark.parametrize("language", ["", "zh"])
def test_a_translation_goes_to_its_own_path_without_language_or_words(
    server: StandIn, recogniser: Recogniser, language: str
) -> None:
    server.tells(text="Hello.", language="english")
    result = begun(recogniser, Task(language, translate=True, words=True)).finish()

    assert server.asked[0].path == "/v1/audio/translations"
    assert server.asked[0].fields == {"model": ["whisper-9"]} | VERBOSE
    assert (result.text, result.language) == ("Hello.", ""), "English is what it was translated into"


def test_nothing_is_sent_when_nothing_new_was_heard(server: StandIn, recogniser: Recogniser) -> None:
    begun(recogniser)
    assert recogniser.read() == recogniser.read() == Result("hello")
    assert len(server.asked) == 1
    ends = [recogniser.finish(), recogniser.finish()]
    assert ends[0] == ends[1]
    assert recogniser.read() == Result("hello")
    assert len(server.asked) == 2


@pytest.mark.parametrize("pcm", [b"", bytes(2), silence(3_000), tone(90)], ids=["none", "one", "silence", "a click"])
def test_what_holds_no_word_is_not_sent(server: StandIn, recogniser: Recogniser, pcm: bytes) -> None:
    begun(recogniser, pcm=pcm)

    assert recogniser.read() == recogniser.finish() == Result("")
    assert server.asked == []


def test_a_stretch_goes_on_after_its_end_and_a_new_one_forgets_it(server: StandIn, recogniser: Recogniser) -> None:
    begun(recogniser).finish()
    recogniser.hear(SOUND)
    recogniser.finish()
    begun(recogniser, pcm=tone(500)).finish()

    assert [len(one.pcm) for one in server.asked] == [len(SOUND), 2 * len(SOUND), len(tone(500))]


def test_a_long_stretch_is_cut_in_its_pause_and_never_read_twice(server: StandIn, recogniser: Recogniser) -> None:
    pcm = noise(28_000) + silence(400) + noise(8_000, seed=2)
    for number in range(1, 4):
        server.tells(text=f"{number}.", language="korean", segments=[{"start": 0.5, "end": 1.5, "text": f" {number}."}])
    whole = begun(recogniser, Task(""), pcm).finish()
    recogniser.hear(noise(1_000))
    recogniser.read()
    first, second, third = (len(one.pcm) // 2 for one in server.asked)

    assert 28 * SECOND < first < 28.4 * SECOND <= LONGEST_SAMPLES
    assert (first + second, third) == (len(pcm) // 2, second + SECOND)
    assert (whole.text, whole.language) == ("1. 2.", "ko")
    assert [span.start_samples for span in whole.spans] == [SECOND // 2, first + SECOND // 2]
    assert [one.fields.get("language") for one in server.asked] == [None, ["ko"], ["ko"]]
    assert recogniser.read() == Result("1. 3.", (), "ko")


# What an answer tells


def test_times_are_those_of_the_answer_inside_the_sound(server: StandIn, recogniser: Recogniser) -> None:
    segments = [
        {"start": -1, "end": 0.4, "text": " Good  day."}, {"start": 0.3, "end": 0.2, "text": "Ada"},
        {"start": 0.5, "end": 0.6, "text": " "}, {"start": 0.6, "end": 9, "text": "!"},
    ]  # fmt: skip
    words = [("Good", -1, 0.1), ("day.", 0.1, 0.45), (" Ada", 0.4, 0.4), (" ", 0.4, 0.5), ("!", 0.7, 99)]
    told = [{"word": word, "start": start, "end": end} for word, start, end in words]
    server.tells(text=" Good day. Ada!", segments=segments, words=told, duration=1.0, language="english")

    result = begun(recogniser, Task("en", words=True)).finish()

    assert forms(server) == [WORDS]
    assert result.text == "Good day. Ada!"
    assert result.language == "", "it was told, not found out"
    assert result.spans == (
        Span(0, 6_400, "Good  day.", (Word(0, 1_600, "Good"), Word(1_600, 6_400, "day."))),
        Span(6_400, 6_400, "Ada", (Word(6_400, 6_400, "Ada"),)),
        Span(9_600, 16_000, "!", (Word(11_200, 16_000, "!"),)),
    )


def test_an_answer_without_times_has_those_of_the_sound(server: StandIn, recogniser: Recogniser) -> None:
    result = begun(recogniser, pcm=silence(300) + SOUND + silence(500)).finish()

    assert result.spans == (Span(4_800, 20_800, "hello"),)


@pytest.mark.parametrize(
    "odd",
    [
        '"segments": [{"start": NaN, "end": 1, "text": "hello"}]', '"segments": {"a": 1}', '"segments": [{"end": 1}]',
        '"segments": null, "words": null', '"segments": [], "language": ["en"]', '"words": "hello", "usage": 3',
    ],
)  # fmt: skip
def test_what_is_odd_beside_the_text_is_passed_over(server: StandIn, recogniser: Recogniser, odd: str) -> None:
    server.replies.append(Reply(body=f'{{"text": "hello", {odd}}}'.encode()))

    assert begun(recogniser, Task("", words=True)).finish() == Result("hello", (Span(0, SECOND, "hello"),))


def test_a_segment_need_not_tell_what_the_model_thought(server: StandIn, recogniser: Recogniser) -> None:
    segment = {"start": 0.25, "end": 0.5, "text": "hello", "no_speech_prob": None, "avg_logprob": None, "tokens": None}
    server.tells(text="hello", segments=[segment])

    assert begun(recogniser).finish().spans == (Span(SECOND // 4, SECOND // 2, "hello"),)


@pytest.mark.parametrize(
    ("told", "code"),
    [("chinese", "zh"), ("Korean", "ko"), ("zh-CN", "zh"), ("en", "en"), ("klingon", ""), (None, ""), ("", "")],
)
def test_the_language_is_told_by_name_or_code(
    server: StandIn, recogniser: Recogniser, told: str | None, code: str
) -> None:
    server.tells(text="x", language=told)

    assert begun(recogniser, Task("")).finish().language == code


def test_what_models_write_where_nobody_speaks_is_no_text(server: StandIn, recogniser: Recogniser) -> None:
    segment = {"start": 0, "end": 1, "text": "Thank you.", "no_speech_prob": 0.9, "avg_logprob": -1.2}
    server.tells(text="Thank you.", segments=[segment])
    server.tells(text="Thank you.", segments=[segment, segment | {"no_speech_prob": 0.0, "avg_logprob": -0.1}])
    server.tells(text=" no" * 40, segments=[segment | {"text": " no" * 40, "no_speech_prob": 0.0}])

    found = [begun(recogniser).finish() for _ in range(3)]

    assert [one.text for one in found] == ["", "Thank you.", "no"]
    assert [[span.text for span in one.spans] for one in found] == [[], ["Thank you.", "Thank you."], ["no"]]


# Servers that tell less


def test_a_form_that_is_refused_is_not_asked_for_again(server: StandIn, engine: UpstreamEngine) -> None:
    one, other = engine.open(), engine.open()
    server.replies += [Reply(400, b"{}"), Reply(422, b"no such format")]
    assert engine.tells_words

    assert begun(one, Task("en", words=True)).finish().text == "hello"
    assert begun(other, Task("en", words=True)).finish().text == "hello"

    plain = {"response_format": ["json"]}
    assert forms(server) == [WORDS, VERBOSE, plain, plain]
    assert not engine.tells_words
    other.hear(SOUND)
    assert [other.read().text, other.finish().text] == ["hello", "hello"]
    assert len(server.asked) == 5, "the end of what was read so is the reading"


def test_a_recording_that_is_refused_in_every_form_says_nothing_of_forms(
    server: StandIn, engine: UpstreamEngine
) -> None:
    server.replies += [Reply(400, b"{}")] * 3
    with pytest.raises(UpstreamFailed, match=r"answered 400$"):
        begun(engine.open(), Task("en", words=True)).finish()

    assert engine.tells_words
    assert begun(engine.open()).finish().text == "hello"
    assert forms(server)[-1] == VERBOSE


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_translations_is_known_by_it(server: StandIn, engine: UpstreamEngine, status: int) -> None:
    server.reply = Reply(status, b"{}")
    for is_translation in (False, True):
        assert engine.translates
        with pytest.raises(UpstreamFailed):
            begun(engine.open(), Task("en", translate=is_translation)).finish()

    assert not engine.translates


def test_a_server_that_passes_over_the_wish_for_words_is_known_by_it(server: StandIn, engine: UpstreamEngine) -> None:
    server.tells(text="", segments=[])
    begun(engine.open(), Task("en", words=True)).finish()
    assert engine.tells_words, "where there is no text there is no word"

    begun(engine.open(), Task("en", words=True)).finish()
    begun(engine.open(), Task("en", words=True)).finish()

    assert not engine.tells_words
    assert forms(server) == [WORDS, WORDS, VERBOSE]


def test_recognisers_side_by_side_do_not_mix(server: StandIn, engine: UpstreamEngine) -> None:
    readings: list[Callable[[], Result]] = []
    for name in ("one", "two", "three"):
        server.tells(text=name)
        readings.append(begun(engine.open(), pcm=noise(500, seed=len(name))).read)

    assert [read().text for read in readings] == ["one", "two", "three"]
    assert [read().text for read in readings] == ["one", "two", "three"]


def test_a_recogniser_may_be_closed_twice_and_in_mid_stretch(server: StandIn, recogniser: Recogniser) -> None:
    begun(recogniser).close()
    recogniser.close()

    assert recogniser.finish() == Result("")
    assert server.asked == []
