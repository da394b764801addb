"""Run the language service: `python -m llm_service`."""

import sys

from llm_service.app import build_app
from llm_service.engines.base import SetupProblem
from llm_service.settings import LlmSettings
from shared.app import serve


def main() -> None:
    """Serve until told to stop, or say in one sentence why that is impossible."""
    settings = LlmSettings.load()
    try:
        app = build_app(settings)
    except SetupProblem as problem:
        sys.exit(str(problem))
    serve(app, settings, "llm")


if __name__ == "__main__":
    main()
