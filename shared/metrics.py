"""Every figure that a service exports at /metrics, in one place; buckets are chosen per stage.

Names: `parley_` + what + unit. Labels have few values: a service, a stage, an outcome, an error code; never a session.
"""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

_FAST_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_STAGE_S = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_RATIO = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 3.0)

SESSIONS = Gauge("parley_sessions", "Connections that are open.", ["service"])
ERRORS = Counter("parley_errors_total", "Errors told to a client.", ["service", "code"])
STALE = Counter(
    "parley_stale_dropped_total", "Things dropped because they belong to an older reply.", ["service", "what"]
)
STAGE_SECONDS = Histogram(
    "parley_stage_seconds",
    "From the end of speech to each stage of a turn that was kept; a stage reached before it counts as 0.",
    ["stage"],
    buckets=_STAGE_S,
)
TURNS = Counter("parley_turns_total", "Turns that ended, by outcome: stop, length, interrupted, error.", ["outcome"])
HELD_REPLIES = Counter(
    "parley_held_replies_total", "Speculative replies, by outcome: released, cancelled.", ["outcome"]
)
RESUMES = Counter(
    "parley_resumes_total",
    "Sessions that were asked for after a cut: live, restored from what was written down, refused.",
    ["outcome"],
)
RECALLS = Counter(
    "parley_recalls_total",
    "Searches for what was said in earlier sessions: found, empty, part (only by words in time), late, busy; and what "
    "could not be kept or searched: dropped, failed.",
    ["outcome"],
)
KEPT_AUDIO = Counter(
    "parley_kept_audio_total",
    "Sound of answers that was kept: fast, hq; and why some was not, or stayed fast: full, gone, loaded, lost, fault, "
    "left, no_engine, refused, failed, unreachable, late.",
    ["outcome"],
)
WASTED_TOKENS = Counter(
    "parley_wasted_tokens_total",
    "Pieces of text that a language model sent of speculative replies that were withdrawn.",
)
ASR_DECODE_SECONDS = Histogram("parley_asr_decode_seconds", "One step of the recogniser.", ["kind"], buckets=_FAST_S)
ASR_BATCH = Histogram(
    "parley_asr_batch", "Streams that were read in one call of the model.", buckets=(1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
)
ASR_RTF = Histogram("parley_asr_rtf", "Decoding time over audio time of an utterance.", buckets=_RATIO)
ASR_FINALS = Counter("parley_asr_finals_total", "Utterances that ended, by reason.", ["reason"])
LLM_TTFT_SECONDS = Histogram("parley_llm_ttft_seconds", "Request to first token.", ["engine"], buckets=_STAGE_S)
LLM_TOKENS = Counter("parley_llm_tokens_total", "Tokens, by kind: prompt, completion.", ["kind"])
LLM_IDEMPOTENCY = Counter(
    "parley_llm_idempotency_total",
    "Requests with an idempotency key: new, join, replay; refused: conflict, in_flight, full.",
    ["outcome"],
)
LLM_RUNNING = Gauge("parley_llm_running", "Generations that are running.", ["engine"])
REPLICAS = Gauge(
    "parley_replicas",
    "Replicas of a service, by condition: ready, unknown, loading, lost, silent.",
    ["service", "kind"],
)
REPLICA_CHANGES = Counter(
    "parley_replica_changes_total",
    "Replicas taken out, replicas that came back, work under way that moved to another one: out, back, moved.",
    ["service", "what"],
)
LOAD_LEVEL = Gauge(
    "parley_load_level",
    "What Parley does without under load: 0 nothing, 1 finer renderings, 2 the costly voice, 3 sound.",
)
ENGINE_RESTARTS = Counter(
    "parley_engine_restarts_total", "Child processes started again after they ended.", ["service", "engine"]
)
TTS_TTFB_SECONDS = Histogram(
    "parley_tts_ttfb_seconds", "Segment complete to its first PCM.", ["engine"], buckets=_FAST_S
)
TTS_RTF = Histogram("parley_tts_rtf", "Synthesis time over audio time of a segment.", ["engine"], buckets=_RATIO)
TTS_AUDIO_SECONDS = Counter("parley_tts_audio_seconds_total", "Seconds of speech made.", ["engine"])
TTS_SPEAKERS = Counter(
    "parley_tts_speakers_total", "Speakers of recordings, by where they came from: memory, disk, prepared.", ["outcome"]
)

__all__ = [name for name in globals() if name.isupper() and not name.startswith("_")] + ["REGISTRY"]
