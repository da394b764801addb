"""What the FunASR engine promises beyond the contract: which model says what, and what it refuses to load."""

import logging
import shutil
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_service import engines
from asr_service.demo_model import tiny_funasr
from asr_service.engines import funasr_models
from asr_service.engines.base import Engine, Result, Task
from asr_service.engines.funasr_folder import PARAFORMERS, SENSE_VOICE, STREAMING, opened
from asr_service.engines.funasr_models import CHUNK_SAMPLES, StreamingModel, WindowModel, prepare, written
from asr_service.engines.funasr_window import LONGEST_SAMPLES, WindowReader, WindowStretch, joined
from asr_service.engines.sound import as_samples
from asr_service.settings import AsrSettings
from tests.support.speech import cut, noise, silence, speech

pytestmark = pytest.mark.contract

CHINESE = Task("zh")
QUESTION = silence(300) + speech("jintian_tianqi_zenmeyang") + silence(200)
CHUNK_BYTES = 2 * CHUNK_SAMPLES
SECOND = 16_000  # samples


def load(**paths: Path) -> Engine:
    return engines.load("funasr", AsrSettings.model_validate(paths))


def read(engine: Engine, pcm: bytes, task: Task = CHINESE, chunk_bytes: int = 6_400) -> Result:
    recogniser = engine.open()
    recogniser.start(task)
    for chunk in cut(pcm, chunk_bytes):
        recogniser.hear(chunk)
    return recogniser.finish()


def partials(engine: Engine, pcm: bytes, chunk_bytes: int) -> list[str]:
    recogniser = engine.open()
    recogniser.start(CHINESE)
    texts = []
    for chunk in cut(pcm, chunk_bytes):
        recogniser.hear(chunk)
        texts.append(recogniser.read().text)
    return texts


@pytest.fixture
def copied(folders: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A folder that may be changed."""
    return lambda name: shutil.copytree(folders / name, tmp_path / name)


def retouched(path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    torch.save(change(torch.load(path, weights_only=True)["state_dict"]), path)


@pytest.fixture(scope="module")
def streaming(folders: Path) -> Engine:
    return load(model_path=folders / "streaming")


@pytest.fixture(scope="module")
def sense_voice(folders: Path) -> Engine:
    return load(model_path=folders / "sense-voice")


def test_partials_come_every_600_ms_and_only_grow(streaming: Engine) -> None:
    by_600_ms, by_200_ms = (partials(streaming, QUESTION, chunk) for chunk in (CHUNK_BYTES, CHUNK_BYTES // 3))

    assert by_600_ms[:4] == by_200_ms[2::3][:4]
    assert all(later.startswith(earlier) for earlier, later in pairwise(by_600_ms))
    assert read(streaming, QUESTION).text.startswith(by_600_ms[-1])


@pytest.mark.parametrize("samples", [*range(1_500, 20_000, 970), CHUNK_SAMPLES, 2 * CHUNK_SAMPLES])
def test_a_stretch_may_end_anywhere(streaming: Engine, samples: int) -> None:
    pcm = noise(2_000)[: 2 * samples]
    found = read(streaming, pcm)

    assert all(span.end_samples == samples for span in found.spans)
    assert read(streaming, pcm, chunk_bytes=2) == found


def test_words_are_joined_from_pieces_that_may_have_come_in_two_chunks() -> None:
    assert written(["今", "天", "hel@@", "lo", "day", "好", "<unk>"]) == "今天hello day好"


@pytest.mark.parametrize("name", ["streaming", "paraformer", "sense-voice", "punctuation"])
def test_threads_read_with_one_model_at_a_time(folders: Path, name: str) -> None:
    marks = {"model_path": folders / "streaming", "punctuation_path": folders / name}
    engine = load(**(marks if name == "punctuation" else {"model_path": folders / name}))
    sounds = [noise(3_000, seed) for seed in range(4)]
    alone = [read(engine, pcm) for pcm in sounds]
    together: dict[int, Result] = {}

    def read_one(place: int) -> None:
        together[place] = read(engine, sounds[place])

    threads = [threading.Thread(target=read_one, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({result.text for result in alone}) > 1
    assert alone == [together[place] for place in range(4)]


def test_a_model_for_finals_has_the_last_word(folders: Path, streaming: Engine) -> None:
    both = load(model_path=folders / "streaming", final_model_path=folders / "paraformer")
    alone = load(model_path=folders / "paraformer")

    assert both.is_incremental("zh")
    assert partials(both, QUESTION, CHUNK_BYTES) == partials(streaming, QUESTION, CHUNK_BYTES)
    assert read(both, QUESTION) == read(alone, QUESTION) != read(streaming, QUESTION)


@pytest.mark.parametrize("model", PARAFORMERS)
def test_each_kind_of_offline_paraformer_reads(tmp_path: Path, model: str) -> None:
    tiny_funasr.write_paraformer(tmp_path / model, model)
    engine = load(model_path=tmp_path / model)

    assert not engine.is_incremental("zh")
    assert read(engine, QUESTION).text


def test_sense_voice_reads_the_finals_of_a_chinese_model_in_chinese(folders: Path, sense_voice: Engine) -> None:
    both = load(model_path=folders / "streaming", final_model_path=folders / "sense-voice")

    assert not both.detects
    assert read(both, QUESTION, Task("")) == read(both, QUESTION) == read(sense_voice, QUESTION)


@pytest.mark.parametrize("name", ["streaming", "paraformer"])
def test_punctuation_is_put_to_finals_alone(folders: Path, name: str) -> None:
    plain = load(model_path=folders / name)
    marked = load(model_path=folders / name, punctuation_path=folders / "punctuation")
    found = read(marked, QUESTION)

    assert partials(marked, QUESTION, CHUNK_BYTES) == partials(plain, QUESTION, CHUNK_BYTES)
    assert found.text.endswith(("。", "？", "."))
    assert [span.text for span in found.spans] == [found.text]
    assert sounds_of(found.text) == sounds_of(read(plain, QUESTION).text)
    assert not set(read(plain, QUESTION).text) & set("，。？、")


def sounds_of(text: str) -> str:
    return "".join(sign for sign in text.lower() if sign.isalnum())


def test_sense_voice_is_left_its_own_punctuation(folders: Path, sense_voice: Engine) -> None:
    marked = load(model_path=folders / "sense-voice", punctuation_path=folders / "punctuation")

    assert read(marked, QUESTION) == read(sense_voice, QUESTION)


def test_a_text_that_looks_like_an_address_is_not_fetched(folders: Path) -> None:
    marks = funasr_models.PunctuationModel(opened(folders / "punctuation", "CTTransformer"), prepare("cpu", 1.0))

    assert marks.punctuated("http://127.0.0.1:9/") == "http://127.0.0.1:9/"
    assert marks.punctuated("") == ""


def test_sense_voice_writes_tags_that_are_cut_off_and_tell_the_language(folders: Path, sense_voice: Engine) -> None:
    model = WindowModel(opened(folders / "sense-voice", SENSE_VOICE), prepare("cpu", 1.0))
    raw = model.text(as_samples(QUESTION), "")
    found = read(sense_voice, QUESTION, Task(""))

    assert sense_voice.detects
    assert raw.startswith("<|zh|><|NEUTRAL|><|Speech|><|withitn|>")
    assert (found.text, found.language) == (without_tags(raw), "zh")


def without_tags(raw: str) -> str:
    return "".join(piece.split("|>")[-1] for piece in raw.split("<|"))


@pytest.mark.parametrize("language", ["en", "yue", "ja", "ko-KR"])
def test_sense_voice_is_told_the_language_of_a_task(folders: Path, sense_voice: Engine, language: str) -> None:
    model = WindowModel(opened(folders / "sense-voice", SENSE_VOICE), prepare("cpu", 1.0))
    raw = model.text(as_samples(QUESTION), language.split("-")[0])
    found = read(sense_voice, QUESTION, Task(language))

    assert raw.startswith(f"<|{language.split('-')[0]}|>")
    assert (found.text, found.language) == (without_tags(raw), "")


class Answers(WindowModel):
    """A SenseVoice that says what it is told to say."""

    detects = True

    def __init__(self, folder: Path, *texts: str) -> None:
        self.folder = opened(folder, SENSE_VOICE)
        self.asked: list[tuple[int, str]] = []
        self._texts = iter(texts)

    def text(self, samples: Any, language: str) -> str:
        self.asked.append((len(samples), language))
        return next(self._texts)


@pytest.mark.parametrize("raw", ["<|nospeech|><|EMO_UNKNOWN|><|BGM|><|woitn|>嗯", "<|en|><|EMO_UNKNOWN|><|Speech|>. "])
def test_no_speech_and_lone_punctuation_read_as_nothing(folders: Path, raw: str) -> None:
    stretch = WindowStretch(WindowReader(Answers(folders / "sense-voice", raw), None), "")
    stretch.hear(QUESTION)

    assert stretch.read(is_end=True) == Result("")


def test_a_long_stretch_is_read_in_pieces_that_are_cut_at_a_pause(folders: Path) -> None:
    pcm = noise(28_500) + silence(600) + noise(3_900)
    model = Answers(folders / "sense-voice", "<|en|>one two", "<|en|>three", "<|en|>three four")
    stretch = WindowStretch(WindowReader(model, None), "")
    stretch.hear(pcm[: 2 * 31 * SECOND])
    first = stretch.read(is_end=False)
    stretch.hear(pcm[2 * 31 * SECOND :])
    found = stretch.read(is_end=True)

    cut_samples = model.asked[0][0]
    assert 28_500 < cut_samples / 16 < 29_100, "in the pause"
    assert model.asked == [
        (cut_samples, ""),
        (31 * SECOND - cut_samples, "en"),
        (33 * SECOND - cut_samples, "en"),
    ]
    assert [first.text, found.text, found.language] == ["one two three", "one two three four", "en"]
    assert [(span.start_samples, span.end_samples) for span in found.spans] == [
        (0, 28_500 * 16),
        (29_100 * 16, 33 * SECOND),
    ]


def test_a_long_stretch_reads_the_same_however_often_it_was_read(sense_voice: Engine) -> None:
    pcm = noise(40_000)
    recogniser = sense_voice.open()
    recogniser.start(Task(""))
    for chunk in cut(pcm, 2 * 3 * SECOND):
        recogniser.hear(chunk)
        recogniser.read()

    assert len(recogniser.finish().spans) == 2
    assert read(sense_voice, pcm, Task(""), len(pcm)) == recogniser.finish()
    assert all(span.end_samples - span.start_samples <= LONGEST_SAMPLES for span in recogniser.finish().spans)


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["今天，", "很好。"], "今天，很好。"),
        (["one", "two"], "one two"),
        (["今天", "ok", "好"], "今天ok好"),
        ([], ""),
    ],
)
def test_pieces_are_joined_as_their_script_asks(texts: list[str], whole: str) -> None:
    assert joined(texts) == whole


@pytest.mark.parametrize("name", ["streaming", "paraformer", "sense-voice"])
def test_a_file_of_weights_that_is_cut_off_is_named(copied: Callable[[str], Path], name: str) -> None:
    path = copied(name) / "model.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"model\.pt is damaged"):
        load(model_path=path.parent)


def test_weights_that_lack_one_tensor_are_named(copied: Callable[[str], Path]) -> None:
    path = copied("streaming") / "model.pt"
    lacking = "encoder.after_norm.weight"
    retouched(path, lambda state: {name: tensor for name, tensor in state.items() if name != lacking})
    with pytest.raises(ValueError, match=rf"model\.pt is not whole: it lacks 1 of \d+ tensors, {lacking} first"):
        load(model_path=path.parent)


def test_weights_of_another_vocabulary_are_named(copied: Callable[[str], Path]) -> None:
    path = copied("paraformer") / "tokens.json"
    path.write_text(path.read_text().replace('"<blank>"', '"<blank>", "more"'))
    with pytest.raises(ValueError, match=r"model\.pt does not fit config\.yaml and the tokens: decoder\."):
        load(model_path=path.parent)


def test_weights_that_are_no_weights_are_named(copied: Callable[[str], Path]) -> None:
    path = copied("punctuation") / "model.pt"
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"model\.pt is not whole"):
        funasr_models.PunctuationModel(opened(path.parent, "CTTransformer"), prepare("cpu", 1.0))


def test_weights_that_a_trainer_wrapped_are_the_same_weights(copied: Callable[[str], Path], streaming: Engine) -> None:
    path = copied("streaming") / "model.pt"
    retouched(path, lambda state: {f"module.{name}": tensor for name, tensor in state.items()})

    assert read(load(model_path=path.parent), QUESTION) == read(streaming, QUESTION)


def test_pieces_that_are_damaged_are_named(copied: Callable[[str], Path]) -> None:
    path = copied("sense-voice") / "tiny.bpe.model"
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(ValueError, match=r"tiny\.bpe\.model is damaged"):
        load(model_path=path.parent)


def test_a_model_that_cannot_be_built_names_its_folder(copied: Callable[[str], Path]) -> None:
    path = copied("streaming") / "config.yaml"
    path.write_text(path.read_text().replace("SANMEncoderChunkOpt", "NoSuchEncoder"))
    with pytest.raises(ValueError, match="streaming cannot be built"):
        load(model_path=path.parent)


def test_what_a_trainer_left_in_the_configuration_is_passed_over(
    copied: Callable[[str], Path], tmp_path: Path, streaming: Engine
) -> None:
    path = copied("streaming") / "config.yaml"
    left = {"device": "cuda:3", "ncpu": 9, "init_param": "elsewhere.pt", "output_dir": str(tmp_path / "texts")}
    path.write_text(path.read_text() + "".join(f"{name}: {value}\n" for name, value in left.items()))

    assert read(load(model_path=path.parent), QUESTION) == read(streaming, QUESTION)
    assert not (tmp_path / "texts").exists()


def test_a_device_that_is_not_there_is_refused_and_auto_takes_what_is() -> None:
    absent = [name for name, is_there in (("cuda", torch.cuda.is_available()), ("mps", mps())) if not is_there]
    assert prepare("auto", 1.0) not in absent
    for name in absent:
        with pytest.raises(ValueError, match=f"ASR_DEVICE is {name}"):
            prepare(name, 1.0)


def mps() -> bool:
    return bool(torch.backends.mps.is_available())


def test_nothing_is_printed_or_logged_while_it_is_loaded_and_reads(
    folders: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    engine = load(model_path=folders / "streaming", punctuation_path=folders / "punctuation")
    assert read(engine, QUESTION).text
    logging.getLogger("asr_service").info("ours")

    assert capfd.readouterr() == ("", "")
    assert [record.message for record in caplog.records] == ["ours"]


def test_the_library_s_own_log_lines_are_dropped(folders: Path, caplog: pytest.LogCaptureFixture) -> None:
    from funasr.train_utils.load_pretrained_model import load_pretrained_model

    model = StreamingModel(opened(folders / "streaming", STREAMING), prepare("cpu", 1.0))
    caplog.set_level(logging.DEBUG)
    load_pretrained_model(str(folders / "streaming" / "model.pt"), model._module)

    assert caplog.records == []
