"""One contract for every recogniser: what a stretch reads like depends on its audio alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

import pytest

from asr_service import engines
from asr_service.engines.base import Engine, Recogniser, Result
from asr_service.engines.pocketsphinx import cleaned
from tests.support.speech import cut, silence, speech

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


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case.engine}-{case.language}")
def case(request: pytest.FixtureRequest) -> Case:
    assert isinstance(request.param, Case)
    return request.param


@pytest.fixture(scope="module")
def engine(case: Case) -> Engine:
    return engines.load(case.engine)


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
    return {pcm: read(pair[1], case, [pcm]) for pcm in (case.question, case.greeting)}


def read(recogniser: Recogniser, case: Case, chunks: list[bytes]) -> Result:
    recogniser.start(case.language)
    for chunk in chunks:
        recogniser.accept(chunk)
    return recogniser.finish()


def test_every_engine_is_under_contract() -> None:
    assert {case.engine for case in CASES} == set(engines.ENGINES)


def test_an_engine_is_called_as_the_table_calls_it(engine: Engine, case: Case) -> None:
    assert engine.name == case.engine
    assert engine.languages[0] == "en"
    assert case.language in engine.languages


@pytest.mark.parametrize("chunk_bytes", [1_234, 64_000], ids=["small chunks", "large chunks"])
def test_the_same_audio_reads_the_same_however_it_is_cut(
    recogniser: Recogniser, case: Case, expected: dict[bytes, Result], chunk_bytes: int
) -> None:
    assert expected[case.question] == read(recogniser, case, cut(case.question, chunk_bytes))


def test_audio_that_comes_sample_by_sample_reads_the_same(
    recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    assert expected[case.question] == read(recogniser, case, [*cut(case.question[:1_000], 2), case.question[1_000:]])


def test_a_reading_on_the_way_is_the_same_however_the_audio_is_cut(
    pair: tuple[Recogniser, Recogniser], case: Case
) -> None:
    found = []
    for recogniser, chunk_bytes in zip(pair, (640, 6_400), strict=True):
        recogniser.start(case.language)
        readings = [recogniser.accept(chunk) for chunk in cut(case.question[:51_200], chunk_bytes)]
        found.append([reading for reading in readings if reading is not None][-1])

    assert found[0] == found[1]


def test_a_stretch_reads_the_same_after_another_one_that_was_given_up(
    recogniser: Recogniser, case: Case, expected: dict[bytes, Result]
) -> None:
    recogniser.start(case.language)
    readings = [recogniser.accept(chunk) for chunk in cut(case.greeting[:32_000], 3_200)]

    assert not readings[0]
    assert any(readings), "there was a text before the end"
    assert expected[case.question] == read(recogniser, case, [case.question])


def test_spans_lie_in_order_inside_the_audio_and_make_up_the_text(expected: dict[bytes, Result]) -> None:
    for pcm, result in expected.items():
        edges = [edge for span in result.spans for edge in (span.start_samples, span.end_samples)]

        assert sorted(edges) == edges
        assert 0 <= edges[0] < edges[-1] <= len(pcm) // 2
        assert result.text == " ".join(span.text for span in result.spans)


@pytest.mark.parametrize("pcm", [silence(1_000), b"", bytes(2)], ids=["silence", "no audio", "one sample"])
def test_nothing_reads_as_nothing_also_after_speech(
    pair: tuple[Recogniser, Recogniser], case: Case, expected: dict[bytes, Result], pcm: bytes
) -> None:
    assert Result("") == read(pair[1], case, [pcm])


def test_two_recognisers_side_by_side_do_not_mix(
    pair: tuple[Recogniser, Recogniser], case: Case, expected: dict[bytes, Result]
) -> None:
    for recogniser in pair:
        recogniser.start(case.language)
    for chunks in zip_longest(cut(case.question, 9_600), cut(case.greeting, 9_600), fillvalue=b""):
        for recogniser, chunk in zip(pair, chunks, strict=True):
            recogniser.accept(chunk)

    assert list(expected.values()) == [recogniser.finish() for recogniser in pair]


def test_a_recogniser_may_be_closed_twice_and_in_mid_stretch(engine: Engine, case: Case) -> None:
    recogniser = engine.open()
    recogniser.start(case.language)
    recogniser.accept(silence(100))
    recogniser.close()
    recogniser.close()


@pytest.mark.parametrize("case", [CASES[1]], indirect=True, ids=["pocketsphinx"])
def test_pocketsphinx_understands_english(expected: dict[bytes, Result]) -> None:
    assert [result.text for result in expected.values()] == ["can you hear me", "hello how are you today"]


def test_pocketsphinx_shows_words_as_they_are_written() -> None:
    found = ["<s>", "the(2)", "<sil>", "capital(12)", "[NOISE]", "++NOISE++", "o'clock", "</s>"]

    assert cleaned(found) == ["the", "capital", "o'clock"]
