"""A gateway that is killed, with real processes and real sockets: what a client loses, and what was kept.

- cuts: a typed and a spoken session, once for each message or piece of audio that comes: there the connection is cut
  and the gateway killed and started again, and the client goes on. All that it was told and heard, what the model was
  asked, and what is kept must be as if nothing had happened.
- kills: the gateway is killed at random moments while several clients type short turns, who go on with their sessions
  (`resumed`) or begin new ones (`fresh`). Each turn that a client was told to be done must be kept, whole, once.

resume_ms is from the connection that reached the new gateway until the session went on; away_ms from the cut until
then, the start of a process included. Stand-ins for the services are in this process and make no one wait.

Run: python -m tests.bench.gateway_killed [--kills 200] [--every 1] [--only cuts|resumed|fresh]; some twenty minutes,
most of which are starts. The last line is JSON. The goal: no faults.
"""

import argparse
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from tests.bench.gateway_stage import percentile
from tests.support.cut_sessions import DRIVES, PACE_S, answer, hold
from tests.support.mortal_gateway import MortalGateway, Scribe, mortal_gateway
from tests.support.typists import echo, kept_through

CLIENTS = 4
PARTS = ("cuts", "resumed", "fresh")
FAULTS = ("lost", "doubled", "disordered", "history_differs")


@dataclass
class Cuts:
    """What came of all of them."""

    cuts: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)  # by session and frame
    resume_ms: list[float] = field(default_factory=list)
    away_ms: list[float] = field(default_factory=list)

    def as_fields(self) -> dict[str, Any]:
        """For JSON."""
        named = [name for found in self.faults.values() for name in found]
        times = {
            f"{name}_p{share}": percentile(values, share / 100)
            for name, values in (("resume_ms", self.resume_ms), ("away_ms", self.away_ms))
            for share in (50, 95)
        }
        return {"cuts": self.cuts} | {name: named.count(name) for name in (*FAULTS, "stuck")} | times


async def cut_everywhere(every: int) -> dict[str, Any]:
    """Each session, cut at each of its frames, or at some."""
    cuts, scribe = Cuts(), Scribe(answer, PACE_S)
    with tempfile.TemporaryDirectory() as folder:
        async with mortal_gateway(Path(folder), scribe) as gateway:
            for name in DRIVES:
                await _cut_session(gateway, scribe, name, every, cuts)
            print(f"cuts: faults {cuts.faults}", flush=True)
            asked = {"asked_again": scribe.asked_again, "asked_otherwise": scribe.asked_otherwise}
            return cuts.as_fields() | asked | _lives(gateway)


async def _cut_session(gateway: MortalGateway, scribe: Scribe, name: str, every: int, cuts: Cuts) -> None:
    whole = await hold(gateway, scribe, DRIVES[name], [])
    if whole is None:
        raise RuntimeError(f"the {name} session came to no end, though it was not cut")
    for at in range(1, whole.frames + 1, every):
        session = await hold(gateway, scribe, DRIVES[name], [at])
        found = ["stuck"] if session is None else session.faults(whole)
        if found:
            cuts.faults[f"{name} {at}"] = found
        if session is not None:
            cuts.cuts += session.cuts
            cuts.resume_ms += session.resume_ms
            cuts.away_ms += session.away_ms


async def kill_under_load(kills: int, seed: int, *, resumes: bool) -> dict[str, Any]:
    """Some clients type, and the gateway is killed."""
    with tempfile.TemporaryDirectory() as folder:
        async with mortal_gateway(Path(folder), Scribe(echo)) as gateway:
            kept = await kept_through(gateway, kills, CLIENTS, seed, resumes=resumes)
            return kept.as_fields() | _lives(gateway)


def _lives(gateway: MortalGateway) -> dict[str, Any]:
    """How long a start took, and what was written down as an error."""
    complaints = gateway.complaints
    print(*sorted({line[:300] for line in complaints})[:5], sep="\n", flush=True)
    times = {f"start_ms_p{share}": percentile(gateway.start_ms, share / 100) for share in (50, 95)}
    return {"log_errors": len(complaints)} | times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every", type=int, default=1, help="cut at each nth frame only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=PARTS)
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for part in [asked.only] if asked.only else PARTS:
        if part == "cuts":
            found[part] = anyio.run(cut_everywhere, asked.every)
        else:
            found[part] = anyio.run(_killed, asked.kills, asked.seed, part == "resumed")
        print(part, *(f"{name:<20}{value!s:>10}" for name, value in found[part].items()), sep="\n", flush=True)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    print(json.dumps(found))


async def _killed(kills: int, seed: int, resumes: bool) -> dict[str, Any]:
    return await kill_under_load(kills, seed, resumes=resumes)


if __name__ == "__main__":
    main()
