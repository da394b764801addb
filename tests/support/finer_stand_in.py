"""A tts_service as far as it speaks messages again: it says what a test tells it, and notes what it is told."""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response

from tests.support.llm import serving
from tests.support.uploads import wav

KEY = "0a1b"
SOUND = wav(b"\x03\x04" * 16_000, 16_000)
WAITING: dict[str, Any] = {"id": KEY, "state": "waiting"}
RUNNING: dict[str, Any] = {"id": KEY, "state": "running"}
DONE: dict[str, Any] = {
    "id": KEY,
    "state": "done",
    "engine": "fake",
    "sample_rate": 16_000,
    "total_samples": 16_000,
    "segments": [{"text": "Hi.", "start_samples": 0}, {"text": "Bye.", "start_samples": 9_000}],
    "error": None,
}


def failed(*, retryable: bool) -> dict[str, Any]:
    """What is told of one that could not be made."""
    return {"id": KEY, "state": "failed", "error": {"code": "x", "message": "It broke.", "retryable": retryable}}


def refusal(status: int, code: str) -> tuple[int, Any]:
    """An answer that is an error."""
    return status, {"error": {"message": "No.", "type": "x", "param": None, "code": code}}


class FinerStandIn:
    """Each kind of question has its answers in their order; the last one is given again and again."""

    def __init__(self) -> None:
        self.posts: deque[tuple[int, Any]] = deque([(202, WAITING)])
        self.looks: deque[tuple[int, Any]] = deque([(200, RUNNING), (200, DONE)])
        self.sound = SOUND
        self.wanted: list[dict[str, Any]] = []
        self.looked = 0
        self.dropped: list[str] = []
        self.app = FastAPI()
        self.app.add_api_route("/v1/rerenders", self._ask, methods=["POST"])
        self.app.add_api_route("/v1/rerenders/{key}", self._look, methods=["GET"])
        self.app.add_api_route("/v1/rerenders/{key}/audio", self._tell_sound, methods=["GET"])
        self.app.add_api_route("/v1/rerenders/{key}", self._drop, methods=["DELETE"])

    async def _ask(self, request: Request) -> Response:
        self.wanted.append(await request.json())
        return _next(self.posts)

    async def _look(self, key: str) -> Response:
        self.looked += 1
        return _next(self.looks) if key == KEY else Response(status_code=404)

    async def _tell_sound(self, key: str) -> Response:
        return Response(self.sound, media_type="audio/wav")

    async def _drop(self, key: str) -> Response:
        self.dropped.append(key)
        return Response(json.dumps({"id": key, "deleted": True}))


def _next(answers: deque[tuple[int, Any]]) -> Response:
    status, told = answers.popleft() if len(answers) > 1 else answers[0]
    return Response(told if isinstance(told, str) else json.dumps(told), status)


@asynccontextmanager
async def stand_in() -> AsyncIterator[tuple[FinerStandIn, str]]:
    """One of them, and its address as a gateway knows it."""
    finer = FinerStandIn()
    async with serving(finer.app) as address:
        yield finer, address.replace("http", "ws")
