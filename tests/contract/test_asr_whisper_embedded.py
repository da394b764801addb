"""What the embedded engine promises beyond the contract: who hears what, also when something is missing."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from asr_service import engines
from asr_service.engines.base import Engine
from asr_service.engines.embedded import EmbeddedEngine
from asr_service.engines.fake import FakeEngine, FakeRecogniser, Line
from tests.support.speech import silence, speech, tone

pytestmark = pytest.mark.contract


class OpenedRecogniser(FakeRecogniser):
    is_closed = False
    language = ""

    def start(self, language: str) -> None:
        super().start(language)
        self.language = language

    def close(self) -> None:
        self.is_closed = True


class OpenedEngine(FakeEngine):
    """Keeps what it opened; reads its own name."""

    def __init__(self, name: str, languages: tuple[str, ...]) -> None:
        super().__init__(languages=languages)
        self.name = name
        self.opened: list[OpenedRecogniser] = []

    def open(self) -> FakeRecogniser:
        self.opened.append(OpenedRecogniser((Line(1, self.name),), lambda: None))
        return self.opened[-1]


@pytest.fixture
def english() -> OpenedEngine:
    return OpenedEngine("an English one", ("en",))


@pytest.fixture
def others() -> OpenedEngine:
    return OpenedEngine("another one", ("en", "zh", "ko"))


@pytest.fixture(scope="module")
def embedded() -> Iterator[Engine]:
    yield engines.load("embedded")


def test_it_understands_what_its_engines_do_english_first(english: OpenedEngine, others: OpenedEngine) -> None:
    assert EmbeddedEngine(english, others).languages == ("en", "zh", "ko")
    assert EmbeddedEngine(english, None).languages == ("en",)


@pytest.mark.parametrize(
    ("language", "reader"),
    [("en", "an English one"), ("EN-us", "an English one"), ("zh-CN", "another one"), ("ko", "another one")],
)
def test_the_language_picks_the_reader(english: OpenedEngine, others: OpenedEngine, language: str, reader: str) -> None:
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start(language)

    assert recogniser.accept(tone(100)) == reader
    assert recogniser.finish().text == reader
    assert [one.language for one in english.opened + others.opened] == [language]


def test_a_decoder_is_opened_when_it_is_needed_and_kept(english: OpenedEngine, others: OpenedEngine) -> None:
    recogniser = EmbeddedEngine(english, others).open()
    assert (len(english.opened), len(others.opened)) == (0, 0)
    for language in ("ko", "zh", "en", "ko", "en"):
        recogniser.start(language)

    assert (len(english.opened), len(others.opened)) == (1, 1)


def test_the_end_closes_both(english: OpenedEngine, others: OpenedEngine) -> None:
    recogniser = EmbeddedEngine(english, others).open()
    recogniser.start("en")
    recogniser.start("ko")
    recogniser.close()
    recogniser.close()

    assert [one.is_closed for one in english.opened + others.opened] == [True, True]


def test_english_serves_any_language_where_there_is_nothing_else(english: OpenedEngine) -> None:
    recogniser = EmbeddedEngine(english, None).open()
    recogniser.start("ko")

    assert recogniser.accept(tone(100)) == "an English one"


def test_without_the_model_english_is_understood_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ASR_MODEL_PATH", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        engine = engines.load("embedded")

    assert engine.languages == ("en",)
    assert [record.message for record in caplog.records] == ["English alone is understood"]
    assert caplog.records[0].__dict__["reason"] == f"{tmp_path / 'model.bin'} is missing"


def test_one_recogniser_hears_three_languages_in_turn(embedded: Engine) -> None:
    assert embedded.languages == ("en", "zh", "ko")
    heard = []
    with closing(embedded.open()) as recogniser:
        for language, name in (("zh", "nihao"), ("en", "can_you_hear_me"), ("ko", "annyeonghaseyo")):
            recogniser.start(language)
            recogniser.accept(silence(300) + speech(name) + silence(200))
            heard.append(recogniser.finish().text)

    assert heard[1] == "can you hear me"
    assert heard[0][:1] in "你您"
    assert heard[2][:1] == "안"
