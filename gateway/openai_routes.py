"""What OpenAI's clients ask for, at the gateway's address: each is handed on to the service that does it.

Fields and answers are those of the services (docs/hearing.md, docs/speaking.md); nothing is changed on the way. A key
for idempotency holds at one replica of the llm_service, or at all of them where they share a store; what is spoken anew
is known to all replicas of the tts_service that share a folder.
"""

from typing import Any, Final

from fastapi import FastAPI, Response

from gateway.forward import Destination, Forwarded
from gateway.service_calls import ASR, LLM, TTS, ServiceCalls, calls_of

MB: Final = 1024 * 1024
FILE_SILENCE_S: Final = 1_800.0  # a file of an hour may be heard for a while before anything is told
FILE_BYTES: Final = 25 * MB + MB // 4  # with the form around it

TRANSCRIPTIONS: Final = Destination(ASR, "/v1/audio/transcriptions", FILE_BYTES, FILE_SILENCE_S)
TRANSLATIONS: Final = Destination(ASR, "/v1/audio/translations", FILE_BYTES, FILE_SILENCE_S)
SPEECH: Final = Destination(TTS, "/v1/audio/speech", MB)
CHAT: Final = Destination(LLM, "/v1/chat/completions")
COMPLETIONS: Final = Destination(LLM, "/v1/completions")
EMBEDDINGS: Final = Destination(LLM, "/v1/embeddings")
MODELS: Final = Destination(LLM, "/v1/models")
VOICES: Final = Destination(TTS, "/v1/voices", 25 * MB + MB // 16)
RERENDERS: Final = Destination(TTS, "/v1/rerenders", MB)

POSTED: Final = {
    TRANSCRIPTIONS: "Write down what is said in a file (multipart: `file`, and OpenAI's fields).",
    TRANSLATIONS: "The same in English, where the engine can.",
    SPEECH: "Speak a text (JSON: `input`, `voice`, `response_format` …).",
    CHAT: "Answer messages, whole or as events.",
    COMPLETIONS: "Go on with a text: the older form.",
    EMBEDDINGS: "Vectors for texts.",
    RERENDERS: "Have a message spoken anew by the finer engine.",
}


def add_openai_routes(app: FastAPI) -> None:
    """Add the routes. They must come before the page, which takes every path that is left."""
    calls = calls_of(app)
    for to, told in POSTED.items():
        add_forward(app, calls, "POST", to.path, to, summary=told)
    add_forward(app, calls, "GET", MODELS.path, MODELS)

    @app.get("/v1/models/{name:path}", response_class=Response)
    async def model(name: str) -> Response:
        return Forwarded(calls, MODELS.below(name))

    _add_rerenders(app, calls)


def _add_rerenders(app: FastAPI, calls: ServiceCalls) -> None:
    @app.get("/v1/rerenders/{key}", response_class=Response)
    async def rerender(key: str) -> Response:
        return Forwarded(calls, RERENDERS.below(key))

    @app.get("/v1/rerenders/{key}/audio", response_class=Response)
    async def rerendered_audio(key: str) -> Response:
        return Forwarded(calls, RERENDERS.below(key).below("audio"))

    @app.delete("/v1/rerenders/{key}", response_class=Response)
    async def drop_rerender(key: str) -> Response:
        return Forwarded(calls, RERENDERS.below(key))


def add_forward(app: FastAPI, calls: ServiceCalls, method: str, path: str, to: Destination, **told: Any) -> None:
    """A route whose requests go to one place."""

    async def forwarded() -> Response:
        return Forwarded(calls, to)

    name = f"{method.lower()}{path.replace('/', '_')}"
    app.add_api_route(path, forwarded, methods=[method], name=name, response_class=Response, **told)
