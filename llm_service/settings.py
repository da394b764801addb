"""What an operator can set for the language service."""

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from llm_service.engines import ENGINES
from shared.settings import ServiceSettings

DEMO_MODEL = Path(__file__).resolve().parent / "demo_model" / "parley-demo.gguf"


class LlmSettings(ServiceSettings):
    """Read from `LLM_…`; the names of older systems are read as aliases."""

    model_config = SettingsConfigDict(env_prefix="LLM_", protected_namespaces=())

    port: int = Field(8001, ge=1, le=65535, description="TCP port to listen on.")
    engine: str = Field("llama_server", description=f"What answers: {', '.join(ENGINES)}.")
    model_path: Path = Field(
        DEMO_MODEL,
        description="The GGUF file that llama_server loads; the small demo model unless told.",
    )
    model_name: str = Field(
        "",
        max_length=128,
        description="The model's public name; `parley-demo` or the file's name without its ending unless told.",
    )
    slots: int = Field(4, ge=1, le=256, description="Replies that llama_server writes at once.")
    context_tokens: int = Field(1024, ge=64, le=1_048_576, description="Context of each slot, in tokens.")
    threads: int = Field(1, ge=1, le=256, description="CPU threads of llama_server; never more than cores are free.")
    gpu_layers: int = Field(0, ge=0, le=1000, description="Layers of the model that llama_server puts on the GPU.")
    temperature: float = Field(
        0.1, ge=0, le=2, description="Sampling temperature of requests that give none; the demo model wants a low one."
    )
    upstream_url: str = Field(
        "http://127.0.0.1:8080",
        pattern=r"^https?://[^/\s]+",
        validation_alias=AliasChoices("LLM_UPSTREAM_URL", "LLAMA_BASE"),
        description="The server that engine `openai` asks; `/v1` is added to an address without a path.",
    )
    upstream_key: SecretStr | None = Field(None, description="The key that engine `openai` shows to that server.")
    upstream_model: str = Field(
        "",
        max_length=256,
        validation_alias=AliasChoices("LLM_UPSTREAM_MODEL", "LLAMA_MODEL"),
        description="That server's name for the model; left out of requests when empty.",
    )
    start_wait_s: float = Field(
        1.0, ge=0, le=60, description="How long a request waits for an engine that is starting, before it gets a 503."
    )
    load_timeout_s: float = Field(
        120.0, gt=0, le=3600, description="How long llama_server may take to load its model before it is started again."
    )
    connect_timeout_s: float = Field(2.0, gt=0, le=60, description="How long reaching the engine may take.")
    first_token_timeout_s: float = Field(
        30.0,
        gt=0,
        le=3600,
        validation_alias=AliasChoices("LLM_FIRST_TOKEN_TIMEOUT_S", "LLAMA_TIMEOUT"),
        description="How long the first token may take, waiting for a slot included.",
    )
    idle_timeout_s: float = Field(
        10.0, gt=0, le=600, description="How long an answer may pause, and a client may read nothing of it."
    )
    max_requests: int = Field(
        64, ge=1, le=10_000, description="Answers that may run or wait at once; more are refused with a 429."
    )

    @field_validator("engine")
    @classmethod
    def _is_known(cls, engine: str) -> str:
        if engine not in ENGINES:
            raise ValueError(f"there is no engine {engine!r}; known: {', '.join(ENGINES)}")
        return engine

    @property
    def public_name(self) -> str:
        """What answers and `/v1/models` call the model."""
        if self.model_name:
            return self.model_name
        if self.engine == "openai":
            return self.upstream_model or "upstream"
        return self.model_path.stem
