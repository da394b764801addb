"""How soon an answer stops when somebody speaks over it, and how soon its engines know.

A real gateway and a real asr_service with their own settings, as processes; a language model that writes on for a
minute, and a voice that is ahead of it (tests/support/timed_engines.py). A caller asks something, listens for a while,
and says the next sentence over the answer; what answers that is the next to be spoken over.

- interrupted: from the first sample of that speech, as the microphone hears it, to `interrupted` at the client. The
  microphone's own frame of 20 ms is in it.
- model left: from `interrupted` at the client until the language model sees its reader gone; below 0 when it saw it
  first.
- voice told: the same for the cancel at the voice.
- frames after: binary frames of the old answer that came after `interrupted`.

Run: python -m tests.bench.gateway_barge_in [--count 40]; some four minutes. The last line is JSON. The
goals: p95 at most 250 ms until `interrupted`, 50 ms from there to the engines, and no frame after.
"""

import argparse
import json
import os
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio

from tests.bench.asr_process import service
from tests.bench.endpointing_corpus import Utterance
from tests.bench.gateway_stage import Caller, english, percentile, stage
from tests.support.timed_engines import TimedLlm, TimedTts

FIRST_TOKEN_S, TOKEN_S, TOKENS = 0.050, 0.050, 1_200
FIRST_SOUND_S = 0.050
LONGEST_PAUSE_MS = 400  # in a sentence, so that it is one utterance
LISTEN_S = (0.4, 1.6)
ANSWER_LIMIT_S = 12.0
SETTLE_S = 0.3  # in which engines are told, and late frames would come
GOAL_MS, ENGINES_GOAL_MS = 250, 50


@dataclass
class Interruption:
    """One answer that was spoken over; moments in seconds of this process's clock."""

    reply_id: str
    heard_s: float  # the first sound of the answer
    began_s: float  # the first sample of speech over it
    told_s: float  # `interrupted` came
    frames_after: int


@dataclass
class Run:
    """All that happened."""

    interruptions: list[Interruption] = field(default_factory=list)
    missed: int = 0  # sentences that had no answer, and answers that went on


async def converse(caller: Caller, random: Random, sentences: list[Utterance], run: Run, count: int) -> None:
    """Speak over one answer after the other; what was missed is tried again."""
    since_s = await caller.say(random.choice(sentences))
    while len(run.interruptions) < count:
        with anyio.move_on_after(ANSWER_LIMIT_S) as limit:
            heard_s, _ = await caller.see("audio", since_s)
            await anyio.sleep(random.uniform(*LISTEN_S))
            began_s = await caller.say(random.choice(sentences))
            run.interruptions.append(await stopped(caller, heard_s, began_s))
            since_s = run.interruptions[-1].told_s  # before it, audio is still of the old answer
        if limit.cancelled_caught:
            run.missed += 1
            since_s = await caller.say(random.choice(sentences))


async def stopped(caller: Caller, heard_s: float, began_s: float) -> Interruption:
    """What stops first after that moment, and what comes after it."""
    told_s, interrupted = await caller.see("interrupted", began_s)
    await anyio.sleep(SETTLE_S)
    frames_after = 0
    for _, frame in caller.frames[caller.frames.index((told_s, interrupted)) :]:
        if isinstance(frame, dict) and frame["type"] == "segment":
            break
        frames_after += isinstance(frame, bytes)
    return Interruption(interrupted["reply_id"], heard_s, began_s, told_s, frames_after)


def figures(run: Run, llm: TimedLlm, voice: TimedTts) -> dict[str, Any]:
    """What is printed."""
    told_ms = [1000 * (one.told_s - one.began_s) for one in run.interruptions]
    left_ms, cancelled_ms, untold = [], [], 0
    for one in run.interruptions:
        answer = [answer for answer in llm.answers if answer.asked_s < one.heard_s][-1]
        cancelled_s = voice.cancelled_s.get(one.reply_id)
        if answer.left_s is None or cancelled_s is None:
            untold += 1
        else:
            left_ms.append(1000 * (answer.left_s - one.told_s))
            cancelled_ms.append(1000 * (cancelled_s - one.told_s))
    return {
        "interruptions": len(told_ms),
        "missed": run.missed,
        "interrupted_p50_ms": percentile(told_ms, 0.5),
        "interrupted_p95_ms": percentile(told_ms, 0.95),
        "interrupted_most_ms": percentile(told_ms, 1.0),
        "model_left_p50_ms": percentile(left_ms, 0.5),
        "model_left_p95_ms": percentile(left_ms, 0.95),
        "voice_told_p50_ms": percentile(cancelled_ms, 0.5),
        "voice_told_p95_ms": percentile(cancelled_ms, 0.95),
        "engines_not_told": untold,
        "frames_after": sum(one.frames_after for one in run.interruptions),
    }


async def measure(asr_address: str, count: int) -> dict[str, Any]:
    """The figures of so many interruptions, with the settings as they are shipped."""
    llm, voice = TimedLlm(FIRST_TOKEN_S, TOKEN_S, TOKENS), TimedTts(FIRST_SOUND_S)
    run, sentences = Run(), english(1, LONGEST_PAUSE_MS)
    async with stage(asr_address, llm, voice) as url, Caller.calling(url, 1) as caller:
        await converse(caller, Random(1), sentences, run, count)
    return figures(run, llm, voice)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    asked = parser.parse_args()
    with service() as asr:
        found = anyio.run(measure, asr.address, asked.count)
    for name, value in found.items():
        print(f"{name:<22}{value:>10}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}; goals: {GOAL_MS} ms, then {ENGINES_GOAL_MS} ms, no frame")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
