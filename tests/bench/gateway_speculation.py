"""How soon after the endpoint an answer is heard, with answers that are prepared at the pause and without.

A real gateway and a real asr_service with their own settings, as processes; a language model that takes 150 ms to its
first token, a voice that takes 100 ms to its first sound (tests/support/timed_engines.py). Callers say the English
sentences of the endpointing corpus in real time, pauses and all, hear the first sound of the answer, stop it and go on.

- endpoint to audio: by the gateway's own `timings` of a turn, whole milliseconds: from the recogniser's endpoint to the
  first sound on the wire.
- final to audio: the same as a client sees it, from `final` to the first binary frame.
- speech to audio: from the last sample of speech, as the recogniser places it, to the first sound.
- wasted tokens: those that the language model sent of answers that nobody ever heard of.

Run: python -m tests.bench.gateway_speculation [--turns 60] [--callers 2] [--candidate-ms 160]; some five minutes. The
last line is JSON. The goals: with speculation at most 20 ms after the endpoint in 90 % of the turns; without it, it is
at least 250.
"""

import argparse
import json
import os
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio

from gateway.core.words import joined, normalised
from tests.bench.asr_process import service
from tests.bench.endpointing_corpus import Utterance
from tests.bench.gateway_stage import Caller, Frame, english, percentile, stage
from tests.support.speech import RATE
from tests.support.timed_engines import Asked, TimedLlm, TimedTts

SETTINGS = {"with": True, "without": False}
ON_THE_WAY_S = 0.2  # in which a question that is announced reaches the model
FIRST_TOKEN_S, TOKEN_S, TOKENS = 0.150, 0.030, 60
FIRST_SOUND_S = 0.100
GOAL_MS, GOAL_SHARE, WITHOUT_MS = 20, 0.9, 250
ANSWER_LIMIT_S = 6.0
REST_S = (0.3, 0.9)  # between an answer and the next sentence


@dataclass(frozen=True)
class Turn:
    """Milliseconds of one turn that was answered."""

    final_to_audio_ms: float
    timings: dict[str, int]


@dataclass(frozen=True)
class Announced:
    """An answer that a client was told of, in seconds of this process's clock."""

    question: str
    at_s: float


@dataclass
class Run:
    """All turns of all callers under one setting."""

    turns: list[Turn] = field(default_factory=list)
    announced: list[Announced] = field(default_factory=list)
    unanswered: int = 0


async def converse(caller: Caller, random: Random, sentences: list[Utterance], run: Run, turns: int) -> None:
    """Say one thing after the other; the first is not counted, as a recogniser is still being opened."""
    for count in range(turns + 1):
        sentence = random.choice(sentences)
        began_s = await caller.say(sentence)
        ended_s = began_s + (sentence.end_samples - sentence.start_samples) / RATE
        turn = None
        with anyio.move_on_after(sentence.end_samples / RATE + ANSWER_LIMIT_S):
            turn = await heard_out(caller, ended_s)
        if turn is None:
            run.unanswered += count > 0
        elif count:
            run.turns.append(turn)
        await anyio.sleep(random.uniform(*REST_S))


async def heard_out(caller: Caller, ended_s: float) -> Turn:
    """The turn whose answer is heard first after that moment; it is stopped then."""
    at_s, _ = await caller.see("audio", ended_s)
    news = [(one_s, frame) for one_s, frame in caller.frames if isinstance(frame, dict) and one_s <= at_s]
    turn_id = [frame["turn_id"] for _, frame in news if frame["type"] == "reply_started"][-1]
    final_s = [one_s for one_s, frame in news if frame["type"] == "final"][-1]
    await caller.send(type="cancel")
    _, done = await caller.see("reply_done", at_s, lambda event: event["turn_id"] == turn_id)
    return Turn(1000 * (at_s - final_s), done["timings"])


def announced(frames: list[tuple[float, Frame]]) -> list[Announced]:
    """Every answer that a client was told of: what was understood of its turn by then is its question."""
    said: dict[str, str] = {}
    found = []
    for at_s, frame in frames:
        if isinstance(frame, dict) and frame["type"] == "final":
            said[frame["turn_id"]] = joined(said.get(frame["turn_id"], ""), frame["text"])
        elif isinstance(frame, dict) and frame["type"] == "reply_started":
            found.append(Announced(said[frame["turn_id"]], at_s))
    return found


def wasted(answers: list[Asked], told: list[Announced]) -> list[Asked]:
    """The answers that nobody was told of: of those to one question the last one before it was announced was."""
    unknown = list(answers)
    for one in told:
        fitting = [
            answer
            for answer in unknown
            if answer.asked_s < one.at_s + ON_THE_WAY_S
            and normalised(answer.question.split("\n")[-1]) == normalised(one.question)
        ]
        if fitting:
            unknown.remove(fitting[-1])
    return unknown


def figures(run: Run, llm: TimedLlm) -> dict[str, Any]:
    """What is printed of one setting."""
    timed = [turn.timings for turn in run.turns if {"endpoint", "first_audio"} <= turn.timings.keys()]
    waits_ms = [float(timings["first_audio"] - timings["endpoint"]) for timings in timed]
    finals_ms = [turn.final_to_audio_ms for turn in run.turns]
    unused = wasted(llm.answers, run.announced)
    return {
        "turns": len(waits_ms),
        "unanswered": run.unanswered,
        "endpoint_to_audio_p50_ms": percentile(waits_ms, 0.5),
        "p90_ms": percentile(waits_ms, 0.9),
        "p95_ms": percentile(waits_ms, 0.95),
        "within_goal": round(sum(wait_ms <= GOAL_MS for wait_ms in waits_ms) / max(1, len(waits_ms)), 3),
        "final_to_audio_p50_ms": percentile(finals_ms, 0.5),
        "final_to_audio_p90_ms": percentile(finals_ms, 0.9),
        "speech_to_audio_p50_ms": percentile([float(timings["first_audio"]) for timings in timed], 0.5),
        "answers_asked": len(llm.answers),
        "answers_unheard_of": len(unused),
        "wasted_tokens": sum(one.tokens for one in unused),
    }


async def measure(
    asr_address: str, speculates: bool, turns: int, callers: int, endpointing: dict[str, int]
) -> dict[str, Any]:
    """The figures of so many turns under one setting."""
    llm, voice = TimedLlm(FIRST_TOKEN_S, TOKEN_S, TOKENS), TimedTts(FIRST_SOUND_S)
    run, sentences = Run(), english(1, longest_pause_ms=1_500)
    async with stage(asr_address, llm, voice, GATEWAY_SPECULATES=speculates) as url:

        async def call(number: int) -> None:
            async with Caller.calling(url, number) as caller:
                await caller.send(type="config", endpointing=endpointing)
                await converse(caller, Random(number), sentences, run, -(-turns // callers))
                run.announced += announced(caller.frames)

        async with anyio.create_task_group() as tasks:
            for number in range(callers):
                tasks.start_soon(call, number)
    return figures(run, llm)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--callers", type=int, default=2)
    parser.add_argument(
        "--candidate-ms", type=int, help="pause at which an answer is prepared; the service's own default"
    )
    parser.add_argument("--settings", nargs="+", choices=tuple(SETTINGS), default=tuple(SETTINGS), help="speculation")
    asked = parser.parse_args()
    found, endpointing = {}, {"candidate_ms": asked.candidate_ms} if asked.candidate_ms else {}
    with service() as asr:
        for name in asked.settings:
            found[name] = anyio.run(measure, asr.address, SETTINGS[name], asked.turns, asked.callers, endpointing)
            if len(found) == 1:
                print(f"| | {' | '.join(found[name])} |\n|{' --- |' * (1 + len(found[name]))}")
            print(f"| {name} | {' | '.join(map(str, found[name].values()))} |", flush=True)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}; goals: {GOAL_MS} ms in {GOAL_SHARE:.0%}; {WITHOUT_MS} ms")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
