"""The settings of the tts_service: which engine speaks, how many replies at once, how texts are cut."""

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings
from tts_service.engines import ENGINES


class TtsSettings(ServiceSettings):
    """Read from `TTS_…`."""

    model_config = SettingsConfigDict(env_prefix="TTS_")

    port: int = Field(8003, ge=1, le=65535, description="TCP port to listen on.")
    engine: str = Field(
        "espeak", pattern=f"^({'|'.join(ENGINES)})$", description=f"What speaks, one of: {', '.join(ENGINES)}."
    )
    slots: int = Field(2, ge=1, le=64, description="Segments made at once; espeak runs one child process for each.")
    max_streams: int = Field(64, ge=1, le=4096, description="Connections and speech requests served at once.")
    max_replies_per_stream: int = Field(8, ge=1, le=64, description="Replies spoken at once on one connection.")
    first_min_chars: int = Field(
        4, ge=0, le=200, description="The first segment may end at a comma once it has so many characters."
    )
    max_chars: int = Field(
        150,
        ge=20,
        le=1000,
        validation_alias=AliasChoices("TTS_MAX_CHARS", "SEGMENT_LENGTH_THRESHOLD"),
        description="A longer sentence is cut; the engine's own limit counts if it is lower.",
    )
    lead_ms: int = Field(
        2000, ge=0, le=60_000, description="Audio that may wait for the peer before the next segment is made."
    )
    idle_flush_ms: int = Field(
        200, ge=1, le=10_000, description="A finished sentence is spoken after such a pause, though no text follows it."
    )
    default_voice: str | None = Field(
        None, max_length=128, description="Voice when a reply names none; unset: the usual voice of its language."
    )
