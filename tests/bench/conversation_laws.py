"""The turn machine under a hundred thousand conversations by chance: does any event, in any order, break a law?

Half of the conversations are nothing but chance, half are dialogues that chance disturbs; events come late, doubled and
of replies and utterances that are over. The laws are those of tests/support/conversation_laws.py; each planted fault of
tests/core/test_gateway_mutations.py is found by a few hundred of these conversations.

Run: python -m tests.bench.conversation_laws [--sequences 100000] [--seed 1] [--first 0] [--jobs 2]. A breach is printed
with its number; `--first NUMBER --sequences 1` plays that conversation again. The last line is JSON, the exit status 1
when a law was broken.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from time import perf_counter
from typing import Any

from tests.support.conversation_sequences import CELLS, Reached, many

SEQUENCES, JOBS = 100_000, 2
SHARES = 10  # of each job, so that one that is slower than the others has less to do at the end
BREACHES_TOLD = 10


def play_all(seed: int, first: int, sequences: int, jobs: int) -> Reached:
    """What so many conversations came to, in so many processes."""
    count = min(SHARES * jobs, sequences)
    numbers = [range(first + share, first + sequences, count) for share in range(count)]
    reached = Reached()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for part in pool.map(many, repeat(seed), numbers):
            reached.add(part)
    return reached


def figures(reached: Reached, seconds: float) -> dict[str, Any]:
    """What is printed."""
    return {
        "sequences": reached.sequences,
        "events": reached.events,
        "stale": reached.stale,
        "states": sorted(reached.states),
        "cells": len(reached.cells),
        "cells_missed": sorted(f"{state}: {kind.__name__}" for state, kind in CELLS - reached.cells),
        "seconds": round(seconds, 1),
        "breaches": len(reached.breaches),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=SEQUENCES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first conversation")
    parser.add_argument("--jobs", type=int, default=JOBS, help="processes")
    asked = parser.parse_args()
    began_s = perf_counter()
    reached = play_all(asked.seed, asked.first, asked.sequences, asked.jobs)
    found = figures(reached, perf_counter() - began_s)
    for breach in reached.breaches[:BREACHES_TOLD]:
        print(breach)
    print(f"{found['sequences']} conversations, {found['events']} events, {found['breaches']} breaches of a law")
    print(json.dumps(found))
    sys.exit(bool(reached.breaches))


if __name__ == "__main__":
    main()
