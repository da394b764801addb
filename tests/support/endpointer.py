"""An endpointer that hears stretches of one level, for tests."""

from typing import Any

from asr_service.core.endpointer import (
    Action,
    Endpoint,
    Endpointer,
    EndpointerParams,
    EndpointerState,
    EndpointReason,
    Event,
    Frame,
    HypothesisChanged,
)

FRAME_MS = 20
# (level, ms[, probability]), a reading, an event, or new settings
Step = tuple[float, int] | tuple[float, int, float] | str | Event | EndpointerParams


def samples(ms: int) -> int:
    return ms * 16


class Stream:
    """An endpointer and what it told: each action, and the position in ms at which it came."""

    def __init__(self, *steps: Step, params: EndpointerParams | None = None, **changed: Any) -> None:
        self.endpointer = Endpointer(params or EndpointerParams(**changed))
        self.told: list[tuple[Action, int]] = []
        self.then(*steps)

    @property
    def state(self) -> EndpointerState:
        return self.endpointer.state

    @property
    def actions(self) -> list[Action]:
        return [action for action, _ in self.told]

    def then(self, *steps: Step) -> "Stream":
        for step in steps:
            if isinstance(step, EndpointerParams):
                self.endpointer.configure(step)
            elif isinstance(step, tuple):
                self.then(*[Frame(step[0], *step[2:])] * (step[1] // FRAME_MS))
            else:
                event = HypothesisChanged(step) if isinstance(step, str) else step
                actions = self.endpointer.handle(event)
                self.told += [(action, self.endpointer.position_samples // 16) for action in actions]
        return self

    def endpoints(self) -> list[tuple[int, int, EndpointReason, int]]:
        """Start, end, reason and time told of each endpoint, in ms."""
        ends = [(action, told_ms) for action, told_ms in self.told if isinstance(action, Endpoint)]
        return [(end.start_samples // 16, end.at_samples // 16, end.reason, told_ms) for end, told_ms in ends]
