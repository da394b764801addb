"""One contract for every recogniser: what a stretch reads like depends on its audio alone."""

from collections.abc import Iterator
from itertools import zip_longest

import pytest

from asr_service import engines
from asr_service.engines.base import Engine, Recogniser, Result
from asr_service.engines.pocketsphinx import cleaned
from tests.support.speech import cut, silence, speech

pytestmark = pytest.mark.contract

QUESTION = silence(300) + speech("can_you_hear_me") + silence(200)
GREETING = silence(300) + speech("hello_how_are_you_today") + silence(200)


@pytest.fixture(scope="module", params=sorted(engines.ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return engines.load(request.param)


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
def expected(pair: tuple[Recogniser, Recogniser]) -> dict[bytes, Result]:
    """What the second recogniser makes of the audio, whole."""
    return {pcm: read(pair[1], [pcm]) for pcm in (QUESTION, GREETING)}


def read(recogniser: Recogniser, chunks: list[bytes]) -> Result:
    recogniser.start("en")
    for chunk in chunks:
        recogniser.accept(chunk)
    return recogniser.finish()


def test_an_engine_is_called_as_the_table_calls_it(engine: Engine) -> None:
    assert engines.load(engine.name).name == engine.name
    assert engine.languages


@pytest.mark.parametrize(
    "chunks", [cut(QUESTION, 1_234), [*cut(QUESTION[:1_000], 2), QUESTION[1_000:]]], ids=["chunks", "samples"]
)
def test_the_same_audio_reads_the_same_however_it_is_cut(
    recogniser: Recogniser, expected: dict[bytes, Result], chunks: list[bytes]
) -> None:
    assert expected[QUESTION] == read(recogniser, chunks)


def test_a_stretch_reads_the_same_after_another_one_that_was_given_up(
    recogniser: Recogniser, expected: dict[bytes, Result]
) -> None:
    recogniser.start("en")
    readings = [recogniser.accept(chunk) for chunk in cut(GREETING[:32_000], 3_200)]

    assert readings[0] == ""
    assert len(set(readings)) > 1, "there was a text before the end"
    assert expected[QUESTION] == read(recogniser, [QUESTION])


def test_spans_lie_in_order_inside_the_audio_and_make_up_the_text(expected: dict[bytes, Result]) -> None:
    for pcm, result in expected.items():
        edges = [edge for span in result.spans for edge in (span.start_samples, span.end_samples)]

        assert sorted(edges) == edges
        assert 0 <= edges[0] < edges[-1] <= len(pcm) // 2
        assert result.text == " ".join(span.text for span in result.spans)


@pytest.mark.parametrize("pcm", [silence(1_000), b"", bytes(2)], ids=["silence", "no audio", "one sample"])
def test_nothing_reads_as_nothing_also_after_speech(
    pair: tuple[Recogniser, Recogniser], expected: dict[bytes, Result], pcm: bytes
) -> None:
    assert Result("") == read(pair[1], [pcm])


def test_two_recognisers_side_by_side_do_not_mix(
    pair: tuple[Recogniser, Recogniser], expected: dict[bytes, Result]
) -> None:
    for recogniser in pair:
        recogniser.start("en")
    for chunks in zip_longest(cut(QUESTION, 9_600), cut(GREETING, 9_600), fillvalue=b""):
        for recogniser, chunk in zip(pair, chunks, strict=True):
            recogniser.accept(chunk)

    assert list(expected.values()) == [recogniser.finish() for recogniser in pair]


def test_a_recogniser_may_be_closed_twice_and_in_mid_stretch(engine: Engine) -> None:
    recogniser = engine.open()
    recogniser.start("en")
    recogniser.accept(silence(100))
    recogniser.close()
    recogniser.close()


@pytest.mark.parametrize("engine", ["pocketsphinx"], indirect=True)
def test_pocketsphinx_understands_speech(expected: dict[bytes, Result]) -> None:
    assert [result.text for result in expected.values()] == ["can you hear me", "hello how are you today"]


def test_pocketsphinx_shows_words_as_they_are_written() -> None:
    found = ["<s>", "the(2)", "<sil>", "capital(12)", "[NOISE]", "++NOISE++", "o'clock", "</s>"]

    assert cleaned(found) == ["the", "capital", "o'clock"]
