"""The settings of the asr_service: `ASR_…` in the environment, and the names that older clients know."""

import re

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import SettingsConfigDict

from asr_service.engines import ENGINES
from shared.settings import ServiceSettings


class AsrSettings(ServiceSettings):
    """How the service hears. Endpointing is a default: each stream may ask for another."""

    model_config = SettingsConfigDict(env_prefix="ASR_")

    port: int = Field(8002, ge=1, le=65535, description="TCP port to listen on.")
    engine: str = Field("pocketsphinx", description=f"What recognises speech: {', '.join(ENGINES)}.")
    language: str = Field(
        "en",
        min_length=2,
        max_length=64,
        validation_alias=AliasChoices("ASR_LANGUAGE", "LANGUAGE"),
        description="BCP 47; what is listened for unless a stream asks for another, where the engine knows it.",
    )
    max_streams: int = Field(32, ge=1, le=4096, description="Streams at a time; one more is refused.")
    decoders: int = Field(
        4, ge=1, le=64, description="Recognisers at a time, that is people speaking at once; each takes memory."
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
    max_utterance_ms: int = Field(30_000, ge=1_000, le=60_000, description="Longest utterance; then it is cut.")

    @field_validator("engine")
    @classmethod
    def _check_engine(cls, value: str) -> str:
        if value not in ENGINES:
            raise ValueError(f"no engine is called {value!r}; known: {', '.join(ENGINES)}")
        return value

    @field_validator("language")
    @classmethod
    def _take_first_language(cls, value: str) -> str:
        """`LANGUAGE` may be the system's list of locales, such as en_US:en; the first one counts."""
        return re.split("[:.@]", value)[0].replace("_", "-")
