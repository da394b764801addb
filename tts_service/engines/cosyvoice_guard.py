"""Makes one model of CosyVoice safe for one request after another, by wrapping four of its functions.

As it comes, a model that streams grows its first block from request to request, looks ten times a second whether its
language model has written enough, does so for ever when that has raised, runs on when nobody listens any more and keeps
what it knew of such a request for good. Guarded, each synthesis begins with the block size that the model was made
with and looks after every token; an exception is raised as EngineFailed; a stop ends the language model at its next
token and the rest at its next block; after a request, however it ended, no thread of it runs and nothing of it is held.
The last moments of each synthesis fade, for they may hold noise.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from shared.errors import EngineFailed
from shared.threads import StopToken

FADE_S: Final = 0.03
NAP_S: Final = 0.1  # at most; a token ends it
THREAD_LIMIT_S: Final = 30.0  # a step of the language model takes some hundredths of a second
PER_REQUEST: Final = (
    "tts_speech_token_dict",
    "llm_end_dict",
    "hift_cache_dict",
    "mel_overlap_dict",
    "flow_cache_dict",
)


class _Stopped(Exception):
    """The request is not wanted any more."""


class _Clock:
    """The module `time` with another sleep."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self.sleep = sleep

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Guard:
    """Around the `model` of a CosyVoice object, which makes sound at `rate`; used by one thread at a time."""

    def __init__(self, model: Any, rate: int) -> None:
        self._model = model
        self._hop = getattr(model, "token_hop_len", None)
        self._fade = int(FADE_S * rate)
        self._stop = StopToken()
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self._news = threading.Event()  # a token more
        self._is_written = threading.Event()  # the last one
        sys.modules[type(model).__module__].time = _Clock(self._nap)  # type: ignore[attr-defined]
        model.llm_job = self._job(model.llm_job)
        model.llm.inference = self._tokens(model.llm.inference)
        model.token2wav = self._sound(model.token2wav)
        model.tts = self._synthesis(model.tts)

    def run(self, make: Callable[[], Iterator[dict[str, Any]]], stop: StopToken) -> Iterator[Any]:
        """The tensors [1, n] of one request, which `make` begins; none after `stop`. Raises EngineFailed."""
        self._stop, self._failure = stop, None
        blocks = make()
        try:
            while not stop.is_stopped():
                try:
                    made = next(blocks, None)
                except Exception as failure:  # the classes raise anything
                    self._failure = self._failure or failure
                    made = None
                if stop.is_stopped():
                    return
                if self._failure:
                    raise EngineFailed("CosyVoice failed at this text.", service="tts") from None
                if made is None:
                    return
                yield made["tts_speech"]
        finally:
            self._end(blocks)

    def _end(self, blocks: Any) -> None:
        """Leave nothing behind; waits for the language model's thread, which ends at its next token."""
        self._stop = _stopped()
        blocks.close()
        model = self._model
        with model.lock:
            for name in PER_REQUEST:
                getattr(model, name, {}).clear()
        thread, self._thread = self._thread, None
        if thread:
            thread.join(THREAD_LIMIT_S)
            if thread.is_alive():
                raise RuntimeError("a thread of the language model does not end")

    def _nap(self, _seconds: float) -> None:
        if not self._is_written.is_set():  # else every look finds something to do, or the end
            self._news.wait(NAP_S)
            self._news.clear()

    def _job(self, run: Callable[..., None]) -> Callable[..., None]:
        def job(*given: Any) -> None:
            self._thread, request = threading.current_thread(), given[-1]
            try:
                run(*given)
            except Exception as failure:  # it would end this thread, and the one that polls would never know
                self._failure = self._failure or failure
            finally:
                with self._model.lock:
                    if request in self._model.llm_end_dict:
                        self._model.llm_end_dict[request] = True
                self._is_written.set()
                self._news.set()

        return job

    def _tokens(self, infer: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def tokens(*given: Any, **named: Any) -> Iterator[Any]:
            for token in infer(*given, **named):
                if self._stop.is_stopped():
                    raise _Stopped
                yield token
                self._news.set()  # it has been taken

        return tokens

    def _sound(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def sound(*given: Any, **named: Any) -> Any:
            if self._stop.is_stopped() or self._failure:
                raise _Stopped  # no pass of the flow for a request that is over
            return make(*given, **named)

        return sound

    def _synthesis(self, make: Callable[..., Iterator[dict[str, Any]]]) -> Callable[..., Iterator[dict[str, Any]]]:
        def synthesis(*given: Any, **named: Any) -> Iterator[dict[str, Any]]:
            if self._hop is not None:
                self._model.token_hop_len = self._hop
            self._is_written.clear()
            blocks = make(*given, **named)
            try:
                for speech in faded((block["tts_speech"] for block in blocks), self._fade):
                    yield {"tts_speech": speech}
            finally:
                blocks.close()  # type: ignore[attr-defined]

        return synthesis


def faded(blocks: Iterator[Any], fade: int) -> Iterator[Any]:
    """The same sound [1, n], whose last `fade` samples go down to silence; none of the blocks is empty."""
    import torch

    held = torch.zeros(1, 0)
    for block in blocks:
        sound = torch.cat([held, block.float()], dim=1)
        held = sound[:, max(0, sound.shape[1] - fade) :]
        if sound.shape[1] > fade:
            yield sound[:, :-fade]
    if held.shape[1]:
        yield held * torch.linspace(1.0, 0.0, held.shape[1])


def _stopped() -> StopToken:
    stop = StopToken()
    stop.stop()
    return stop
