"""Sequences of events for a conversation: in any order, with ids that are live, stale or unknown, late and doubled.

A Step names no id: which one is meant is known only when the conversation has come so far. So a sequence can be drawn
whole, shrunk, and repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from random import Random

from gateway.core import events as on
from gateway.core.events import ConversationEvent, FinishReason, SegmentHeard, Stage
from tests.support.conversation_laws import Watched

PICKS = 8
TEXTS = ["", "hello", "Hello!", "hello there", "你好", "。", "mhm", "Yeah, right."]
HEARD = [(0, ""), (100, "It"), (500, "It is"), (500, "It is noon."), (900, "It is noon."), (0, ""), (400, ""), (-1, "")]
WAITS_S = [0.0, 0.02, 0.1, 0.4, 2.0, 15.0, 60.0]
ENDS = [FinishReason.STOP, FinishReason.LENGTH]
STAGES = list(Stage)

Maker = Callable[[str, str, int], ConversationEvent]  # of an utterance's id, a reply's id, and a number below PICKS
EVENTS: dict[type[ConversationEvent], tuple[int, Maker]] = {
    on.SpeechStarted: (16, lambda u, r, i: on.SpeechStarted(u)),
    on.PartialHeard: (8, lambda u, r, i: on.PartialHeard(u, TEXTS[i])),
    on.CandidateHeard: (16, lambda u, r, i: on.CandidateHeard(u, TEXTS[i])),
    on.SpeechResumed: (4, lambda u, r, i: on.SpeechResumed(u)),
    on.EndpointReached: (14, lambda u, r, i: on.EndpointReached(u)),
    on.FinalHeard: (18, lambda u, r, i: on.FinalHeard(u, TEXTS[i], "en", (SegmentHeard(0.0, 1.0, TEXTS[i]),))),
    on.UtteranceCleared: (3, lambda u, r, i: on.UtteranceCleared()),
    on.TextTyped: (6, lambda u, r, i: on.TextTyped(TEXTS[i])),
    on.TurnEdited: (2, lambda u, r, i: on.TurnEdited(f"trn_{i}", TEXTS[i])),
    on.CancelAsked: (2, lambda u, r, i: on.CancelAsked()),
    on.PersonaChanged: (1, lambda u, r, i: on.PersonaChanged(TEXTS[i])),
    on.ReplyDelta: (16, lambda u, r, i: on.ReplyDelta(r, TEXTS[i])),
    on.ReplyTextEnded: (8, lambda u, r, i: on.ReplyTextEnded(r, ENDS[i % 2])),
    on.AudioReady: (24, lambda u, r, i: on.AudioReady(r)),
    on.PlayoutMarked: (14, lambda u, r, i: on.PlayoutMarked(r, *HEARD[i])),
    on.PlayoutFinished: (8, lambda u, r, i: on.PlayoutFinished(r, *HEARD[i])),
    on.StageFailed: (5, lambda u, r, i: on.StageFailed(STAGES[i % 3], "engine_failed", "No.", True, (r, None)[i % 2])),
    on.Disconnected: (1, lambda u, r, i: on.Disconnected()),
    on.Tick: (6, lambda u, r, i: on.Tick()),
}
AGAIN = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 5)
KINDS = [kind for kind, (weight, _) in EVENTS.items() for _ in range(weight)]

Kinds = list[type[ConversationEvent]]
_ASKED: Kinds = [on.SpeechStarted, on.PartialHeard, on.CandidateHeard, on.EndpointReached, on.FinalHeard]
_ANSWERED: Kinds = [on.ReplyDelta, on.AudioReady, on.ReplyDelta, on.PlayoutMarked]
_HEARD: Kinds = [on.ReplyTextEnded, on.PlayoutMarked, on.PlayoutFinished]
_CUT_OFF: Kinds = [on.SpeechStarted, on.PartialHeard, on.EndpointReached, on.FinalHeard]
_NOISE: Kinds = [on.SpeechStarted, on.EndpointReached]  # its final is late
_LATE: Kinds = [on.PartialHeard, on.CandidateHeard, on.EndpointReached, on.SpeechResumed]
DIALOGUES: list[Kinds] = [
    [*_ASKED, *_ANSWERED, *_CUT_OFF, *_HEARD],
    [*_ASKED, *_ANSWERED, *_NOISE, *_HEARD, *_LATE],
    [*_ASKED, *_ANSWERED, *_NOISE, *_HEARD, on.TextTyped, *_LATE],
]
DIALOGUE_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens: what, to whom (0 is a stranger, 1 one that is over, the rest the live one), and when.

    Or what happened so many steps before happens again, just as it was: 1 is a doubled event, more are late ones.
    """

    kind: type[ConversationEvent]
    whom: int
    variant: int
    wait_s: float
    again: int = 0


def random_steps(chance: Random, count: int) -> list[Step]:
    """Steps drawn by chance."""
    kinds, waits_s = chance.choices(KINDS, k=count), chance.choices(WAITS_S, k=count)
    whom, variants = chance.choices(range(PICKS), k=count), chance.choices(range(PICKS), k=count)
    return list(map(Step, kinds, whom, variants, waits_s, chance.choices(AGAIN, k=count)))


def dialogue_steps(chance: Random, count: int) -> list[Step]:
    """A dialogue as it should be, which leads deep, with steps drawn by chance in between."""
    steps, due = random_steps(chance, count), cycle(chance.choice(DIALOGUES))
    return [
        Step(next(due), PICKS - 1, step.variant, min(step.wait_s, WAITS_S[2]))
        if chance.random() < DIALOGUE_SHARE
        else step
        for step in steps
    ]


def play(watched: Watched, steps: list[Step], now: float = 0.0) -> float:
    """Let the steps happen, from this moment on; the moment of the last one."""
    utterances, happened = [f"utt_{now}"], list[ConversationEvent]()
    for step in steps:
        now += step.wait_s
        if 0 < step.again <= len(happened):
            event = happened[-step.again]
        else:
            if step.kind is on.SpeechStarted and step.whom > 1:
                utterances.append(f"{utterances[0]}_{len(utterances)}")
            _, make = EVENTS[step.kind]
            event = make(_utterance(step, utterances), _reply(step, watched), step.variant)
        happened.append(event)
        watched.handle(event, now)
    return now


def _utterance(step: Step, utterances: list[str]) -> str:
    """A stranger's, the one before, or the current one; a start with the last of them begins a new one."""
    return "utt_unknown" if step.whom == 0 else utterances[-2:][0] if step.whom == 1 else utterances[-1]


def _reply(step: Step, watched: Watched) -> str:
    """A stranger's, the one before, or the one in flight."""
    known = [*watched.books][-2:]
    return "rpl_unknown" if step.whom == 0 or not known else known[0] if step.whom == 1 else watched.live or known[-1]
