"""Tell each thing that was heard once, though a recogniser died and another one hears the same audio again.

An utterance that had no final when its recogniser died goes on under the id under which it was told: the next start
that the other recogniser tells is its start. What the first one told of it already is not told again, by its position,
and what is committed stays committed: a reading that contradicts it is left out, and the final decides. An utterance
that nobody lost passes as it is.

Laws: a start is told once for each id; after a start comes one final at most under its id; of an utterance heard again
no partial takes back what was committed, candidates and resumptions come in turns, and after the end only the final
comes; nothing is told of one that was cleared and is heard again.
"""

from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from typing import Any, Final

SAME_SAMPLES: Final = 1_600  # two recognisers place one pause no further apart: a tenth of a second


class Kind(Enum):
    """What a recogniser tells of an utterance, in this order."""

    STARTED = auto()
    PARTIAL = auto()
    CANDIDATE = auto()
    RESUMED = auto()
    ENDPOINT = auto()
    FINAL = auto()


@dataclass(frozen=True, slots=True)
class Heard:
    """One thing told. `at_samples` counts from the first sample that any recogniser was sent."""

    kind: Kind
    utterance_id: str
    at_samples: int
    text: str = ""
    committed: str = ""


@dataclass(slots=True)
class _Utterance:
    told_as: str
    partial_samples: int = -1  # of the newest partial told
    turn_samples: int = -1  # of the newest candidate or resumption told
    committed: str = ""
    candidate: str | None = None  # told, and not resumed since
    has_ended: bool = False
    is_void: bool = False
    is_again: bool = False


_OWN = ("is_void", "is_again")  # of one connection


class RetoldSpeech:
    """The utterances of one person without a final."""

    def __init__(self) -> None:
        self._open: dict[str, _Utterance] = {}  # by the id that the present recogniser gave
        self._orphans: list[_Utterance] = []

    @property
    def is_unfinished(self) -> bool:
        """Whether a final is owed."""
        return any(not one.is_void for one in [*self._open.values(), *self._orphans])

    @property
    def is_awaited(self) -> bool:
        """Whether an utterance of a recogniser that died was not begun by another one yet."""
        return any(not one.is_void for one in self._orphans)

    def owed(self) -> list[dict[str, Any]]:
        """What was told of each utterance without a final, as JSON can hold it."""
        open_ones = [one for one in [*self._open.values(), *self._orphans] if not one.is_void]
        return [{name: value for name, value in asdict(one).items() if name not in _OWN} for one in open_ones]

    def take_up(self, owed: list[dict[str, Any]]) -> None:
        """Another one owed these: they go on when they are heard again."""
        self._orphans = [_Utterance(**fields, is_again=True) for fields in owed]

    def lose(self) -> None:
        """The recogniser is gone; another one will hear from the first utterance on that has no final."""
        owed = [one for one in [*self._open.values(), *self._orphans] if not one.is_void]
        self._open, self._orphans = {}, owed
        for one in self._orphans:
            one.is_again = True

    def clear(self) -> None:
        """No final is owed for what was said so far."""
        for one in [*self._open.values(), *self._orphans]:
            one.is_void = True

    def abandon(self) -> None:
        """What the recogniser that died had begun comes to nothing."""
        self._orphans = []

    def take(self, heard: Heard) -> list[Heard]:
        """What is to be told of it."""
        if heard.kind is Kind.STARTED:
            return self._begin(heard)
        utterance = self._open.get(heard.utterance_id)
        if utterance is None:
            return [heard]
        if heard.kind is Kind.FINAL:
            del self._open[heard.utterance_id]
        told = self._weigh(utterance, replace(heard, utterance_id=utterance.told_as))
        for one in told:
            _note(utterance, one)
        return told

    def _begin(self, heard: Heard) -> list[Heard]:
        self._open = {key: one for key, one in self._open.items() if one.has_ended}  # the others were cleared
        if self._orphans:
            self._open[heard.utterance_id] = self._orphans.pop(0)
            return []
        self._open[heard.utterance_id] = _Utterance(heard.utterance_id)
        return [heard]

    def _weigh(self, utterance: _Utterance, heard: Heard) -> list[Heard]:
        if not utterance.is_again:
            return [heard]
        if utterance.is_void:
            return []
        if heard.kind is Kind.FINAL:
            return [heard]
        if utterance.has_ended:
            return []
        return self._weigh_again(utterance, heard)

    def _weigh_again(self, utterance: _Utterance, heard: Heard) -> list[Heard]:
        """Before the end of an utterance that is heard again."""
        is_past_turn = heard.at_samples > utterance.turn_samples + SAME_SAMPLES
        match heard.kind:
            case Kind.PARTIAL if heard.at_samples > utterance.partial_samples:
                if not heard.text.startswith(utterance.committed):
                    return []
                committed = max(heard.committed, utterance.committed, key=len)
                return [replace(heard, committed=committed)]
            case Kind.CANDIDATE if is_past_turn and heard.text != utterance.candidate:
                resumed = [] if utterance.candidate is None else [replace(heard, kind=Kind.RESUMED, text="")]
                return [*resumed, heard]
            case Kind.RESUMED if is_past_turn and utterance.candidate is not None:
                return [heard]
            case Kind.ENDPOINT:
                return [heard]
        return []


def _note(utterance: _Utterance, told: Heard) -> None:
    """What was told of it last."""
    match told.kind:
        case Kind.PARTIAL:
            utterance.partial_samples, utterance.committed = told.at_samples, told.committed
        case Kind.CANDIDATE:
            utterance.turn_samples, utterance.candidate = told.at_samples, told.text
        case Kind.RESUMED:
            utterance.turn_samples, utterance.candidate = told.at_samples, None
        case Kind.ENDPOINT:
            utterance.has_ended = True
        case _:
            return
