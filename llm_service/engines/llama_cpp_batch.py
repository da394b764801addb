"""The one thread that owns a model's context, and writes all replies in it.

`run` is that thread: it asks the scheduler what is next, decodes it, chooses tokens, and tells what was written. Orders
and cancels come from another thread at any time. A cancel is seen before the next step; when nobody waits any more for
what is being decoded, the step itself is broken off, and others that run are only delayed by it. A failure of the
context that it cannot recover from is raised out of `run`.
"""

import codecs
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol

from llm_service.core.batching import BatchParams, Cut, Refusal, Run, Scheduler, SlotState
from llm_service.core.stops import StopFinder


class NotTaken(Exception):
    """Why no order can be made of a request, as one sentence for who sent it."""


class NotOffered(NotTaken):
    """It asks for what this model does not do; `param`: by which field."""

    def __init__(self, sentence: str, param: str) -> None:
        super().__init__(sentence)
        self.param = param


class Outcome(Enum):
    """How the decoding of a step went."""

    DONE = "its tokens are in the memory"
    BROKEN_OFF = "it was broken off; a part of it may be in the memory"
    NO_ROOM = "the memory has no room for it"


class Context(Protocol):
    """A model's memory and scores. `break_off` may be called from any thread, all else by the one that owns it."""

    def cut(self, slot: int, kept: int) -> bool:
        """Keep only the slot's first tokens; False: that cannot be done, and the slot is empty now."""
        ...

    def allow(self) -> None:
        """The next step is not broken off by an older `break_off`."""
        ...

    def decode(self, runs: Sequence[Run]) -> Outcome:
        """Put the tokens into the memory; raises RuntimeError when nothing can be done with it any more."""
        ...

    def break_off(self) -> None:
        """End the `decode` that runs, as soon as the device can."""
        ...

    def text(self, token: int) -> bytes:
        """What a token writes: maybe a part of a character, nothing for a control token."""
        ...

    def is_end(self, token: int) -> bool:
        """Whether the model ends its reply with this token."""
        ...


class Sampler(Protocol):
    """Chooses the tokens of one reply; belongs to the owner's thread from the order on."""

    def choose(self, place: int) -> int:
        """A token by the scores at this place of the last batch."""
        ...

    def free(self) -> None:
        """It is not used any more."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """A reply that is wanted."""

    prompt: tuple[int, ...]
    max_tokens: int
    sampler: Sampler = field(repr=False)
    stops: tuple[str, ...] = ()
    ignores_end: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """More text of a reply; never empty."""

    key: int
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A reply is complete. `reused_tokens` of its prompt were in the memory already."""

    key: int
    reason: Literal["stop", "length"]
    prompt_tokens: int
    written_tokens: int
    reused_tokens: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A reply cannot be completed."""

    key: int


Told = Said | Ended | Lost


def _decoder() -> codecs.IncrementalDecoder:
    """Holds a character back until all of its bytes have come; bytes that are none are left out."""
    return codecs.getincrementaldecoder("utf-8")("ignore")


@dataclass(slots=True)
class _Reply:
    order: Order
    stops: StopFinder
    decoder: codecs.IncrementalDecoder = field(default_factory=_decoder)
    written: int = 0
    reused: int = 0


class Batcher:
    """Orders in, what was written out. `tell` is called on the owner's thread, once a step, and must not wait."""

    def __init__(self, context: Context, params: BatchParams, tell: Callable[[Sequence[Told]], None]) -> None:
        self._context = context
        self._scheduler = Scheduler(params)
        self._tell = tell
        self._changed = threading.Condition()  # guards all below
        self._replies: dict[int, _Reply] = {}
        self._gone: list[_Reply] = []  # their samplers are freed between steps
        self._last_key = 0
        self._is_decoding = False
        self._is_stopped = False

    def submit(self, order: Order) -> int | Refusal:
        """The key of a reply that will be written, or why it will not."""
        with self._changed:
            key = self._last_key + 1
            if refusal := self._scheduler.submit(key, order.prompt, order.max_tokens):
                order.sampler.free()
                return refusal
            self._last_key = key
            self._replies[key] = _Reply(order, StopFinder(order.stops))
            self._changed.notify()
            return key

    def cancel(self, key: int) -> None:
        """The reply is not wanted any more, if it still runs: nothing more is told of it."""
        with self._changed:
            self._end(key)
            if self._is_decoding and not self._scheduler.is_wanted():
                self._context.break_off()
            self._changed.notify()

    def stop(self) -> None:
        """Let `run` return; what runs is broken off."""
        with self._changed:
            self._is_stopped = True
            self._context.break_off()
            self._changed.notify()

    def states(self) -> list[SlotState]:
        """What each slot does now."""
        with self._changed:
            return self._scheduler.states()

    def run(self) -> None:
        """Own the context until stopped."""
        while runs := self._next_step():
            if told := self._conclude(runs, self._context.decode(runs)):
                self._tell(told)
        self._free_gone()

    def _next_step(self) -> tuple[Run, ...]:
        """Wait for work and plan it; empty: stopped."""
        with self._changed:
            while not self._is_stopped:
                self._free_gone()
                for cut in self._scheduler.admit():
                    self._replies[cut.key].reused = self._make(cut)
                if runs := self._scheduler.plan():
                    self._context.allow()
                    self._is_decoding = True
                    return runs
                self._changed.wait()
            return ()

    def _make(self, cut: Cut) -> int:
        """The tokens that the slot holds after it."""
        if self._context.cut(cut.slot, cut.kept):
            return cut.kept
        self._scheduler.forget(cut.slot)
        return 0

    def _conclude(self, runs: Sequence[Run], outcome: Outcome) -> list[Told]:
        with self._changed:
            self._is_decoding = False
            match outcome:
                case Outcome.BROKEN_OFF:
                    for cut in self._scheduler.undone():
                        self._make(cut)
                    return []
                case Outcome.NO_ROOM:
                    return self._lose(runs)
            wanted = [(key, place, self._replies[key]) for key, place in self._scheduler.decoded()]
        chosen = [(key, reply, reply.order.sampler.choose(place)) for key, place, reply in wanted]
        with self._changed:
            return [told for key, reply, token in chosen for told in self._write(key, reply, token)]

    def _lose(self, runs: Sequence[Run]) -> list[Told]:
        for run in runs:
            self._context.cut(run.slot, 0)
        lost = self._scheduler.failed()
        for key in lost:
            self._end(key)
        return [Lost(key) for key in lost]

    def _write(self, key: int, reply: _Reply, token: int) -> list[Told]:
        if key not in self._replies:  # cancelled while its token was chosen
            return []
        goes_on = self._scheduler.written(key, token)
        reply.written += 1
        is_end = self._context.is_end(token) and not reply.order.ignores_end
        text = "" if is_end else reply.stops.feed(reply.decoder.decode(self._context.text(token)))
        has_stopped = is_end or reply.stops.has_stopped
        if goes_on and not has_stopped:
            return [Said(key, text)] if text else []
        text += reply.stops.finish()
        self._end(key)
        ended = Ended(key, "stop" if has_stopped else "length", len(reply.order.prompt), reply.written, reply.reused)
        return [Said(key, text), ended] if text else [ended]

    def _end(self, key: int) -> None:
        self._scheduler.end(key)
        if reply := self._replies.pop(key, None):
            self._gone.append(reply)

    def _free_gone(self) -> None:
        while self._gone:
            self._gone.pop().order.sampler.free()
