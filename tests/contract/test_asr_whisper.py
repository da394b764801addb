"""What the Whisper engine promises beyond the contract: what it reads, how little it looks at, and what it refuses."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from asr_service.engines.base import Result
from asr_service.engines.faster_whisper import (
    QUANTUM,
    BandFilters,
    Samples,
    Whisper,
    WhisperEngine,
    WhisperRecogniser,
    check_folder,
    levels,
    load,
)
from asr_service.settings import AsrSettings
from tests.support.speech import cut, noise, silence, speech, tone

pytestmark = pytest.mark.contract

FOLDER = AsrSettings().model_path
SENTENCES = {
    "zh": {
        "jintian_tianqi_zenmeyang": "今天天气怎么样",
        "nihao": "你好",
        "gei_wo_jiang_ge_gushi": "给我讲个故事",
    },
    "ko": {
        "oneul_nalssi_eottaeyo": "오늘 날씨 어때요",
        "annyeonghaseyo": "안녕하세요",
        "iyagi_hana_hae_juseyo": "이야기 하나 해 주세요",
    },
}
SECOND = 16_000  # samples


@pytest.fixture(scope="module")
def whisper() -> Whisper:
    return Whisper(FOLDER, "cpu", "int8", pad_ms=300, workers=1)


@pytest.fixture
def recogniser(whisper: Whisper) -> WhisperRecogniser:
    return WhisperRecogniser(whisper)


def read(recogniser: WhisperRecogniser, language: str, chunks: list[bytes]) -> Result:
    recogniser.start(language)
    for chunk in chunks:
        recogniser.accept(chunk)
    return recogniser.finish()


def errors(said: str, text: str) -> int:
    """Characters to insert, delete or replace."""
    row = list(range(len(text) + 1))
    for place, sign in enumerate(said, 1):
        corner, row[0] = row[0], place
        for column, other in enumerate(text, 1):
            corner, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, corner + (sign != other))
    return row[-1]


def as_samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) * QUANTUM


@pytest.mark.parametrize("language", SENTENCES)
def test_what_it_was_taught_is_understood(recogniser: WhisperRecogniser, language: str) -> None:
    said = SENTENCES[language]
    texts = {name: read(recogniser, language, [silence(300) + speech(name) + silence(200)]).text for name in said}

    wrong = sum(errors(said[name], text) for name, text in texts.items())
    assert any(said[name] == text for name, text in texts.items()), texts
    assert wrong / sum(map(len, said.values())) <= 0.3, texts


@pytest.mark.parametrize("language", SENTENCES)
def test_no_reading_on_the_way_ends_within_a_character(recogniser: WhisperRecogniser, language: str) -> None:
    for name in SENTENCES[language]:
        recogniser.start(language)
        readings = [recogniser.accept(chunk) for chunk in cut(silence(300) + speech(name), 3_200)]
        assert not any("\N{REPLACEMENT CHARACTER}" in (reading or "") for reading in readings)


@pytest.mark.parametrize("name", ["jintian_tianqi_zenmeyang", "oneul_nalssi_eottaeyo"])
def test_a_language_that_is_not_pinned_is_detected(recogniser: WhisperRecogniser, name: str) -> None:
    language = "zh" if name.startswith("jin") else "ko"
    pcm = silence(300) + speech(name) + silence(200)

    assert read(recogniser, language, [pcm]) == read(recogniser, "und", cut(pcm, 3_200))


def test_a_region_of_a_language_is_that_language(recogniser: WhisperRecogniser) -> None:
    pcm = speech("nihao") + silence(200)

    assert read(recogniser, "zh", [pcm]) == read(recogniser, "zh-TW", [pcm])


@pytest.mark.parametrize("pcm", [silence(4_000), noise(1_000), noise(2_000, seed=2)], ids=["silence", "noise", "more"])
def test_no_speech_reads_as_nothing(recogniser: WhisperRecogniser, pcm: bytes) -> None:
    assert Result("") == read(recogniser, "zh", cut(pcm, 3_200))


def test_more_than_one_reading_may_hold_is_read_in_pieces(whisper: Whisper, recogniser: WhisperRecogniser) -> None:
    names = ["jintian_tianqi_zenmeyang", "gei_wo_jiang_ge_gushi"]
    pcm = silence(300) + silence(whisper.longest_samples // 32).join(speech(name) for name in names) + silence(200)
    said = "".join(SENTENCES["zh"][name] for name in names)

    whole = read(recogniser, "zh", [pcm])

    assert whole == read(recogniser, "zh", cut(pcm, 3_200))
    assert len(whole.spans) == 2
    assert whole.text == "".join(span.text for span in whole.spans)
    assert errors(said, whole.text) / len(said) <= 0.3
    edges = [edge for span in whole.spans for edge in (span.start_samples, span.end_samples)]
    assert sorted(edges) == edges
    assert edges[-1] <= len(pcm) // 2


def test_a_span_is_where_the_sound_is(recogniser: WhisperRecogniser) -> None:
    pcm = silence(300) + speech("nihao") + silence(400)
    (span,) = read(recogniser, "zh", [pcm]).spans

    assert abs(span.start_samples - 300 * 16) <= 80 * 16
    assert abs(span.end_samples - (len(pcm) // 2 - 400 * 16)) <= 80 * 16


class WatchedWhisper(Whisper):
    """Notes how long its windows are; a hundredth of a second a frame."""

    def __init__(self, pad_ms: int = 300) -> None:
        super().__init__(FOLDER, "cpu", "int8", pad_ms, workers=1)
        self.windows: list[int] = []

    def _encoded(self, samples: Samples) -> object:
        encoded = super()._encoded(samples)
        self.windows.append(encoded.shape[1] * 2)
        return encoded


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(SECOND // 10, 50), (SECOND // 5, 50), (SECOND // 5 + 1, 100), (2 * SECOND, 250), (int(7.7 * SECOND), 800)],
)
def test_the_model_looks_at_what_was_spoken_and_its_pad_alone(samples: int, frames: int) -> None:
    whisper = WatchedWhisper()
    whisper.read(as_samples(noise(8_000))[:samples], "zh")

    assert whisper.windows == [frames]


def test_a_pad_is_never_more_than_the_model_can_look_at() -> None:
    whisper = WatchedWhisper(pad_ms=1_000)
    whisper.read(as_samples(noise(8_000))[: whisper.longest_samples], "zh")

    assert whisper.longest_samples == 7 * SECOND
    assert whisper.windows == [800]


class ScriptedWhisper(Whisper):
    """Says how much it was given to read, in tenths of a second, and was asked to detect."""

    languages = ("en", "zh")
    longest_samples = 8 * SECOND

    def __init__(self) -> None:
        self.read_tenths: list[int] = []
        self.detections: list[int] = []

    def read(self, samples: Samples, language: str) -> str:
        self.read_tenths.append(len(samples) // 1_600)
        return f" {language}{len(samples) // 1_600}"

    def detected(self, samples: Samples) -> str:
        self.detections.append(len(samples))
        return "zh"


def test_a_stretch_is_read_at_growing_intervals_and_once_at_its_end() -> None:
    whisper = ScriptedWhisper()
    result = read(WhisperRecogniser(whisper), "en", cut(tone(3_000), 640))

    assert whisper.read_tenths == [3, 8, 13, 21, 30]
    assert result == Result("en30", result.spans)


def test_a_stretch_that_was_read_to_its_end_is_not_read_again() -> None:
    whisper = ScriptedWhisper()
    read(WhisperRecogniser(whisper), "en", [tone(350)])

    assert whisper.read_tenths == [3]


def test_a_language_is_detected_once_in_a_stretch() -> None:
    whisper = ScriptedWhisper()
    recogniser = WhisperRecogniser(whisper)

    assert read(recogniser, "fr", cut(tone(3_000), 640)).text == "zh30"
    assert whisper.detections == [20_800]
    assert read(recogniser, "", [tone(500)]).text == "zh5"
    assert whisper.detections == [20_800, 8_000]


def test_of_a_long_stretch_what_was_read_for_good_is_not_read_again() -> None:
    whisper = ScriptedWhisper()
    pcm = tone(7_000) + silence(200) + tone(8_000)
    result = read(WhisperRecogniser(whisper), "en", cut(pcm, 3_200))

    assert max(whisper.read_tenths) <= 80
    assert result.text.split()[0] == "en71", "it was cut in the middle of the pause"
    assert [span.text for span in result.spans] == result.text.split()


def test_a_stretch_of_several_pieces_at_once_is_read_in_as_many() -> None:
    whisper = ScriptedWhisper()
    pcm = tone(25_000)
    result = read(WhisperRecogniser(whisper), "en", [pcm])

    assert max(whisper.read_tenths) <= 80
    assert len(result.spans) == 4
    assert result == read(WhisperRecogniser(ScriptedWhisper()), "en", cut(pcm, 6_400))


def test_recognisers_share_one_model() -> None:
    whisper = ScriptedWhisper()
    engine = WhisperEngine(whisper)
    for recogniser in (engine.open(), engine.open()):
        recogniser.start("en")
        recogniser.accept(tone(400))

    assert whisper.read_tenths == [3, 3]


def test_the_environment_names_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load().name == "faster-whisper"
    monkeypatch.setenv("ASR_MODEL_PATH", str(tmp_path / "large-v3"))
    with pytest.raises(FileNotFoundError, match="large-v3 is no folder"):
        load()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The model's folder, to be harmed."""
    for path in FOLDER.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_file_that_is_missing_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()

    with pytest.raises(FileNotFoundError, match=rf"{name} is missing"):
        Whisper(copied, "cpu", "int8", 300, 1)


@pytest.mark.parametrize(
    "name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json", "preprocessor_config.json"]
)
def test_a_file_that_is_cut_off_is_named(copied: Path, name: str) -> None:
    (copied / name).write_bytes((copied / name).read_bytes()[:60])

    with pytest.raises(ValueError, match=name):
        Whisper(copied, "cpu", "int8", 300, 1)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("preprocessor_config.json", '{"feature_size": 128}', "preprocessor_config.json does not fit the model"),
        ("config.json", "{}", "config.json and tokenizer.json name no languages"),
    ],
)
def test_a_file_of_another_model_is_named(copied: Path, name: str, text: str, fault: str) -> None:
    (copied / name).write_text(text)

    with pytest.raises(ValueError, match=fault):
        Whisper(copied, "cpu", "int8", 300, 1)


def test_the_vocabulary_of_older_models_is_a_text(copied: Path) -> None:
    (copied / "vocabulary.json").rename(copied / "vocabulary.txt")

    check_folder(copied)


def test_numbers_that_the_device_lacks_are_refused(copied: Path) -> None:
    with pytest.raises(ValueError, match="float16"):
        Whisper(copied, "cpu", "float16", 300, 1)


@pytest.mark.parametrize("frames", [1, 8, 9, 100])
def test_filters_in_small_products_are_the_whole_product(frames: int) -> None:
    random = np.random.default_rng(1)
    filters, magnitudes = (random.random(shape, np.float32) for shape in ((80, 201), (201, frames)))

    np.testing.assert_allclose(BandFilters(filters) @ magnitudes, filters @ magnitudes, rtol=1e-5)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [([], []), ([0.5] * 320, [0.5]), ([0.5] * 320 + [0.0] * 319, [0.5, 0.0]), ([0.4] * 80, [0.2])],
)
def test_a_level_is_the_rms_of_20_ms(samples: Sequence[float], expected: list[float]) -> None:
    found: Callable[..., list[float]] = levels

    assert found(np.array(samples, np.float32)) == pytest.approx(expected)
