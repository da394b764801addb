"""A gateway whose process is killed: who comes back misses nothing, and what was told to be kept is kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.cut_sessions import DRIVES, PACE_S, Session, answer, hold
from tests.support.mortal_gateway import MortalGateway, Scribe, mortal_gateway
from tests.support.typists import DoneTurn, Kept, Typist, echo, judged, kept_through

pytestmark = [pytest.mark.service, pytest.mark.anyio, pytest.mark.timeout(240)]  # it is started two dozen times

# Frames at which a session is cut, several times: before, in and after answers, at most one in each part of the way.
CUTS = {"typed": [[1, 12, 31], [2, 47, 92]], "said": [[2, 8, 40], [5, 22, 66]]}
KILLS = 5


async def test_a_session_is_whole_wherever_its_gateway_is_killed(tmp_path: Path) -> None:
    scribe = Scribe(answer, PACE_S)
    async with mortal_gateway(tmp_path, scribe) as gateway:
        for name, cuts in CUTS.items():
            whole = await hold(gateway, scribe, DRIVES[name], [])
            assert whole is not None
            for places in cuts:
                session = await hold(gateway, scribe, DRIVES[name], places)
                assert session is not None, (name, places)
                assert session.faults(whole) == [], (name, places)
                assert len(session.resume_ms) == session.cuts >= 2, (name, places)
    assert scribe.asked_again > 0
    assert scribe.asked_otherwise == 0


@pytest.mark.parametrize("resumes", [True, False], ids=["resumed", "fresh"])
async def test_each_turn_that_a_client_saw_done_is_kept_whole_and_once(tmp_path: Path, resumes: bool) -> None:
    async with mortal_gateway(tmp_path, Scribe(echo)) as gateway:
        kept = await kept_through(gateway, KILLS, 4, 1, resumes=resumes)

    assert kept.turns_seen >= 8
    assert (kept.missing, kept.doubled, kept.differing, kept.told_wrongly, kept.refused) == (0, 0, 0, 0, 0)
    assert (kept.sessions == 4) is resumes


def test_a_session_that_is_not_whole_is_told_from_one_that_is() -> None:
    told = [("ready", ""), ("reply_started", ""), ("reply_done", "one")]
    whole = Session(told, ["one"], b"abcd", [1, 2, 3], [], [("hello", "one", "stop")], 4, 0, [], [])

    assert whole.faults(whole) == []
    assert replace(whole, told=told[1:]).faults(whole) == ["lost"]
    assert replace(whole, audio=b"abc").faults(whole) == ["lost"]
    assert replace(whole, seqs=[1, 3]).faults(whole) == ["lost"]
    assert replace(whole, told=[*told, told[-1]]).faults(whole) == ["doubled"]
    assert replace(whole, audio=b"abcdd").faults(whole) == ["doubled"]
    assert replace(whole, seqs=[1, 2, 2, 3]).faults(whole) == ["doubled"]
    assert replace(whole, audio=b"abdc").faults(whole) == ["disordered"]
    assert replace(whole, told=told[::-1]).faults(whole) == ["disordered"]
    assert replace(whole, kept=whole.kept * 2).faults(whole) == ["history_differs"]
    assert replace(whole, prompts=[[{"role": "user"}]]).faults(whole) == ["history_differs"]


def test_a_turn_that_is_not_kept_as_it_was_told_is_counted(tmp_path: Path) -> None:
    typist = Typist(MortalGateway(tmp_path, {}), "number 0", resumes=True)
    turn = {"turn_id": "trn_1", "user_text": "hello", "heard_text": echo("hello", 0), "finish_reason": "stop"}
    typist.done, typist.sessions = [DoneTurn("ses_1", "trn_1", "hello", echo("hello", 0), "stop")], ["ses_1"]

    def faults(*turns: dict[str, str]) -> tuple[int, int, int]:
        kept = judged(Kept(1), [typist], {"ses_1": list(turns)})
        return kept.missing, kept.doubled, kept.differing

    assert faults(turn) == (0, 0, 0)
    assert faults() == (1, 0, 0)
    assert faults(turn, turn | {"turn_id": "trn_2"}) == (0, 1, 0)
    assert faults(turn | {"heard_text": "You said"}) == (0, 0, 1)
    assert faults(turn | {"user_text": "hell"}) == (0, 0, 1)
