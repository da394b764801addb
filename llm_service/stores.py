"""Where answers with a key are made and kept, as the settings say."""

from llm_service.core.idempotency import IdempotencyParams
from llm_service.memory_runs import MemoryRuns
from llm_service.runs import RunLimits, Runs
from llm_service.settings import LlmSettings


def runs_for(settings: LlmSettings) -> Runs:
    """The store of this service."""
    params = IdempotencyParams(
        settings.idempotency_life_s,
        settings.keyed_requests,
        settings.kept_answers,
        settings.kept_bytes,
        settings.kept_answer_bytes,
    )
    limits = RunLimits(settings.idempotency_grace_s, settings.answer_limit_s, settings.idempotency_joins)
    if settings.redis_url is None:
        return MemoryRuns(params, limits)
    from llm_service.redis_runs import RedisRuns  # only who sets an address needs the library

    return RedisRuns(settings.redis_url.get_secret_value(), params, limits, settings.redis_lock_s)
