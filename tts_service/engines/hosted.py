"""An engine that runs in processes and an environment of its own, seen from the service; host.py is the other side.

An adapter is one module with two functions, and imports nothing heavy when it is imported itself:

    def load(settings: TtsSettings) -> HostedEngine     # here: which Python, which options, how long to wait
    def open(options: Mapping[str, str]) -> Engine      # in the child, by host.py: imports its libraries

Its engine is an ordinary Engine. Each of its slots has a child with an engine of its own, since a model makes one
request at a time; TTS_SLOTS is thus how many copies of a model are held. What the engine tells about itself comes from
the first child, which then serves the first slot. Errors of shared.errors that the engine raises arrive here as
themselves. A request that is stopped is over when its child says so; a child that does not say so in time is ended. So
is one that is silent for too long, and a child that is gone is replaced (pipe.py); its slot waits for the new one.

The environment of an adapter holds what the lock of the tts_service names, its own libraries, and nothing of the other
services. What its libraries print, log or warn of is dropped, for it quotes the text; see host.py.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from shared.clock import thread_now_s
from shared.errors import EngineFailed, ParleyError
from shared.threads import StopToken
from tts_service.engines.base import Capabilities, Reference, Speaker, SynthesisRequest, Voice
from tts_service.engines.pipe import ChildGone, ChildPipe, KeptChild
from tts_service.engines.recent import SPEAKERS_HELD, Recent

HOST: Final = "tts_service.engines.host"
ENVIRONMENT: Final = {  # no service fetches weights, and no bar of progress belongs into its log
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a child may take, in seconds."""

    start_s: float = 300.0  # to import its libraries and load its model
    first_block_s: float = 60.0
    next_block_s: float = 60.0
    prepare_s: float = 60.0
    cancel_s: float = 10.0  # to end a request that nobody wants: the step of a model that it is at


class HostedSlot:
    """One child, one request at a time."""

    def __init__(self, child: KeptChild, limits: Limits) -> None:
        self._child = child
        self._limits = limits
        self._last_id = 0
        self._holder: ChildPipe | None = None  # the child that holds the speakers below
        self._held: Recent[str, bool] = Recent(SPEAKERS_HELD)  # the same rule there: both know what is still held

    @property
    def pid(self) -> int | None:
        """The child's, or None while there is none."""
        return self._child.current.pid if self._child.current else None

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """Blocks as the child's engine makes them."""
        fields = {**asdict(request), "speaker": None}
        first_s, next_s = self._limits.first_block_s, self._limits.next_block_s
        yield from self._answer(fields, request.speaker, stop, first_s, next_s)

    def prepare(self, reference: Reference) -> bytes:
        """What the child's engine makes of a reference."""
        fields = {"reference": {**asdict(reference), "path": str(reference.path.absolute())}}
        limit_s = self._limits.prepare_s
        return b"".join(self._answer(fields, None, StopToken(), limit_s, limit_s))

    def close(self) -> None:
        self._child.close()

    def _answer(
        self, fields: dict[str, Any], speaker: Speaker | None, stop: StopToken, first_s: float, next_s: float
    ) -> Generator[bytes, None, None]:
        """Ask the child for something and yield the blocks of its answer."""
        pipe = self._ready(stop)
        if pipe is None:
            return
        is_over, limit_s = False, first_s
        try:
            self._send(pipe, fields, speaker)
            while not stop.is_stopped() and (block := pipe.read_block(limit_s, stop)) is not None:
                is_over, limit_s = not block, next_s
                if is_over:
                    self._child.worked()
                    return
                yield block
        except ParleyError:
            is_over = True
            self._child.worked()
            raise
        except ChildGone:
            is_over = True
            self._lose()
            raise EngineFailed("The speech engine ended in the middle of a segment.", service="tts") from None
        finally:
            if not is_over:  # stopped, or the reader left
                self._abandon(pipe)

    def _ready(self, stop: StopToken) -> ChildPipe | None:
        """The pipe to a child that has loaded; None if it was stopped before. Raises EngineFailed."""
        pipe = self._child.living()
        try:
            is_loaded = pipe.hello(self._limits.start_s, stop) is not None
        except ParleyError as failure:
            self._child.lost()
            raise EngineFailed(failure.message, service="tts") from None
        except ChildGone:
            self._child.lost()
            raise EngineFailed("The speech engine does not start.", service="tts") from None
        return pipe if is_loaded and not stop.is_stopped() else None

    def _send(self, pipe: ChildPipe, fields: dict[str, Any], speaker: Speaker | None) -> None:
        """Send a request, and before it the speaker if the child does not hold it."""
        if self._holder is not pipe:
            self._holder, self._held = pipe, Recent(SPEAKERS_HELD)
        if speaker:
            key = hashlib.sha256(speaker.prepared).hexdigest()
            if not self._held.get(key):
                prepared = b64encode(speaker.prepared).decode()
                pipe.send({"hold": key, "revision": speaker.revision, "prepared": prepared})
                self._held.put(key, True)
            fields = {**fields, "speaker": key}
        self._last_id += 1
        pipe.send({"id": self._last_id, **fields})

    def _abandon(self, pipe: ChildPipe) -> None:
        """Cancel the request and read what is left of its answer, so that the next one begins clean."""
        deadline_s = thread_now_s() + self._limits.cancel_s
        try:
            pipe.send({"cancel": self._last_id})
            while pipe.read_block(max(0.0, deadline_s - thread_now_s())):
                pass
        except ParleyError:
            pass  # that was the end of it
        except ChildGone:
            self._lose()

    def _lose(self) -> None:
        """Begin to load the next child at once, unless one was lost before."""
        self._child.lost()
        with suppress(EngineFailed):
            self._child.living()


class HostedEngine:
    """The engine `name` as `adapter` opens it with `options` under the Python at `interpreter`."""

    def __init__(
        self,
        name: str,
        interpreter: Path | str,
        adapter: str,
        options: Mapping[str, str],
        limits: Limits | None = None,
        environment: Mapping[str, str] | None = None,
        clock_s: Callable[[], float] = thread_now_s,
    ) -> None:
        self.name = name
        self.sample_rate = 0
        self.capabilities = Capabilities((), (), 0, "whole")
        told = [part for option, value in options.items() for part in (f"--{option}", value)]
        self._command = (str(interpreter), "-m", HOST, adapter, *told)
        self._environment = {**ENVIRONMENT, **(environment or {})}
        self._limits = limits or Limits()
        self._clock_s = clock_s
        self._names: frozenset[str] = frozenset()
        self._loading: ChildPipe | None = None
        self._spare: ChildPipe | None = None  # told what is above, and serves the first slot
        self._is_closed = False

    def start(self) -> None:
        pipe = self._loaded()
        hello = pipe.hello(self._limits.start_s) or {}
        try:
            self.sample_rate = int(hello["sample_rate"])
            self.capabilities = _capabilities(hello["capabilities"])
        except (KeyError, TypeError, ValueError):
            pipe.close()
            raise EngineFailed(f"What runs the speech engine {self.name} is no host of it.", service="tts") from None
        self._names = frozenset(voice.name for voice in self.capabilities.voices)
        self._drop_spare()
        self._spare = pipe

    def has_voice(self, name: str) -> bool:
        return name in self._names

    def open_slot(self) -> HostedSlot:
        first, self._spare = self._spare, None
        return HostedSlot(KeptChild(self.name, self._spawned, self._clock_s, first or self._loaded()), self._limits)

    def close(self) -> None:
        """End the child that loads, whose waiter is told EngineFailed, or that serves no slot yet; open no other."""
        self._is_closed = True
        self._drop_spare()
        loading = self._loading  # the thread that waits for it may drop it in this moment
        if loading:
            loading.close()

    def _drop_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare:
            spare.close()

    def _spawned(self) -> ChildPipe:
        return ChildPipe(self._command, self._environment)

    def _loaded(self) -> ChildPipe:
        """A child that is ready to speak. Raises EngineFailed."""
        try:
            pipe = self._loading = self._spawned()
        except ChildGone:
            where = self._command[0]
            raise EngineFailed(f"The speech engine {self.name} has no Python at {where}.", service="tts") from None
        if self._is_closed:  # before, or while it was spawned
            pipe.close()
        try:
            pipe.hello(self._limits.start_s)
        except ParleyError as failure:
            pipe.close()
            raise EngineFailed(failure.message, service="tts") from None
        except ChildGone:
            pipe.close()
            raise EngineFailed(f"The speech engine {self.name} does not start.", service="tts") from None
        finally:
            self._loading = None
        return pipe


def _capabilities(fields: Mapping[str, Any]) -> Capabilities:
    voices = tuple(Voice(**voice) for voice in fields["voices"])
    return Capabilities(**{**fields, "voices": voices, "languages": tuple(fields["languages"])})
