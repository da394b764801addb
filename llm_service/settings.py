"""What an operator can set for the language service."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from llm_service.engines import ENGINES
from llm_service.engines.embedding import EMBEDDERS
from llm_service.upstream_specs import UpstreamSpec, address, parse_names, parse_upstreams, sendable
from shared.settings import ServiceSettings

DEMO_MODEL = Path(__file__).resolve().parent / "demo_model" / "parley-demo.gguf"


class LlmSettings(ServiceSettings):
    """Read from `LLM_…`; the names of older systems are read as aliases."""

    model_config = SettingsConfigDict(env_prefix="LLM_", protected_namespaces=(), hide_input_in_errors=True)

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
    context_tokens: int = Field(
        768,  # measured: above, the demo model answers fewer questions rightly at the end of long talks
        ge=64,
        le=1_048_576,
        description="Context of each slot, in tokens; the demo model was trained on talks of up to 704, "
        "a larger model wants more.",
    )
    threads: int = Field(1, ge=1, le=256, description="CPU threads of llama_server; never more than cores are free.")
    llama_cpp_python: str = Field(
        "",
        max_length=4096,
        description="The Python that engine `llama_cpp` runs in, as `.venv-llama/bin/python`; this one unless told.",
    )
    gpu_layers: int = Field(0, ge=0, le=1000, description="Layers of the model that llama_server puts on the GPU.")
    gpu_memory_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The share of the GPU's memory that engine `llama_cpp` may take, and no other engine keeps to: as "
        "many layers as fit into it, at most `LLM_GPU_LAYERS` where that is set.",
    )
    chat_template_path: Path | None = Field(
        None,
        description="A Jinja file that llama_server and llama_cpp use in place of the model's own chat template, as "
        "one that knows tools.",
    )
    trim: bool = Field(
        True,
        description="Leave the oldest turns out of a prompt that is too long for an engine of this service; the system "
        "message and the newest turns stay. A server elsewhere gets what was asked.",
    )
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
    upstreams: Annotated[tuple[UpstreamSpec, ...], NoDecode] = Field(
        (),
        description="More servers beside the engine, chosen by each request's model, `name/model`: a JSON list of "
        "objects, or `name=url;key_env=VARIABLE;models=a,b` for each, parted by spaces. Fields: name, url, key or "
        "key_env, models, kind (auto, chat, completion), takes_tools, connect_timeout_s, first_token_timeout_s, "
        "idle_timeout_s, max_requests, answer_limit. The engine itself is called `local`, or `upstream` where it is "
        "`openai`, which is left out when servers are listed here and no LLM_UPSTREAM_URL is given.",
    )
    default_model: str = Field(
        "",
        max_length=256,
        description="The model of requests that name none, as a request would name it; unless told, the first server's "
        "own choice, the engine going before LLM_UPSTREAMS.",
    )
    fallback: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Who answers in the place of a server that cannot: names, or `name/model`, in order. A request for "
        "`name/model` is handed only to those listed after that name, and to nobody when it is not listed.",
    )
    breaker_failures: int = Field(
        5, ge=1, le=1000, description="Failures on end after which a server elsewhere is left alone for a while."
    )
    breaker_open_s: float = Field(
        5.0, gt=0, le=600, description="How long it is left alone at first; each failed try doubles it, up to a minute."
    )
    answer_limit: int = Field(
        400_000,
        ge=1,
        le=100_000_000,
        description="Longest answer of a model's server, in characters; a longer one fails.",
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
    body_limit_bytes: int = Field(
        8 * 2**20,  # the longest message, each of its characters escaped; and more than the longest context of today
        ge=1024,
        le=2**30,
        description="Longest body of a request; a longer one is refused with a 413.",
    )
    idempotency_life_s: float = Field(
        600.0, gt=0, le=86_400, description="How long the answer to a request with a key is kept after it was complete."
    )
    idempotency_grace_s: float = Field(
        10.0,
        ge=0,
        le=600,
        description="How long an answer with a key goes on after its last client left; one without a key ends at once.",
    )
    idempotency_joins: bool = Field(
        True,
        description="Whether a repeated request joins the answer that is being made; unless it does, it gets a 409.",
    )
    keyed_requests: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Requests with different keys that may run at once; more are refused with a 429.",
    )
    kept_answers: int = Field(4096, ge=0, le=1_000_000, description="Answers with a key that are kept in memory.")
    kept_bytes: int = Field(32 * 2**20, ge=0, le=2**40, description="Bytes of all answers that are kept in memory.")
    kept_answer_bytes: int = Field(
        2**20, ge=1, le=2**30, description="Longest answer that is kept; one above it is told, but not again."
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("LLM_REDIS_URL", "REDIS_URL"),
        description="The Redis that several replicas share, such as `redis://host:6379/0`; answers with a key are kept "
        "there. Without one they are kept in memory, which is right for one replica.",
    )
    redis_lock_s: float = Field(
        10.0, gt=0, le=600, description="How long a key stays taken after the replica that made its answer has died."
    )
    answer_limit_s: float = Field(
        600.0, gt=0, le=86_400, description="How long an answer with a key may take as a whole."
    )
    embedding_engine: str = Field("onnx", description=f"What makes embeddings: {', '.join(EMBEDDERS)}.")
    embedding_path: Path | None = Field(
        None,
        description="The folder of the model that embedding engine `onnx` loads: `tokenizer.json` and `model.onnx` or "
        "`model.safetensors` with `config.json`; the small English model of a package unless told.",
    )
    embedding_threads: int = Field(1, ge=1, le=256, description="Embedding steps that engine `onnx` makes at once.")
    embedding_warm: bool = Field(False, description="Load that model at the start and not when it is first asked.")
    embedding_upstream_url: str = Field(
        "http://127.0.0.1:8080",
        pattern=r"^https?://[^/\s]+",
        description="The server that embedding engine `openai` asks; `/v1` is added to an address without a path.",
    )
    embedding_upstream_key: SecretStr | None = Field(None, description="The key that is shown to that server.")
    embedding_upstream_model: str = Field(
        "", max_length=256, description="That server's name for the embedding model; left out of requests when empty."
    )
    embedding_timeout_s: float = Field(30.0, gt=0, le=600, description="How long that server may take for a request.")
    embedding_max_requests: int = Field(
        64, ge=1, le=10_000, description="Requests for embeddings that may run or wait at once."
    )

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("the address of a Redis begins with redis://, rediss:// or unix://")
        return url

    @field_validator("engine")
    @classmethod
    def _is_known(cls, engine: str) -> str:
        if engine not in ENGINES:
            raise ValueError(f"there is no engine {engine!r}; known: {', '.join(ENGINES)}")
        return engine

    @field_validator("embedding_engine")
    @classmethod
    def _is_known_embedder(cls, engine: str) -> str:
        if engine not in EMBEDDERS:
            raise ValueError(f"there is no embedding engine {engine!r}; known: {', '.join(EMBEDDERS)}")
        return engine

    @field_validator("upstream_url", "embedding_upstream_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        return address(url)

    @field_validator("upstream_key")
    @classmethod
    def _is_sendable(cls, key: SecretStr | None) -> SecretStr | None:
        return sendable(key)

    @field_validator("upstreams", mode="before")
    @classmethod
    def _are_servers(cls, given: object) -> tuple[UpstreamSpec, ...]:
        return parse_upstreams(given)

    @field_validator("upstreams")
    @classmethod
    def _are_not_the_engine(cls, specs: tuple[UpstreamSpec, ...], info: ValidationInfo) -> tuple[UpstreamSpec, ...]:
        engine = own_name(str(info.data.get("engine")))
        if engine in {spec.name for spec in specs}:
            raise ValueError(f"server {engine!r}: name: that is what the engine is called")
        return specs

    @field_validator("fallback", mode="before")
    @classmethod
    def _are_names(cls, given: object) -> tuple[str, ...]:
        return parse_names(given)

    @field_validator("fallback")
    @classmethod
    def _are_listed(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "upstreams" not in info.data:  # they are wrong, which is told
            return names
        known = {own_name(str(info.data.get("engine"))), *(spec.name for spec in info.data["upstreams"])}
        for place, name in enumerate(names, 1):
            if name.partition("/")[0] not in known:  # it is not told: where a name should be, a key may be
                raise ValueError(f"name {place}: there is no such server; known: {', '.join(sorted(known))}")
        return names

    @property
    def public_name(self) -> str:
        """What answers and `/v1/models` call the model."""
        if self.model_name:
            return self.model_name
        if self.engine == "openai":
            return self.upstream_model or "upstream"
        return self.model_path.stem


def own_name(engine: str) -> str:
    """What the engine itself is called among the servers."""
    return "upstream" if engine == "openai" else "local"
