"""A model's context that is played: it remembers what each slot holds, and writes the tokens that it was given."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_service.core.batching import Run
from llm_service.engines.llama_cpp_batch import Outcome

END = 0  # the token that ends a reply


@dataclass
class PlayedContext:
    """Each token above the end writes its own byte. `gate` holds the next step back, as a long one would be."""

    memory: dict[int, list[int]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)  # of the next steps; DONE when there are none
    can_cut: bool = True
    gate: threading.Event | None = None
    has_begun: threading.Event = field(default_factory=threading.Event)  # a step behind the gate
    breaks: int = 0
    _broken: threading.Event = field(default_factory=threading.Event)

    def cut(self, slot: int, kept: int) -> bool:
        held = self.memory.setdefault(slot, [])
        del held[kept if self.can_cut else 0 :]
        return self.can_cut

    def allow(self) -> None:
        self._broken.clear()

    def break_off(self) -> None:
        self.breaks += 1
        self._broken.set()
        if self.gate:
            self.gate.set()

    def decode(self, runs: Sequence[Run]) -> Outcome:
        if self.gate:
            self.has_begun.set()
            assert self.gate.wait(10)
        if self._broken.is_set():
            return Outcome.BROKEN_OFF
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.DONE
        for run in runs if outcome is Outcome.DONE else ():
            assert run.start == len(self.memory[run.slot])
            self.memory[run.slot] += run.tokens
        return outcome

    def text(self, token: int) -> bytes:
        return bytes([token])

    def is_end(self, token: int) -> bool:
        return token == END


@dataclass
class PlayedSampler:
    """Chooses the bytes of a text, then the end for ever."""

    text: bytes = b""
    frees: int = 0

    def choose(self, place: int) -> int:
        token, self.text = (self.text[0], self.text[1:]) if self.text else (END, b"")
        return token

    def free(self) -> None:
        self.frees += 1
