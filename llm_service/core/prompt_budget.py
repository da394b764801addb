"""Decide which messages of a long conversation still go to the model.

What a system or developer message says is pinned: it always stays. The rest falls into turns, a user's message and what
follows it; the newest turns stay, older ones go whole, and the last one always stays. When the turns outgrow their room
they are cut to three quarters of it, not just to what fits: the prompt's beginning then stays the same for many turns,
and a server that keeps what it has read reads only the new end. A request carries its whole conversation, so what was
decided before is not remembered but decided again, turn by turn from the first.

Never looks at text and changes none.
Laws: what stays fits the budget; nothing goes while everything fits; what stays of the turns is their end; a new turn
drops older ones only if it would not fit beside what stayed before, and never brings an older one back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PINNED = ("system", "developer")
_KEPT_SHARE = (3, 4)


@dataclass(frozen=True, slots=True)
class Measured:
    """A message's role, and its length in tokens with what the model's template puts around it."""

    role: str
    tokens: int


def kept(messages: Sequence[Measured], budget_tokens: int) -> list[int] | None:
    """The indexes of the messages that stay; None when what is pinned and the last turn alone are too long."""
    pinned = [index for index, message in enumerate(messages) if message.role in _PINNED]
    turns = list(_turns(messages))
    room_tokens = budget_tokens - sum(messages[index].tokens for index in pinned)
    last_tokens = sum(messages[index].tokens for turn in turns[-1:] for index in turn)
    if last_tokens > room_tokens or room_tokens < 0:
        return None
    first = _first_kept(messages, turns, room_tokens)
    return sorted(pinned + [index for turn in turns[first:] for index in turn])


def _turns(messages: Sequence[Measured]) -> Iterator[list[int]]:
    """The indexes of each turn's messages; what comes before the first user's message is a turn too."""
    turn: list[int] = []
    for index, message in enumerate(messages):
        if message.role in _PINNED:
            continue
        if message.role == "user" and turn:
            yield turn
            turn = []
        turn.append(index)
    if turn:
        yield turn


def _first_kept(messages: Sequence[Measured], turns: Sequence[Sequence[int]], room_tokens: int) -> int:
    """The first turn that stays, as it was decided each time the model was asked: after every message but its own."""
    share, of = _KEPT_SHARE
    lengths = [sum(messages[index].tokens for index in turn) for turn in turns]
    first = tokens = 0
    for last, turn in enumerate(turns):
        for index in turn:
            tokens += messages[index].tokens
            is_asked = messages[index].role != "assistant" or index == turns[-1][-1]
            if is_asked and tokens > room_tokens:
                first, tokens = _without_oldest(lengths, first, last, tokens, share * room_tokens // of)
    return first


def _without_oldest(lengths: Sequence[int], first: int, last: int, tokens: int, most_tokens: int) -> tuple[int, int]:
    """The first turn that stays when no more than so many tokens shall stay, and their number; the last one stays."""
    while first < last and tokens > most_tokens:
        tokens -= lengths[first]
        first += 1
    return first, tokens
