"""`python -m asr_service`: serve until told to stop."""

from asr_service.app import build_app
from asr_service.settings import AsrSettings
from shared.app import serve

if __name__ == "__main__":
    settings = AsrSettings.load()
    serve(build_app(settings), settings, "asr")
