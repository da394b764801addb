"""The settings of the Whisper model, and the names that older systems give them."""

from pathlib import Path

import pytest

from asr_service.settings import DEMO_MODEL, AsrSettings

pytestmark = pytest.mark.shell


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in AsrSettings.variables().values():
        for name in names:
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("ASR_MODEL_PATH", "models/whisper-base", "model_path", Path("models/whisper-base")),
        ("STT_MODEL_NAME", "large-v3", "model_path", Path("large-v3")),
        ("MODEL_PATH", "models/whisper-small", "model_path", Path("models/whisper-small")),
        ("MODEL_PATH", "models/qwen.gguf", "model_path", DEMO_MODEL),  # the language model's
        ("WHISPER_DEVICE", "cuda", "device", "cuda"),
        ("ASR_WHISPER_DEVICE", "auto", "device", "auto"),
        ("WHISPER_COMPUTE_TYPE", "int8_float16", "whisper_compute_type", "int8_float16"),
        ("ASR_WHISPER_PAD_MS", "1000", "whisper_pad_ms", 1_000),
        ("ASR_WHISPER_WORKERS", "4", "whisper_workers", 4),
    ],
)
def test_a_setting_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)

    assert getattr(AsrSettings.load(), field) == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WHISPER_DEVICE", "tpu"),
        ("WHISPER_COMPUTE_TYPE", "int4"),
        ("ASR_WHISPER_PAD_MS", "-1"),
        ("ASR_WHISPER_PAD_MS", "2001"),
        ("ASR_WHISPER_WORKERS", "0"),
    ],
)
def test_a_bad_value_stops_the_start_with_a_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit, match=rf"^{variable}: "):
        AsrSettings.load()


def test_speech_is_heard_by_what_needs_no_download_unless_told() -> None:
    settings = AsrSettings.load()

    assert (settings.engine, settings.model_path, settings.device) == ("embedded", DEMO_MODEL, "cpu")
