"""`python -m asr_service`, with a figure more: how often a model was loaded, by the libraries' own constructors."""

from typing import Any

from prometheus_client import Counter

from asr_service.app import build_app
from asr_service.settings import AsrSettings
from shared.app import serve

LOADS = Counter("bench_model_loads", "Models that were loaded.")


def counted(plain: Any) -> Any:
    """A class that counts how many of it are made."""

    class Counted(plain):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            LOADS.inc()
            super().__init__(*args, **options)

    return Counted


def count_loads(engine: str) -> None:
    """Count what the engine's library loads; only that library is imported."""
    if engine == "pocketsphinx":
        import pocketsphinx

        pocketsphinx.Decoder = counted(pocketsphinx.Decoder)
    elif engine == "faster-whisper":
        import ctranslate2

        ctranslate2.models.Whisper = counted(ctranslate2.models.Whisper)


if __name__ == "__main__":
    settings = AsrSettings.load()
    count_loads(settings.engine)
    serve(build_app(settings), settings, "asr")
