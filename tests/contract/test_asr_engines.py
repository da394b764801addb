"""One contract for every recogniser: what a stretch reads like depends on its audio alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

import pytest

from asr_service import engines
from asr_service.core.languages import between
from asr_service.engines.base import Engine, Recogniser, Result, Step, Task
from asr_service.engines.pocketsphinx import cleaned
from asr_service.settings import AsrSettings
from tests.support.speech import cut, noise, silence, speech

pytestmark = pytest.mark.contract


@dataclass(frozen=True)
class Case:
    """An engine, and two stretches in a language that it understands."""

    engine: str
    language: str
    question: bytes
    greeting: bytes


def spoken(name: str) -> bytes:
    return silence(300) + speech(name) + silence(200)


ENGLISH = ("en", spoken("can_you_hear_me"), spoken("hello_how_are_you_today"))
CHINESE = ("zh", spoken("jintian_tianqi_zenmeyang"), spoken("gei_wo_jiang_ge_gushi"))
KOREAN = ("ko", spoken("oneul_nalssi_eottaeyo"), spoken("iyagi_hana_hae_juseyo"))
CASES = [
    Case("fake", *ENGLISH),
    Case("pocketsphinx", *ENGLISH),
    Case("faster-whisper", *CHINESE),
    Case("embedded", *KOREAN),  # its English is that of pocketsphinx
]
ELSEWHERE = {"funasr", "openai"}  # these need a model or a server of the test's own


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case.engine}-{case.language}")
def case(request: pytest.FixtureRequest) -> Case:
    assert isinstance(request.param, Case)
    return request.param


@pytest.fixture(scope="module")
def engine(case: Case) -> Engine:
    return engines.load(case.engine, AsrSettings())


@pytest.fixture(scope="module")
def pair(engine: Engine) -> Iterator[tuple[Recogniser, Recogniser]]:
    one, other = engine.open(), engine.open()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def recogniser(pair: tuple[Recogniser, Recogniser]) -> Recogniser:
    return pair[0]


@pytest.fixture(scope="module")
def expected(pair: tuple[Recogniser, Recogniser], case: Case) -> dict[bytes, Result]:
    """What the second recogniser makes of the audio, whole."""
    return {pcm: read(pair[1], Task(case.language), [pcm]) for pcm in (case.question, case.greeting)}


def read(recogniser: Recogniser, task: Task, chunks: list[bytes]) -> Result:
    recogniser.start(task)
    for chunk in chunks:
        recogniser.hear(chunk)
    return recogniser.finish()


def readings(recogniser: Recogniser, task: Task, chunks: list[bytes]) -> list[str]:
    """How a stretch reads after each chunk."""
    recogniser.start(task)
    texts = []
    for chunk in chunks:
        recogniser.hear(chunk)
        texts.append(recogniser.read().text)
    return texts


def edges(result: Result) -> list[int]:
    return [edge for span in result.spans for edge in (span.start_samples, span.end_samples)]


def test_every_engine_is_under_contract() -> None:
    assert {case.engine for case in CASES} | ELSEWHERE == set(engines.ENGINES)


def test_an_engine_is_called_as_the_table_calls_it(engine: Engine, case: Case) -> None:
    assert engine.name == case.engine
    assert engine.languages[0] == "en"
    assert case.language in engine.languages


@pytest.mark.parametrize("chunk_bytes", [1_234, 64_000], ids=["small chunks", "large chunks"])
def test_the_same_audio_reads_the_same_however_it_is_cut(
    recogniser: Recogniser, case: Case, expected: dict[bytes, Result], chunk_bytes: int
) -> None:
    assert expected[case.question] == read(recogniser, Task(case.language), cut(case.question, chunk_bytes))


def test_audio_that_comes_sample_by_sample_reads_the_same(
    recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    chunks = [*cut(case.question[:1_000], 2), case.question[1_000:]]

    assert expected[case.question] == read(recogniser, Task(case.language), chunks)


def test_readings_on_the_way_change_nothing_at_the_end(
    recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    texts = readings(recogniser, Task(case.language), cut(case.question, 9_600))

    assert not texts[0]
    assert any(texts[:-1]), "there was a text before the end"
    assert expected[case.question] == recogniser.finish()


def test_a_reading_on_the_way_is_the_same_however_the_audio_is_cut(
    pair: tuple[Recogniser, Recogniser], case: Case
) -> None:
    few, many = (
        readings(recogniser, Task(case.language), cut(case.question[:51_200], chunk_bytes))
        for recogniser, chunk_bytes in zip(pair, (25_600, 6_400), strict=True)
    )

    assert few == many[3::4]


def test_who_asks_again_without_having_said_more_is_told_the_same(recogniser: Recogniser, case: Case) -> None:
    recogniser.start(Task(case.language, words=True))
    recogniser.hear(case.question)
    assert recogniser.read() == recogniser.read()
    ended = recogniser.finish()

    assert ended == recogniser.finish()
    assert recogniser.read().text == ended.text
    recogniser.hear(b"")
    assert ended == recogniser.finish()


def test_a_stretch_reads_the_same_after_another_one_that_was_given_up(
    recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    texts = readings(recogniser, Task(case.language), cut(case.greeting[:32_000], 3_200))

    assert any(texts), "there was a text to be forgotten"
    assert expected[case.question] == read(recogniser, Task(case.language), [case.question])


def test_a_stretch_goes_on_after_its_end(
    engine: Engine, recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    first = read(recogniser, Task(case.language), [case.question])
    recogniser.hear(case.greeting)
    texts = [recogniser.read().text, (both := recogniser.finish()).text]

    assert expected[case.question] == first
    assert sorted(edges(both)) == edges(both)
    assert edges(both)[-1] <= len(case.question + case.greeting) // 2
    assert texts[0] == texts[1]
    if engine.is_incremental(case.language):
        assert both.text.startswith(first.text)
    else:
        assert both == read(recogniser, Task(case.language), [case.question + case.greeting])


def test_what_is_settled_stays_and_what_follows_is_read_without_it(
    engine: Engine, recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    found = []
    for chunk_bytes in (6_400, 64_000):
        read(recogniser, Task(case.language), cut(case.question, chunk_bytes))
        recogniser.settle()
        for chunk in cut(case.greeting, chunk_bytes):
            recogniser.hear(chunk)
            recogniser.read()
        found.append(recogniser.finish())
        recogniser.settle()

        assert found[-1] == recogniser.finish()
    assert found[0] == found[1]
    assert sorted(edges(found[0])) == edges(found[0])
    if not engine.is_incremental(case.language):
        alone = list(expected.values())
        assert [span.text for span in found[0].spans] == [span.text for one in alone for span in one.spans]
        assert found[0].text == between(alone[0].text, alone[1].text).join(one.text for one in alone)


def test_a_stretch_may_end_in_the_middle_of_a_word(recogniser: Recogniser, case: Case) -> None:
    middle = len(case.question) // 4 * 2
    recogniser.start(Task(case.language, words=True))
    results = []
    for chunk in (case.question[:middle], case.question[middle:], silence(500)):
        recogniser.hear(chunk)
        results.append(recogniser.finish())

    assert results[-1].text
    for result in results:
        assert sorted(edges(result)) == edges(result)


def test_spans_lie_in_order_inside_the_audio_and_make_up_the_text(expected: dict[bytes, Result]) -> None:
    for pcm, result in expected.items():
        assert sorted(edges(result)) == edges(result)
        assert 0 <= edges(result)[0] < edges(result)[-1] <= len(pcm) // 2
        assert result.text == " ".join(span.text for span in result.spans)
        assert not any(span.words for span in result.spans), "nobody asked"


def test_words_lie_in_order_inside_their_span_and_make_up_its_text(
    engine: Engine, recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    assert engine.tells_words
    between = "" if case.language == "zh" else " "
    for pcm, plain in expected.items():
        result = read(recogniser, Task(case.language, words=True), [pcm])
        assert plain == replace(result, spans=tuple(replace(span, words=()) for span in result.spans))
        for span in result.spans:
            times = [edge for word in span.words for edge in (word.start_samples, word.end_samples)]
            assert len(span.words) > 1
            assert sorted(times) == times
            assert span.start_samples <= times[0] < times[-1] <= span.end_samples
            assert span.text == between.join(word.text for word in span.words)


@pytest.mark.parametrize("pcm", [silence(1_000), b"", bytes(2)], ids=["silence", "no audio", "one sample"])
def test_nothing_reads_as_nothing_also_after_speech(
    pair: tuple[Recogniser, Recogniser], case: Case, expected: dict[bytes, Result], pcm: bytes
) -> None:
    assert Result("") == read(pair[1], Task(case.language, words=True), [pcm])


def test_two_recognisers_side_by_side_do_not_mix(
    pair: tuple[Recogniser, Recogniser], case: Case, expected: dict[bytes, Result]
) -> None:
    for recogniser in pair:
        recogniser.start(Task(case.language))
    for chunks in zip_longest(cut(case.question, 9_600), cut(case.greeting, 9_600), fillvalue=b""):
        for recogniser, chunk in zip(pair, chunks, strict=True):
            recogniser.hear(chunk)
            recogniser.read()

    assert list(expected.values()) == [recogniser.finish() for recogniser in pair]


def test_an_engine_does_steps(
    engine: Engine, recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    chunks = cut(case.question, 32_000)
    found = engine.read([Step(recogniser, chunks[0], is_end=False, task=Task(case.language))])
    for chunk in chunks[1:]:
        found = engine.read([Step(recogniser, chunk, is_end=chunk is chunks[-1])])

    assert [expected[case.question]] == found


def test_steps_that_join_tell_what_each_tells_alone(
    engine: Engine, pair: tuple[Recogniser, Recogniser], case: Case
) -> None:
    pcm = {recogniser: spoken_evenly(case, number) for number, recogniser in enumerate(pair)}
    begun = [Step(one, pcm[one][:48_000], is_end=False, task=Task(case.language)) for one in pair]
    if engine.most_joined == 1:
        assert not engine.joins(*begun)
        return
    ended = [Step(one, pcm[one][48_000:], is_end=True) for one in pair]
    alone = {one: [step.run() for steps in (begun, ended) for step in steps if step.recogniser is one] for one in pair}

    for number, steps in enumerate((begun, ended)):
        assert engine.joins(*steps)
        assert [alone[one][number] for one in pair] == engine.read(steps)
    assert all(results[-1].text for results in alone.values())


def spoken_evenly(case: Case, number: int) -> bytes:
    """One of the two stretches, three seconds long."""
    pcm = (case.question, case.greeting)[number]
    return (pcm + silence(3_000))[: 2 * 3 * 16_000]


def test_a_language_that_is_not_told_is_found_out_where_the_engine_can(
    engine: Engine, recogniser: Recogniser, case: Case
) -> None:
    told = read(recogniser, Task(case.language, words=True), [case.question])
    found = read(recogniser, Task("", words=True), [case.question])

    assert told.language == ""
    assert found == replace(told, language=case.language if engine.detects else "")


def test_a_recogniser_may_be_closed_twice_and_in_mid_stretch(engine: Engine, case: Case) -> None:
    recogniser = engine.open()
    recogniser.start(Task(case.language))
    recogniser.hear(silence(100))
    recogniser.close()
    recogniser.close()


@pytest.mark.parametrize("case", [CASES[1]], indirect=True, ids=["pocketsphinx"])
def test_pocketsphinx_understands_english(expected: dict[bytes, Result]) -> None:
    assert [result.text for result in expected.values()] == ["can you hear me", "hello how are you today"]


@pytest.mark.parametrize("case", [CASES[1]], indirect=True, ids=["pocketsphinx"])
def test_pocketsphinx_places_words_the_same_whatever_it_heard_before(recogniser: Recogniser) -> None:
    pcm = spoken("tell_me_a_story")
    expected = read(recogniser, Task("en", words=True), [pcm])
    for before in (noise(700), speech("hello_how_are_you_today")[:24_000]):
        read(recogniser, Task("en"), [before])

        assert expected == read(recogniser, Task("en", words=True), [pcm])


def test_pocketsphinx_shows_words_as_they_are_written() -> None:
    found = ["<s>", "the(2)", "<sil>", "capital(12)", "[NOISE]", "++NOISE++", "o'clock", "</s>"]

    assert cleaned(found) == ["the", "capital", "o'clock"]
