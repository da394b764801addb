"""The settings of the tts_service: which engine speaks, how many replies at once, how texts are cut."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings, state_folder
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
        2000, ge=0, le=60_000, description="Audio that may be ahead of the listener before the next segment is made."
    )
    admission_load: float = Field(
        0.9,
        ge=0,
        le=100,
        description="Share of the slots that live replies may need by the engine's measured speed; one more is refused."
        " 0: never.",
    )
    hq_engine: str | None = Field(
        None, pattern=f"^({'|'.join(ENGINES)})$", description="What speaks when `hq` is asked for; unset: nothing does."
    )
    hq_slots: int = Field(1, ge=1, le=64, description="Segments that the hq engine makes at once.")
    hq_default_voice: str | None = Field(
        None, max_length=128, description="Voice of the hq engine when none is asked for; unset: its usual one."
    )
    hq_dir: Path = Field(
        state_folder() / "hq",
        description="Folder of what was spoken again in high quality; it belongs to this service.",
    )
    hq_bytes: int = Field(
        1024**3, ge=1024**2, le=1024**5, description="Bytes in that folder; the least recently used goes for the next."
    )
    hq_waiting: int = Field(256, ge=1, le=100_000, description="Messages that may wait to be spoken again.")
    idle_flush_ms: int = Field(
        200, ge=1, le=10_000, description="A finished sentence is spoken after such a pause, though no text follows it."
    )
    default_voice: str | None = Field(
        None, max_length=128, description="Voice when a reply names none; unset: the usual voice of its language."
    )
    voices_dir: Path = Field(
        state_folder() / "voices", description="Folder of the voices that people bring; it belongs to this service."
    )
    max_voices: int = Field(1000, ge=1, le=10_000, description="Voices that people may bring; one more is refused.")
    seed_voices_dir: Path = Field(
        Path("voices"),
        validation_alias=AliasChoices("TTS_SEED_VOICES_DIR", "VOICES_DIR"),
        description="Folder of the operator's voices, read at the start: `{language}-{name}_{gender}.wav`, .mp3 or"
        " .flac, and .txt with what is said.",
    )
    speakers_dir: Path = Field(
        state_folder() / "speakers", description="Folder where prepared voices are kept for the next start."
    )
    speaker_cache: int = Field(
        50,
        ge=1,
        le=10_000,
        validation_alias=AliasChoices("TTS_SPEAKER_CACHE", "MAX_CACHE_SIZE"),
        description="Prepared voices in memory; the least recently used goes for the next one.",
    )
    cosyvoice_model: Path | None = Field(
        None, description="The folder of a CosyVoice model, with its `cosyvoice.yaml`, `cosyvoice2.yaml` or `…3.yaml`."
    )
    cosyvoice_python: Path = Field(
        Path(".venv-cosyvoice/bin/python"), description="The Python that engine `cosyvoice` runs in."
    )
    cosyvoice_source: Path | None = Field(
        None,
        description="A checkout of CosyVoice's source, which CosyVoice 3 needs; "
        "unless told, the classes of 1 and 2 that lie in its environment.",
    )
    cosyvoice_fp16: bool = Field(False, description="CosyVoice computes in half precision, on a GPU alone.")
    cosyvoice_trt: bool = Field(False, description="CosyVoice's flow runs under TensorRT, on a GPU alone.")
    cosyvoice_threads: int = Field(
        1, ge=1, le=256, description="CPU threads of each CosyVoice; never more than cores are free."
    )
    upstream_base: str = Field(
        "", description="Engine `openai`: base of the server's paths, as http://127.0.0.1:9000/v1; without a key in it."
    )
    upstream_key: SecretStr = Field(SecretStr(""), description="The server's key, sent to it alone; empty: none.")
    upstream_model: str = Field("tts-1", min_length=1, max_length=256, description="The server's name for its model.")
    upstream_voice: str = Field(
        "alloy", max_length=128, description="The server's voice when none is asked for; empty: it has a usual one."
    )
    upstream_voices: str = Field(
        "alloy,ash,ballad,coral,echo,fable,nova,onyx,sage,shimmer,verse",
        description="The server's voices, with commas between them: what may be asked for.",
    )
    upstream_format: Literal["pcm", "wav"] = Field(
        "pcm", description="What the server is asked for: PCM16 mono as it is, or with the head of a WAV before it."
    )
    upstream_rate: int = Field(24_000, ge=8_000, le=48_000, description="Samples a second of the server's sound.")
    upstream_speed: bool = Field(
        True, description="The server keeps to `speed` and streams all the same; else the service changes the speed."
    )
    upstream_language: bool = Field(
        False, description="The server is told the `language`, as code; OpenAI has no such field, Parley has."
    )
    upstream_instructions: bool = Field(False, description="The server keeps to `instructions`.")
    upstream_clones: bool = Field(
        False, description="The server speaks like a recording that it is sent, in `ref_audio` and `ref_text`."
    )
    upstream_connect_s: float = Field(5.0, gt=0, le=60, description="How long the server may take to be connected to.")
    upstream_first_byte_s: float = Field(
        30.0, gt=0, le=600, description="How long the server may take to the first sound of a segment."
    )
    upstream_between_bytes_s: float = Field(
        10.0, gt=0, le=600, description="How long the server may take from each 20 ms of sound to the next."
    )
    engine_python: Path | None = Field(
        None,
        description="The Python that an engine with an environment of its own runs in: `f5`, `qwen3`, `vibevoice`,"
        " `piper`; unless told, the service's.",
    )
    piper_voices: Path | None = Field(
        None, description="A Piper voice, `….onnx` with `….onnx.json` beside it, or a folder of them."
    )
    engine_device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where `f5`, `qwen3` and `vibevoice` compute: cpu, cuda or cuda:1; auto: on a GPU if there is one.",
    )
    f5_model: Path | None = Field(
        None,
        description="A folder with one checkpoint of F5-TTS and the vocoder in a folder `vocos`, perhaps a `vocab.txt`."
        " The weights that its authors publish are CC-BY-NC: not for commercial use.",
    )
    f5_kind: str = Field(
        "F5TTS_v1_Base", pattern=r"^\w+$", description="Which of the package's architectures the checkpoint is of."
    )
    f5_steps: int = Field(32, ge=4, le=128, description="Steps in which F5-TTS makes a sentence: quality for time.")
    qwen3_model: Path | None = Field(None, description="The folder of a model of Qwen3-TTS, of any of its three kinds.")
    vibevoice_model: Path | None = Field(None, description="The folder of a VibeVoice-Realtime.")
    vibevoice_voices: Path | None = Field(None, description="The folder of its voices, `en-Carter_man.pt` and so on.")
    vibevoice_scale: float = Field(
        1.5, ge=1, le=10, description="How much VibeVoice keeps to its text: its classifier-free guidance."
    )
    vibevoice_steps: int = Field(
        5, ge=1, le=50, description="Steps in which VibeVoice makes a frame: quality for time."
    )
    edge_allow: bool = Field(
        False, description="Engine `edge` may run, which sends the text of every reply to Microsoft's service of Edge."
    )
