"""Many conversations by chance under the eyes of the law, and what was reached in them.

Each has its number: with the same seed the same number is the same conversation, whoever plays it and in what order.
Its wishes are drawn too (answers or transcription alone, prepared or not, remarks that may pass, apologies), and in
every fourth one they change on the way. Half of them are nothing but chance, half a dialogue that chance disturbs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Self

from gateway.core import actions as do
from gateway.core.actions import ConversationAction
from gateway.core.conversation import Conversation
from gateway.core.events import EVENT_TYPES, ConversationEvent
from gateway.core.params import ConversationParams
from gateway.core.transitions import TRANSITIONS, State
from tests.support.conversation_laws import LawBroken, Watched, names
from tests.support.conversation_steps import dialogue_steps, play, random_steps

LENGTH = 30
Cell = tuple[State, type[ConversationEvent]]
Make = Callable[[ConversationParams, Callable[[str], str]], Conversation]

# Those of a reply are counted as stale where there is none, before the table is asked.
UNREACHABLE: frozenset[Cell] = frozenset(
    (state, kind) for state, row in TRANSITIONS.items() for kind, cell in row.items() if "counted as stale" in cell
)
CELLS: frozenset[Cell] = frozenset((state, kind) for state in TRANSITIONS for kind in EVENT_TYPES) - UNREACHABLE


@dataclass
class Reached:
    """What some conversations came to."""

    sequences: int = 0
    events: int = 0
    stale: int = 0  # events that were counted as stale
    states: set[State] = field(default_factory=set)
    cells: set[Cell] = field(default_factory=set)  # cells of the table that were asked
    breaches: list[str] = field(default_factory=list)  # number, law and why

    def add(self, other: Self) -> None:
        """What others came to, counted in."""
        self.sequences += other.sequences
        self.events += other.events
        self.stale += other.stale
        self.states |= other.states
        self.cells |= other.cells
        self.breaches += other.breaches


class Observed(Watched):
    """Watched, and what it reaches is counted."""

    def __init__(self, conversation: Conversation, reached: Reached) -> None:
        super().__init__(conversation)
        self._reached = reached

    def handle(self, event: ConversationEvent, now: float) -> list[ConversationAction]:
        before = self.conversation.state
        answered = super().handle(event, now)
        reached = self._reached
        reached.events += 1
        reached.states.add(self.conversation.state)
        if answered == [do.CountStale(type(event).__name__)]:
            reached.stale += 1
        elif before is not State.CLOSED:
            reached.cells.add((before, type(event)))
        return answered


def random_params(chance: Random) -> ConversationParams:
    """What somebody may want of a conversation."""
    return ConversationParams(
        speculates=chance.random() < 0.8,
        speculations_per_turn=chance.choice([1, 2, 4]),
        replies=chance.random() < 0.9,
        barge_in_words=chance.choice([1, 2]),
        passes_backchannels=chance.random() < 0.5,
        apology=chance.choice(["", "Sorry."]),
    )


def one(seed: int, number: int, reached: Reached, make: Make = Conversation) -> None:
    """A conversation from its first event to its end. Raises LawBroken."""
    chance = Random(f"{seed} {number}")
    watched = Observed(make(random_params(chance), names()), reached)
    steps = chance.choice([random_steps, dialogue_steps])(chance, LENGTH)
    changes_at = chance.randrange(LENGTH) if chance.random() < 0.25 else LENGTH
    reached.sequences += 1
    now = play(watched, steps[:changes_at])
    if changes_at < LENGTH:
        watched.conversation.params = random_params(chance)
        now = play(watched, steps[changes_at:], now + 1.0)
    watched.close(watched.settle(now))


def many(seed: int, numbers: Iterable[int], make: Make = Conversation) -> Reached:
    """All of these; a law that was broken is noted, and the next one begins."""
    reached = Reached()
    for number in numbers:
        try:
            one(seed, number, reached, make)
        except LawBroken as broken:
            reached.breaches.append(f"{number}: {broken}")
    return reached
