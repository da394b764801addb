"""What the embedded engine promises beyond the contract: who hears what, also when something is missing."""

import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from asr_service import engines
from asr_service.engines.base import Engine, Result, Step, Task
from asr_service.engines.embedded import EmbeddedEngine
from asr_service.engines.fake import FakeEngine, FakeRecogniser, Line
from asr_service.settings import AsrSettings
from tests.support.speech import cut, silence, speech, tone

pytestmark = pytest.mark.contract

ENOUGH_SAMPLES = 15_000  # of sound, to find out a language on the way


class OpenedRecogniser(FakeRecogniser):
    """Tells the language that it finds out only when it has heard enough, or at the end."""

    is_closed = False

    def __init__(self, script: tuple[Line, ...], language: str) -> None:
        self.tasks: list[Task] = []
        super().__init__(script, language=language)
        self.tasks.clear()

    def start(self, task: Task) -> None:
        super().start(task)
        self.tasks.append(task)
        self.heard = b""

    def hear(self, pcm: bytes) -> None:
        super().hear(pcm)
        self.heard += pcm

    def read(self) -> Result:
        is_unsure = self._language and not self.tasks[-1].language and self._sound_samples < ENOUGH_SAMPLES
        return Result("") if is_unsure else super().read()

    def close(self) -> None:
        self.is_closed = True


class OpenedEngine(FakeEngine):
    """Keeps what it opened; reads its own name, and says `found` of a language that it is not told."""

    most_joined = 4
    translates = True

    def __init__(self, name: str, languages: tuple[str, ...], found: str = "") -> None:
        super().__init__(languages=languages)
        self.name = name
        self.detects = bool(found)
        self.found = found
        self.opened: list[OpenedRecogniser] = []
        self.calls: list[Sequence[Step]] = []

    def open(self) -> FakeRecogniser:
        self.opened.append(OpenedRecogniser((Line(1, self.name),), self.found))
        return self.opened[-1]

    def is_incremental(self, language: str) -> bool:
        return self.name == "an English one"

    def joins(self, first: Step, other: Step) -> bool:
        return len(first.pcm) == len(other.pcm)

    def read(self, steps: Sequence[Step]) -> list[Result | Exception]:
        self.calls.append(steps)
        return super().read(steps)


@pytest.fixture
def english() -> OpenedEngine:
    return OpenedEngine("an English one", ("en",))


@pytest.fixture
def others() -> OpenedEngine:
    return OpenedEngine("another one", ("en", "zh", "ko"), found="ko")


@pytest.fixture(scope="module")
def embedded() -> Engine:
    return engines.load("embedded", AsrSettings())


def test_it_understands_what_its_engines_do_english_first(english: OpenedEngine, others: OpenedEngine) -> None:
    both, one = EmbeddedEngine(english, others), EmbeddedEngine(english, None)

    assert (both.languages, one.languages) == (("en", "zh", "ko"), ("en",))
    assert (both.detects, both.translates, both.tells_words, both.most_joined) == (True, True, True, 4)
    assert (one.detects, one.translates, one.tells_words, one.most_joined) == (False, False, True, 1)
    assert [both.is_incremental(language) for language in ("en-GB", "ko", "")] == [True, False, False]
    assert one.is_incremental("")
    assert not both.shares_model


@pytest.mark.parametrize(
    ("language", "reader"),
    [("en", "an English one"), ("EN-us", "an English one"), ("zh-CN", "another one"), ("ko", "another one")],
)
def test_the_language_picks_the_reader(english: OpenedEngine, others: OpenedEngine, language: str, reader: str) -> None:
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start(Task(language, translate=True))
    recogniser.hear(tone(100))

    assert recogniser.read() == Result(reader)
    assert recogniser.finish().text == reader
    assert [one.tasks for one in english.opened + others.opened] == [[Task(language, translate=True)]]


def test_a_decoder_is_opened_when_it_is_needed_and_kept(english: OpenedEngine, others: OpenedEngine) -> None:
    recogniser = EmbeddedEngine(english, others).open()
    assert (len(english.opened), len(others.opened)) == (0, 0)
    for language in ("ko", "zh", ""):
        recogniser.start(Task(language))
    assert (len(english.opened), len(others.opened)) == (0, 1)
    for language in ("en", "ko", "en"):
        recogniser.start(Task(language))

    assert (len(english.opened), len(others.opened)) == (1, 1)


def test_the_end_closes_both(english: OpenedEngine, others: OpenedEngine) -> None:
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start(Task("en"))
    recogniser.start(Task("ko"))
    recogniser.close()
    recogniser.close()

    assert [one.is_closed for one in english.opened + others.opened] == [True, True]


@pytest.mark.parametrize("language", ["ko", ""])
def test_english_serves_any_language_where_there_is_nothing_else(english: OpenedEngine, language: str) -> None:
    engine = EmbeddedEngine(english, None)
    recogniser = engine.open()
    step = Step(recogniser, tone(100), is_end=False, task=Task(language))

    assert not engine.joins(step, step)
    assert engine.read([step]) == [Result("an English one")]


def test_english_serves_an_unknown_language_where_nothing_else_finds_it_out(
    english: OpenedEngine, others: OpenedEngine
) -> None:
    others.detects = False
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start(Task(""))
    recogniser.hear(tone(2_000))

    assert recogniser.finish().text == "an English one"
    assert others.opened == []


def test_english_that_was_found_out_is_heard_again_from_its_beginning(
    english: OpenedEngine, others: OpenedEngine
) -> None:
    others.found = "en"
    pcm = tone(2_000)
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start(Task("", words=True))
    found = []
    for chunk in cut(pcm, 16_000):
        recogniser.hear(chunk)
        found.append(recogniser.read())

    assert found == [Result(""), *[Result("an English one", language="en")] * 3]
    assert recogniser.finish().language == "en"
    assert [one.tasks for one in english.opened] == [[Task("en", words=True)]]
    assert [one.heard for one in english.opened] == [pcm]
    assert [one.heard for one in others.opened] == [pcm[:32_000]]


def test_what_was_found_out_to_be_another_language_stays_where_it_is(
    english: OpenedEngine, others: OpenedEngine
) -> None:
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start(Task(""))
    recogniser.hear(tone(1_500))

    assert recogniser.read() == Result("another one", language="ko")
    assert recogniser.finish().language == "ko"
    assert english.opened == []


def test_at_an_early_end_english_is_read_and_what_goes_on_is_still_looked_at(
    english: OpenedEngine, others: OpenedEngine
) -> None:
    others.found = "en"
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start(Task(""))
    recogniser.hear(tone(300))
    ended = recogniser.finish()
    assert (ended.text, ended.language) == ("an English one", "en")
    recogniser.hear(tone(300))
    assert recogniser.read() == Result("")
    assert recogniser.finish().spans[0].end_samples == 9_600
    recogniser.hear(tone(900))
    assert recogniser.finish().spans[0].end_samples == 24_000
    recogniser.hear(tone(500))

    assert recogniser.finish().spans[0].end_samples == 32_000
    assert len(english.opened[0].tasks) == 3, "since it is known for good, nothing is heard again"


def test_an_early_end_in_another_language_is_read_there(english: OpenedEngine, others: OpenedEngine) -> None:
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start(Task(""))
    recogniser.hear(tone(300))
    ended = recogniser.finish()

    assert (ended.text, ended.language) == ("another one", "ko")
    assert english.opened == []


def begun(engine: Engine, language: str, ms: int = 500) -> Step:
    return Step(engine.open(), tone(ms), is_end=False, task=Task(language))


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [("ko", "zh", True), ("ko", "en", False), ("en", "en", False), ("ko", "", False), ("", "", False)],
)
def test_what_the_other_engine_reads_joins_there(
    english: OpenedEngine, others: OpenedEngine, first: str, other: str, expected: bool
) -> None:
    engine = EmbeddedEngine(english, others)

    assert engine.joins(begun(engine, first), begun(engine, other)) is expected
    assert not engine.joins(begun(engine, first), begun(engine, other, ms=600)), "they do not join there"
    assert english.opened == [], "nobody has heard anything yet"


def test_steps_that_join_are_read_in_one_call_of_the_other_engine(english: OpenedEngine, others: OpenedEngine) -> None:
    engine = EmbeddedEngine(english, others)
    steps = [begun(engine, "ko"), begun(engine, "zh")]
    found = engine.read(steps)
    more = [Step(step.recogniser, tone(100), is_end=True) for step in steps]

    assert found == [Result("another one")] * 2
    assert engine.joins(*more)
    assert [one.spans[0].end_samples for one in engine.read(more) if isinstance(one, Result)] == [9_600, 9_600]
    assert [len(call) for call in others.calls] == [2, 2]
    assert [one.tasks for one in others.opened] == [[Task("ko")], [Task("zh")]]


def test_what_is_english_or_may_be_does_not_join_later_either(english: OpenedEngine, others: OpenedEngine) -> None:
    engine = EmbeddedEngine(english, others)
    steps = {language: begun(engine, language) for language in ("ko", "en", "")}
    for step in steps.values():
        step.run()
    later = {language: Step(step.recogniser, tone(600), is_end=False) for language, step in steps.items()}

    assert not engine.joins(later["ko"], later["en"])
    assert not engine.joins(later["ko"], later[""])
    later[""].run()
    assert engine.joins(later["ko"], later[""]), "it is known to be Korean now"


def test_without_the_model_english_is_understood_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        engine = engines.load("embedded", AsrSettings().model_copy(update={"model_path": tmp_path}))

    assert engine.languages == ("en",)
    assert [record.message for record in caplog.records] == ["English alone is understood"]
    assert caplog.records[0].__dict__["reason"] == f"{tmp_path / 'model.bin'} is missing"


def test_one_recogniser_hears_three_languages_in_turn(embedded: Engine) -> None:
    assert embedded.languages == ("en", "zh", "ko")
    heard = []
    with closing(embedded.open()) as recogniser:
        for language, name in (("zh", "nihao"), ("en", "can_you_hear_me"), ("ko", "annyeonghaseyo")):
            recogniser.start(Task(language))
            recogniser.hear(silence(300) + speech(name) + silence(200))
            heard.append(recogniser.finish().text)

    assert heard[1] == "can you hear me"
    assert heard[0][:1] in "你您"
    assert heard[2][:1] == "안"


def test_one_recogniser_finds_out_three_languages_in_turn(embedded: Engine) -> None:
    names = ("jintian_tianqi_zenmeyang", "what_is_the_capital_of_france", "oneul_nalssi_eottaeyo")
    heard = []
    with closing(embedded.open()) as recogniser:
        for name in names:
            recogniser.start(Task(""))
            for chunk in cut(silence(300) + speech(name) + silence(200), 6_400):
                recogniser.hear(chunk)
                recogniser.read()
            heard.append(recogniser.finish())

    assert [result.language for result in heard] == ["zh", "en", "ko"]
    assert heard[1].text == "what is the capital of france"
