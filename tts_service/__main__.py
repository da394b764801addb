"""`python -m tts_service`: serve until told to stop."""

from shared.app import serve
from tts_service.app import build_app
from tts_service.settings import TtsSettings

if __name__ == "__main__":
    settings = TtsSettings.load()
    serve(build_app(settings), settings, "tts")
