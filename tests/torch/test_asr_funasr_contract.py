"""The contract of every recogniser, kept by each kind of FunASR model; what tiny models write makes no sense."""

from pathlib import Path

import pytest

from asr_service import engines
from asr_service.engines.base import Engine, Recogniser, Task
from asr_service.settings import AsrSettings
from tests.contract import test_asr_engines as contract
from tests.contract.test_asr_engines import Case
from tests.support.speech import cut

pytestmark = pytest.mark.contract

KINDS = {
    "streaming": {"model_path": "streaming"},
    "streaming with punctuation": {"model_path": "streaming", "punctuation_path": "punctuation"},
    "streaming and finals": {"model_path": "streaming", "final_model_path": "sense-voice"},
    "sense-voice": {"model_path": "sense-voice"},
    "paraformer": {"model_path": "paraformer"},
}
NOT_HERE = (
    "test_every_engine_is_under_contract",
    "test_an_engine_is_called_as_the_table_calls_it",  # its languages are those of the folder
    "test_words_lie_in_order_inside_their_span_and_make_up_its_text",  # it knows no times of words
    "test_a_stretch_goes_on_after_its_end",  # see below: what a stretch read like at an end may be read anew
)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case("funasr", *contract.CHINESE)


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, folders: Path) -> Engine:
    paths = {name: folders / folder for name, folder in KINDS[request.param].items()}
    return engines.load("funasr", AsrSettings.model_validate(paths))


# The contract itself, with the engines and the case of this file.
globals().update(
    {
        name: thing
        for name, thing in vars(contract).items()
        if name in ("pair", "recogniser", "expected")
        or (name.startswith("test_") and "pocketsphinx" not in name and name not in NOT_HERE)
    }
)


def test_an_engine_is_called_as_the_table_calls_it_and_hears_the_language(engine: Engine, case: Case) -> None:
    assert engine.name == case.engine
    assert engine.languages[0] == case.language


def test_the_two_stretches_do_not_read_the_same(engine: Engine, case: Case) -> None:
    """Else nothing here would be seen of streams that mix."""
    one = engine.open()
    found = [contract.read(one, Task(case.language), [pcm]).text for pcm in (case.question, case.greeting)]

    assert found[0] != found[1]
    assert all(found)


def test_a_stretch_that_goes_on_after_its_end_reads_as_if_it_had_never_ended(
    engine: Engine, recogniser: Recogniser, case: Case
) -> None:
    both = case.question + case.greeting
    whole = contract.read(recogniser, Task(case.language), [both])
    recogniser.start(Task(case.language))
    for chunk in cut(both, 6_400):
        recogniser.hear(chunk)
        recogniser.finish()

    assert whole == recogniser.finish()


def test_a_first_reading_is_made_of_something(engine: Engine, case: Case) -> None:
    recogniser = engine.open()
    engine.warm_up(recogniser, Task(case.language))

    assert recogniser.finish().text
