"""Decide what one batch after another holds, so that one model writes many replies at once.

Each reply has a slot: a stretch of the model's memory that holds the tokens read and written so far. Every step gives
each running reply its next token, then fills up with chunks of prompts. Here are only numbers: never text, weights or
threads. Whoever owns the model calls `admit`, cuts the slots back as told, calls `plan`, decodes, and says how it went:
`decoded`, `undone` or `failed`. New prompts and cancels may come at any time, also while a step is being decoded.

Laws:
- When a token is wanted, its slot holds the whole prompt and the reply so far, each token once and in order.
- A slot never holds more than `slot_tokens`, a step never more than `batch_tokens`, of one prompt `chunk_tokens`; while
  a reply is being written, `chunk_tokens` of all prompts together, which bounds the gap between two of its tokens.
- Every step moves every reply by one token, and at least one prompt.
- Prompts take turns: while one waits for its next chunk, no other one gets two.
- Prompts get a slot in the order in which they came; at most `waiting` are without one.
- What the slot holds of a prompt already is not read again, but for the last token, whose scores are needed. A slot
  whose whole content begins the prompt is taken before one that shares less with it.
- Once a key has ended, no plan holds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class BatchParams:
    """The bounds: replies at once, tokens of each with its prompt, of a step, of one chunk, and prompts that wait."""

    slots: int = 4
    slot_tokens: int = 1024
    batch_tokens: int = 512
    chunk_tokens: int = 128
    waiting: int = 64

    def __post_init__(self) -> None:
        if min(self.slots, self.slot_tokens - 1, self.chunk_tokens) < 1 or self.waiting < 0:
            raise ValueError(f"no batch can be made within {self}")
        if self.batch_tokens < self.slots:
            raise ValueError("a step must have room for a token of every slot")


class Refusal(Enum):
    """Why a prompt is not taken."""

    EMPTY = "the prompt holds no token"
    TOO_LONG = "the prompt fills its slot and leaves no room for a reply"
    TOO_MANY = "too many prompts wait"


@dataclass(frozen=True, slots=True)
class Cut:
    """The slot's memory is to hold only its first `kept` tokens, which are those of the prompt `key`."""

    key: int
    slot: int
    kept: int


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens that follow one another in a slot, the first at position `start`."""

    key: int
    slot: int
    start: int
    tokens: tuple[int, ...]
    is_sampled: bool  # whether the scores after the last one are wanted


@dataclass(frozen=True, slots=True)
class SlotState:
    """What a slot does now: whose it is, None when free, and how many tokens it holds."""

    key: int | None
    tokens: int


@dataclass(slots=True)
class _Slot:
    index: int
    tokens: list[int] = field(default_factory=list)  # which its memory holds
    key: int | None = None
    freed_at: int = 0  # in ends of replies; 0: never used


@dataclass(slots=True)
class _Reply:
    prompt: tuple[int, ...]
    limit: int  # tokens to be written at most
    slot: _Slot
    served_at: int  # the step that read from its prompt last
    written: int = 0
    next_token: int | None = None  # written, and not in the memory yet

    @property
    def unread(self) -> int:
        """Tokens of the prompt that are not in the memory."""
        return len(self.prompt) - len(self.slot.tokens)


class Scheduler:
    """Prompts in, steps out. Not to be called by two threads at once."""

    def __init__(self, params: BatchParams) -> None:
        self._params = params
        self._slots = [_Slot(index) for index in range(params.slots)]
        self._waiting: dict[int, tuple[tuple[int, ...], int]] = {}
        self._replies: dict[int, _Reply] = {}
        self._step: tuple[Run, ...] | None = None  # being decoded
        self._steps = 0
        self._ends = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._waiting and not self._replies

    @property
    def waiting(self) -> int:
        """Prompts without a slot."""
        return len(self._waiting)

    def states(self) -> list[SlotState]:
        """What each slot does now."""
        return [SlotState(slot.key, len(slot.tokens)) for slot in self._slots]

    def submit(self, key: int, prompt: Sequence[int], max_tokens: int) -> Refusal | None:
        """Take a prompt whose reply has at most so many tokens; the key is new. None: it will be answered."""
        if key in self._waiting or key in self._replies:
            raise ValueError(f"the key {key} is in use")
        if not prompt:
            return Refusal.EMPTY
        if len(prompt) >= self._params.slot_tokens:
            return Refusal.TOO_LONG
        if len(self._waiting) >= self._params.waiting + self._free_count():
            return Refusal.TOO_MANY
        self._waiting[key] = tuple(prompt), min(max_tokens, self._params.slot_tokens - len(prompt))
        return None

    def end(self, key: int) -> None:
        """The reply is complete or not wanted any more; a key that is not known has ended before."""
        self._waiting.pop(key, None)
        if reply := self._replies.pop(key, None):
            self._ends += 1
            reply.slot.key = None
            reply.slot.freed_at = self._ends

    def admit(self) -> list[Cut]:
        """Give slots to prompts that wait. To be called before `plan`; each cut is to be made, or `forget` called."""
        self._be_between_steps()
        cuts = []
        for key in list(self._waiting)[: self._free_count()]:
            prompt, limit = self._waiting.pop(key)
            slot = self._cheapest(prompt)
            kept = min(_shared(slot.tokens, prompt), len(prompt) - 1)
            del slot.tokens[kept:]
            slot.key = key
            self._replies[key] = _Reply(prompt, limit, slot, served_at=self._steps)
            cuts.append(Cut(key, slot.index, kept))
        return cuts

    def forget(self, slot: int) -> None:
        """The slot's memory could not be cut back, so it was emptied."""
        self._slots[slot].tokens.clear()

    def plan(self) -> tuple[Run, ...]:
        """The next step; empty when there is nothing to do."""
        self._be_between_steps()
        runs = [_next(key, reply) for key, reply in self._replies.items() if reply.next_token is not None]
        room = self._params.batch_tokens - len(runs)
        if runs:
            room = min(room, self._params.chunk_tokens)
        self._steps += 1
        reading = [(key, reply) for key, reply in self._replies.items() if reply.next_token is None]
        for key, reply in sorted(reading, key=lambda pair: pair[1].served_at):
            count = min(reply.unread, self._params.chunk_tokens, room)
            if count:
                runs.append(_chunk(key, reply, count))
                reply.served_at = self._steps
                room -= count
        self._step = tuple(runs) or None
        return tuple(runs)

    def is_wanted(self) -> bool:
        """Whether anybody still waits for something of the step that is being decoded."""
        return any(run.key in self._replies for run in self._step or ())

    def decoded(self) -> list[tuple[int, int]]:
        """The step is in the memory. Of which keys a token is now to be chosen, and from which place in the batch."""
        wanted, place = [], -1
        for run in self._close():
            place += len(run.tokens)
            self._slots[run.slot].tokens += run.tokens
            if run.is_sampled and run.key in self._replies:
                wanted.append((run.key, place))
        return wanted

    def written(self, key: int, token: int) -> bool:
        """A token was chosen: whether the reply may go on. If not, or if it was cancelled meanwhile, it has ended."""
        reply = self._replies.get(key)
        if reply is None:
            return False
        reply.written += 1
        reply.next_token = token
        if reply.written >= reply.limit:
            self.end(key)
        return key in self._replies

    def undone(self) -> list[Cut]:
        """The step was broken off. It is planned anew, without what was cancelled, once these cuts are made."""
        return [Cut(run.key, run.slot, len(self._slots[run.slot].tokens)) for run in self._close()]

    def failed(self) -> list[int]:
        """The step cannot be decoded: its slots are to be emptied, and the replies of these keys have ended."""
        lost = []
        for run in self._close():
            if run.key in self._replies:
                lost.append(run.key)
                self.end(run.key)
            self.forget(run.slot)
        return lost

    def _free_count(self) -> int:
        return len(self._slots) - len(self._replies)

    def _be_between_steps(self) -> None:
        if self._step is not None:
            raise RuntimeError("a step is being decoded")

    def _close(self) -> tuple[Run, ...]:
        if self._step is None:
            raise RuntimeError("no step is being decoded")
        step, self._step = self._step, None
        return step

    def _cheapest(self, prompt: tuple[int, ...]) -> _Slot:
        """The free slot that costs least: tokens still to be read, and tokens of another dialogue that are lost.

        A loss weighs the more, the later the slot was used: nothing in the one used longest ago.
        """
        free = sorted((slot for slot in self._slots if slot.key is None), key=lambda slot: slot.freed_at)

        def cost(rank: int) -> float:
            shared = _shared(free[rank].tokens, prompt)
            return len(prompt) - shared + (len(free[rank].tokens) - shared) * rank / len(free)

        return free[min(range(len(free)), key=cost)]


def _next(key: int, reply: _Reply) -> Run:
    assert reply.next_token is not None
    return Run(key, reply.slot.index, len(reply.slot.tokens), (reply.next_token,), is_sampled=True)


def _chunk(key: int, reply: _Reply, count: int) -> Run:
    start = len(reply.slot.tokens)
    tokens = reply.prompt[start : start + count]
    return Run(key, reply.slot.index, start, tokens, is_sampled=start + count == len(reply.prompt))


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))
