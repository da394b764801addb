"""What a Whisper recogniser asks its model: what has grown and no more, in pieces, in one language, and with others."""

from collections.abc import Sequence

import pytest

from asr_service.engines.base import Result, Step, Task, Word
from asr_service.engines.faster_whisper import WhisperEngine, WhisperRecogniser
from asr_service.engines.sound import Samples
from asr_service.engines.whisper_model import Whisper, Window
from tests.support.speech import cut, silence, tone

pytestmark = pytest.mark.contract

SECOND = 16_000  # samples


def read(recogniser: WhisperRecogniser, language: str, chunks: list[bytes]) -> Result:
    """The end of a stretch that is read after each chunk."""
    recogniser.start(Task(language))
    for chunk in chunks:
        recogniser.hear(chunk)
        recogniser.read()
    return recogniser.finish()


class ScriptedWhisper(Whisper):
    """Says how much it was given to read, in tenths of a second, and notes what it was asked."""

    languages = ("en", "zh")
    detects = True
    translates = True
    longest_samples = 8 * SECOND

    def __init__(self) -> None:
        self._pad_samples = 4_800
        self._most_frames = 800
        self.calls: list[list[int]] = []
        self.detections: list[int] = []
        self.aligned: list[int] = []

    @property
    def read_tenths(self) -> list[int]:
        return [tenths for call in self.calls for tenths in call]

    def read(self, windows: Sequence[Window]) -> list[str]:
        self.calls.append([len(window.samples) // 1_600 for window in windows])
        return [f" {window.language}{len(window.samples) // 1_600}{'t' * window.translate}" for window in windows]

    def detected(self, samples: Samples) -> str:
        self.detections.append(len(samples))
        return "zh" if len(samples) >= 8_000 else "en"

    def words(self, window: Window, text: str) -> list[Word]:
        self.aligned.append(len(window.samples))
        return [Word(0, len(window.samples), text.strip())]


@pytest.fixture
def scripted() -> ScriptedWhisper:
    return ScriptedWhisper()


def test_a_stretch_is_read_when_it_is_asked_for_and_has_grown(scripted: ScriptedWhisper) -> None:
    recogniser = WhisperRecogniser(scripted)
    recogniser.start(Task("en"))
    assert [recogniser.read(), recogniser.finish()] == [Result("")] * 2
    recogniser.hear(tone(300))
    recogniser.hear(tone(300))
    assert scripted.read_tenths == []
    assert recogniser.read() == recogniser.read() == Result("en6")
    ended = recogniser.finish()
    assert ended == Result("en6", ended.spans) == recogniser.finish()
    recogniser.hear(tone(400))

    assert recogniser.finish().text == "en10"
    assert scripted.read_tenths == [6, 10]


def test_a_language_is_detected_once_in_a_stretch_after_enough_of_it(scripted: ScriptedWhisper) -> None:
    recogniser = WhisperRecogniser(scripted)
    recogniser.start(Task(""))
    texts = []
    for chunk in cut(tone(2_000), 6_400):
        recogniser.hear(chunk)
        texts.append(recogniser.read())

    assert texts[:6] == [Result("")] * 6
    assert texts[6:] == [Result(f"zh{tenths}", language="zh") for tenths in (14, 16, 18, 20)]
    assert scripted.detections == [20_800]


def test_an_early_end_is_read_in_the_language_of_what_there_is_which_is_not_kept(scripted: ScriptedWhisper) -> None:
    recogniser = WhisperRecogniser(scripted)
    recogniser.start(Task("fr"))
    recogniser.hear(tone(400))
    ended = recogniser.finish()
    assert (ended.text, ended.language) == ("en4", "en")
    recogniser.hear(tone(400))
    assert recogniser.read() == Result("en4", language="en"), "so far"
    recogniser.hear(tone(1_200))

    assert recogniser.read() == Result("zh20", language="zh")
    assert recogniser.finish().text == "zh20"
    assert scripted.detections == [6_400, 20_800]


def test_in_too_little_to_be_read_no_language_is_looked_for(scripted: ScriptedWhisper) -> None:
    assert read(WhisperRecogniser(scripted), "", [tone(99)]).language == ""
    assert scripted.detections == []


def test_what_knows_one_language_detects_none(scripted: ScriptedWhisper) -> None:
    scripted.detects = False

    assert read(WhisperRecogniser(scripted), "", [tone(500)]).text == "en5"
    assert read(WhisperRecogniser(scripted), "zh-TW", [tone(500)]).text == "zh5"
    assert scripted.detections == []


def test_of_a_long_stretch_what_was_read_for_good_is_not_read_again(scripted: ScriptedWhisper) -> None:
    pcm = tone(7_000) + silence(200) + tone(8_000)
    result = read(WhisperRecogniser(scripted), "en", cut(pcm, 3_200))

    assert max(scripted.read_tenths) <= 80
    assert result.text.split()[0] == "en71", "it was cut in the middle of the pause"
    assert [span.text for span in result.spans] == result.text.split()


def test_a_stretch_of_several_pieces_at_once_is_read_in_as_many(scripted: ScriptedWhisper) -> None:
    pcm = tone(25_000)
    result = read(WhisperRecogniser(scripted), "en", [pcm])

    assert max(scripted.read_tenths) <= 80
    assert len(result.spans) == 4
    assert result == read(WhisperRecogniser(ScriptedWhisper()), "en", cut(pcm, 6_400))


def test_words_are_looked_for_once_at_the_end_in_every_piece(scripted: ScriptedWhisper) -> None:
    recogniser = WhisperRecogniser(scripted)
    recogniser.start(Task("en", words=True))
    recogniser.hear(silence(300) + tone(6_700) + silence(200) + tone(3_000))
    recogniser.read()
    assert [len(scripted.aligned), recogniser.finish()] == [1, recogniser.finish()], "the first piece was read for good"

    assert scripted.aligned == [114_240, 48_960], "it was cut in the pause"
    for span in recogniser.finish().spans:
        (word,) = span.words
        assert word == Word(span.start_samples, span.end_samples, span.text)


def test_it_translates_where_it_is_asked_to(scripted: ScriptedWhisper) -> None:
    recogniser = WhisperRecogniser(scripted)
    recogniser.start(Task("zh", translate=True))
    recogniser.hear(tone(400))

    assert recogniser.finish().text == "zh4t"


def test_recognisers_share_one_model(scripted: ScriptedWhisper) -> None:
    engine = WhisperEngine(scripted)
    for recogniser in (engine.open(), engine.open()):
        recogniser.start(Task("en"))
        recogniser.hear(tone(400))
        recogniser.read()

    assert engine.shares_model
    assert scripted.read_tenths == [4, 4]


PLAIN = Task("en")


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ((PLAIN, 1_000), (PLAIN, 1_200), True),
        ((PLAIN, 1_000), (PLAIN, 1_201), False),  # with its pad, half a second more
        ((PLAIN, 1_000), (Task("zh-TW", translate=True), 1_000), True),
        ((PLAIN, 1_000), (Task("fr"), 1_000), False),
        ((Task(""), 2_000), (Task(""), 2_000), False),
        ((PLAIN, 1_000), (Task("en", words=True), 1_000), False),
        ((PLAIN, 7_800), (PLAIN, 8_000), True),
        ((PLAIN, 8_001), (PLAIN, 8_001), False),  # more than one reading
        ((PLAIN, 99), (PLAIN, 99), False),  # nothing to read
    ],
)
def test_windows_of_one_length_join(
    scripted: ScriptedWhisper, first: tuple[Task, int], other: tuple[Task, int], expected: bool
) -> None:
    engine = WhisperEngine(scripted)
    one, two = (Step(engine.open(), tone(ms), is_end=True, task=task) for task, ms in (first, other))

    assert engine.joins(one, two) is engine.joins(two, one) is expected


def test_steps_within_a_stretch_join_by_all_that_was_heard(scripted: ScriptedWhisper) -> None:
    engine = WhisperEngine(scripted)
    begun = [Step(engine.open(), tone(ms), is_end=False, task=Task(told)) for told, ms in (("", 1_500), ("en", 500))]
    for step in begun:
        step.run()
    one, two = (Step(step.recogniser, tone(ms), is_end=True) for step, ms in zip(begun, (500, 1_500), strict=True))

    assert engine.joins(one, two)
    assert [one.text for one in engine.read([one, two]) if isinstance(one, Result)] == ["zh20", "en20"]
    assert scripted.calls == [[15], [5], [20, 20]]
    assert not engine.joins(*(Step(step.recogniser, b"", is_end=True) for step in begun)), "all is read"
    fresh = [Step(step.recogniser, tone(200), is_end=True, task=Task("en")) for step in begun]
    assert engine.joins(*fresh), "what was heard before counts no more"
