"""Settings of the gateway, read from `GATEWAY_…`."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from gateway.core.load_ladder import LadderParams, Level
from gateway.core.params import ConversationParams
from gateway.database import address_of, url_of
from gateway.replicas import urls_in
from shared.settings import ServiceSettings, state_folder


def _urls(scheme: str) -> str:
    """The pattern of one URL or more, with commas or spaces between them."""
    one = rf"{scheme}s?://[^\s,]+"
    return rf"^{one}([\s,]+{one})*$"


class GatewaySettings(ServiceSettings):
    """Where the services are, how much one person may ask for, and where turns are kept."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    port: int = Field(8000, ge=1, le=65535, description="TCP port to listen on.")
    asr_url: str = Field(
        "ws://127.0.0.1:8002",
        pattern=_urls("ws"),
        description="The asr_service: one URL or several, with commas between them. A name with several addresses "
        "stands for so many replicas.",
    )
    llm_url: str = Field(
        "http://127.0.0.1:8001", pattern=_urls("http"), description="The llm_service: one URL or several, as above."
    )
    tts_url: str = Field(
        "ws://127.0.0.1:8003", pattern=_urls("ws"), description="The tts_service: one URL or several, as above."
    )
    database_url: str = Field(
        f"sqlite+aiosqlite:///{state_folder()}/parley.db", description="Where turns are kept (SQLAlchemy URL)."
    )
    db_host: str = Field(
        "", validation_alias=AliasChoices("GATEWAY_DB_HOST", "DB_HOST"), description="A MariaDB in place of that URL."
    )
    db_port: int = Field(
        3306, ge=1, le=65_535, validation_alias=AliasChoices("GATEWAY_DB_PORT", "DB_PORT"), description="Its port."
    )
    db_user: str = Field(
        "parley", validation_alias=AliasChoices("GATEWAY_DB_USER", "DB_USER"), description="Who logs in there."
    )
    db_password: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("GATEWAY_DB_PASSWORD", "DB_PASSWORD"),
        description="Their password.",
    )
    db_name: str = Field(
        "parley", validation_alias=AliasChoices("GATEWAY_DB_NAME", "DB_NAME"), description="The database there."
    )
    memory: bool = Field(
        True, description="What a person said in earlier sessions comes back when a question needs it."
    )
    memory_database_url: str = Field(
        f"sqlite+aiosqlite:///{state_folder()}/memory.db", description="Where memories are kept (SQLAlchemy URL)."
    )
    milvus_path: Path = Field(
        state_folder() / "memory-vectors.db", description="Folder of their vectors, held by one gateway at a time."
    )
    milvus_host: str = Field(
        "",
        validation_alias=AliasChoices("GATEWAY_MILVUS_HOST", "MILVUS_HOST"),
        description="A Milvus in place of that folder.",
    )
    milvus_port: int = Field(
        19_530,
        ge=1,
        le=65_535,
        validation_alias=AliasChoices("GATEWAY_MILVUS_PORT", "MILVUS_PORT"),
        description="Its port.",
    )
    milvus_collection: str = Field(
        "voice_conversations",
        pattern=r"^[A-Za-z_]\w{0,120}$",
        validation_alias=AliasChoices("GATEWAY_MILVUS_COLLECTION", "MILVUS_COLLECTION"),
        description="The collection of vectors.",
    )
    audio_dir: Path | None = Field(None, description="Folder of kept audio; beside the database unless told.")
    keeps_audio: bool = Field(
        True,
        description="Keep the sound of answers beside their text, 3 MB a minute, and have it rendered in high quality "
        "where the tts_service has TTS_HQ_ENGINE. It goes with its conversation.",
    )
    retention_days: int = Field(
        0, ge=0, le=36_500, description="Forget conversations whose newest turn is older; 0 keeps them."
    )
    personas_dir: Path = Field(Path(__file__).parent / "personas", description="Folder of persona files.")
    default_persona: str = Field("assistant", description="The persona of a session that names none.")
    max_sessions: int = Field(
        5, ge=1, le=10_000, description="Sessions at once, as many as one GPU serves well; one more is refused at once."
    )
    resume_s: float = Field(
        60.0,
        ge=0,
        le=3_600,
        description="How long a session waits for its client after the connection was cut, or after the gateway was "
        "killed and started again; 0 ends it at once.",
    )
    sessions_dir: Path = Field(
        state_folder() / "sessions",
        description="Where open sessions are written down, speech and text included, until they are over.",
    )
    degrades_to: Literal["full", "no_hq", "fast_voice", "text_only"] = Field(
        "text_only",
        description="How far Parley may do with less under load, step by step: `no_hq` renders nothing anew, "
        "`fast_voice` has GATEWAY_FAST_VOICE speak, `text_only` nobody; `full`: nothing of that is ever done.",
    )
    fast_voice: str = Field(
        "",
        max_length=128,
        description="A voice of the tts_service that costs little: under load it speaks for everybody. Empty: the "
        "persona's own voice goes on.",
    )
    late_speech_ms: int = Field(
        1_500,
        ge=100,
        le=60_000,
        description="Several answers in a row whose first sound comes later than this after the end of their first "
        "sentence are load, where more than one session is open.",
    )
    speculates: bool = Field(True, description="Prepare answers at the first pause that could be the end.")
    speculations_per_turn: int = Field(
        4, ge=0, le=100, description="Answers prepared before the end of one turn is sure, at most."
    )
    reply_max_tokens: int = Field(320, ge=1, le=8_192, description="Longest answer, in tokens of the model.")
    history_max_turns: int = Field(
        200, ge=1, le=2_000, description="Earlier turns of a session that are remembered; the oldest quarter goes."
    )
    history_max_chars: int = Field(
        64_000,
        ge=200,
        le=200_000,
        description="Characters of earlier turns that are remembered. A limit for memory and requests, wider than what "
        "most models read: the llm_service leaves out what its model cannot read (LLM_TRIM).",
    )
    lead_ms: int = Field(2_000, ge=200, le=30_000, description="Audio sent ahead of what was heard.")
    connect_timeout_s: float = Field(1.5, gt=0, le=60, description="How long a service may take to accept.")
    first_token_timeout_s: float = Field(15.0, gt=0, le=600, description="How long the first token may take.")
    overlap_ms: int = Field(
        150, ge=0, le=5_000, description="Speech over an answer that lasts so long stops it, without `backchannels`."
    )
    backchannels: bool = Field(
        False,  # until a barge-in is known as early as it is without: see ADR 17
        description='Speech over an answer pauses it, and a mere "mhm" lets it go on; False: any speech stops it.',
    )
    backchannel_ms: int = Field(
        800, ge=100, le=5_000, description="Speech that nobody understands stops a paused answer after so long."
    )

    llm_enabled: bool = Field(
        True,
        validation_alias=AliasChoices("GATEWAY_LLM_ENABLED", "LLM_ENABLED"),
        description="False: nobody answers; what is said is transcribed.",
    )
    tts_enabled: bool = Field(
        True,
        validation_alias=AliasChoices("GATEWAY_TTS_ENABLED", "TTS_ENABLED"),
        description="False: answers are shown and not spoken.",
    )
    apologises: bool = Field(True, description="Say aloud that no answer can be made, when the model fails before one.")

    def ladder_params(self) -> LadderParams:
        """What of these the house's load is judged by."""
        return LadderParams(late_sound_s=self.late_speech_ms / 1000, deepest=Level[self.degrades_to.upper()])

    @property
    def store_url(self) -> str:
        """Where turns are kept; it shows the password."""
        if not self.db_host:
            return self.database_url
        password = self.db_password.get_secret_value()
        return url_of("mariadb", self.db_host, self.db_port, self.db_user, password, self.db_name)

    @property
    def milvus_uri(self) -> str:
        """Where vectors are kept."""
        return f"http://{self.milvus_host}:{self.milvus_port}" if self.milvus_host else str(self.milvus_path)

    def conversation_params(self) -> ConversationParams:
        """What of these the turn machine goes by."""
        return ConversationParams(
            speculates=self.speculates,
            speculations_per_turn=self.speculations_per_turn,
            overlap_s=self.overlap_ms / 1000,
            passes_backchannels=self.backchannels,
            backchannel_s=self.backchannel_ms / 1000,
        )

    @field_validator("database_url", "memory_database_url")
    @classmethod
    def _check_database(cls, value: str) -> str:
        address_of(value)
        return value

    @field_validator("asr_url", "llm_url", "tts_url")
    @classmethod
    def _check_urls(cls, value: str) -> str:
        urls_in(value)
        return value
