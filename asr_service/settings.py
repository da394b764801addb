"""The settings of the asr_service: `ASR_…` in the environment, and the names that older clients know."""

import re
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from asr_service.engines import ENGINES
from shared.settings import ServiceSettings

DEMO_MODEL = Path(__file__).resolve().parent / "demo_model" / "whisper-demo"


class AsrSettings(ServiceSettings):
    """How the service hears. Endpointing is a default: each stream may ask for another."""

    model_config = SettingsConfigDict(env_prefix="ASR_", protected_namespaces=())

    port: int = Field(8002, ge=1, le=65535, description="TCP port to listen on.")
    engine: str = Field("embedded", description=f"What recognises speech: {', '.join(ENGINES)}.")
    language: str = Field(
        "en",
        min_length=2,
        max_length=64,
        validation_alias=AliasChoices("ASR_LANGUAGE", "LANGUAGE"),
        description="BCP 47; what is listened for unless a stream asks for another, where the engine knows it. `auto`: "
        "what is spoken is found out for each utterance, where the engine can.",
    )
    max_streams: int = Field(32, ge=1, le=4096, description="Streams at a time; one more is refused.")
    decoders: int = Field(
        4,
        ge=1,
        le=64,
        description="Recognisers at a time, that is people speaking at once, where each takes memory of its own, as "
        "pocketsphinx does. Where all read with one model there is one for each stream.",
    )
    end_silence_ms: int = Field(
        800,
        ge=100,
        le=10_000,
        validation_alias=AliasChoices("ASR_END_SILENCE_MS", "END_SILENCE_MS"),
        description="Silence that ends an utterance whatever was said.",
    )
    short_pause_ms: int = Field(
        300,
        ge=60,
        le=10_000,
        validation_alias=AliasChoices("ASR_SHORT_PAUSE_MS", "SHORT_PAUSE_MS"),
        description="Pause that ends an utterance after final punctuation.",
    )
    stable_nochange_ms: int = Field(
        1_500,
        ge=200,
        le=30_000,
        validation_alias=AliasChoices("ASR_STABLE_NOCHANGE_MS", "STABLE_NOCHANGE_MS"),
        description="Unchanged text that ends an utterance while the sound is calm.",
    )
    silence_rms: float = Field(
        0.005,
        ge=0.0001,
        le=0.5,
        validation_alias=AliasChoices("ASR_SILENCE_RMS", "ASR_SILENCE_RMS_THRESH", "SILENCE_RMS_THRESH"),
        description="RMS of full scale 1 under which a frame is silent.",
    )
    complete_pause_ms: int = Field(
        440, ge=0, le=10_000, description="Pause that ends an utterance whose text looks complete; 0 for no such rule."
    )
    max_utterance_ms: int = Field(30_000, ge=1_000, le=60_000, description="Longest utterance; then it is cut.")
    model_path: Path = Field(
        DEMO_MODEL,
        validation_alias=AliasChoices("ASR_MODEL_PATH", "STT_MODEL_NAME", "MODEL_PATH"),
        description="Folder of the model: a converted Whisper for faster-whisper, and for embedded in all but English; "
        "a Paraformer or SenseVoice for funasr. A small demo Whisper unless told. A .gguf file is the language "
        "model's, and passed over.",
    )
    final_model_path: Path | None = Field(
        None, description="Folder of the model that funasr reads finals with, where another one reads partials."
    )
    punctuation_path: Path | None = Field(None, description="Folder of the model that puts punctuation to finals.")
    device: Literal["cpu", "cuda", "mps", "auto"] = Field(
        "cpu",
        validation_alias=AliasChoices("ASR_DEVICE", "ASR_WHISPER_DEVICE", "WHISPER_DEVICE"),
        description="Where models compute; faster-whisper knows no mps, pocketsphinx the cpu alone.",
    )
    gpu_share: float = Field(1.0, ge=0.05, le=1.0, description="Share of the GPU's memory that funasr may take.")
    whisper_compute_type: Literal["default", "int8", "int8_float16", "int8_float32", "float16", "float32"] = Field(
        "int8",
        validation_alias=AliasChoices("ASR_WHISPER_COMPUTE_TYPE", "WHISPER_COMPUTE_TYPE"),
        description="Numbers that faster-whisper computes with; a CPU has no float16. `default`: those of the model.",
    )
    whisper_pad_ms: int = Field(
        300,
        ge=0,
        le=2_000,
        description="Silence that faster-whisper sees after the speech; models taught on 30 s may want a second.",
    )
    whisper_workers: int = Field(
        2, ge=1, le=64, description="Calls of the model that faster-whisper runs at once, a thread each."
    )
    whisper_batch: int = Field(
        8, ge=1, le=64, description="Streams that faster-whisper reads in one call, where their windows are equal."
    )
    upstream_url: str = Field(
        "",
        description="Base of the OpenAI-compatible server that engine openai asks, such as http://127.0.0.1:9000/v1.",
    )
    upstream_key: SecretStr = Field(SecretStr(""), description="Key of that server; none unless told.")
    upstream_model: str = Field("whisper-1", max_length=256, description="Model that the server is asked for.")
    upstream_timeout_s: float = Field(30.0, ge=1.0, le=600.0, description="Longest wait for an answer of that server.")
    vad: Literal["level", "silero"] = Field(
        "level", description="What tells speech from other sound: loudness alone, or a learnt detector beside it."
    )
    turn_model_path: Path | None = Field(
        None, description="ONNX file of a learnt turn detector, which judges at each pause whether the speaker is done."
    )
    max_uploads: int = Field(
        4, ge=1, le=256, description="Files that are received or transcribed at a time; one more is refused."
    )
    max_file_s: int = Field(3_600, ge=1, le=86_400, description="Longest file that is transcribed.")

    @field_validator("engine")
    @classmethod
    def _check_engine(cls, value: str) -> str:
        if value not in ENGINES:
            raise ValueError(f"no engine is called {value!r}; known: {', '.join(ENGINES)}")
        return value

    @field_validator("model_path")
    @classmethod
    def _pass_over_language_model(cls, value: Path) -> Path:
        """`MODEL_PATH` is an older name for both models, and services may share an environment."""
        return DEMO_MODEL if value.suffix == ".gguf" else value

    @field_validator("language")
    @classmethod
    def _take_first_language(cls, value: str) -> str:
        """`LANGUAGE` may be the system's list of locales, such as en_US:en; the first one counts."""
        return re.split("[:.@]", value)[0].replace("_", "-")
