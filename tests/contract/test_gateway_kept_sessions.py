"""Sessions, people's figures and voices, on every database."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway import kept_sessions
from gateway.store import Store
from tests.support.databases import KINDS
from tests.support.kept import NOON, empty_store, kept

pytestmark = [pytest.mark.contract, pytest.mark.anyio]


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with empty_store(request.param, tmp_path) as opened:
        yield opened


async def test_a_session_begins_and_ends_and_its_first_end_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [NOON]
    monkeypatch.setattr("shared.clock.today", lambda: now[0])
    session_id = await store.sessions.create("ann")
    begun = await store.sessions.get(session_id)
    for minutes in (1, 2):
        now[0] = NOON + timedelta(minutes=minutes)
        assert await store.sessions.end(session_id)
    ended = await store.sessions.get(session_id)

    told = {"session_id": session_id, "user_id": "ann", "started_at": NOON.isoformat(), "last_at": NOON.isoformat()}
    assert begun == told | {"ended_at": None, "turns": 0}
    assert ended == told | {"ended_at": (NOON + timedelta(minutes=1)).isoformat(), "turns": 0}


async def test_a_session_that_is_unknown_has_no_end_and_no_figures(store: Store) -> None:
    assert not await store.sessions.end("ses_nobody")
    assert await store.sessions.get("ses_nobody") is None
    assert await store.sessions.stats("ses_nobody") is None
    assert await store.sessions.user_stats("nobody") is None


async def test_a_session_is_its_person_s_alone(store: Store) -> None:
    assert await store.sessions.create("ann", "ses_1") == "ses_1"
    assert await store.sessions.create("ann", "ses_1") == "ses_1"
    with pytest.raises(PermissionError):
        await store.sessions.create("bo", "ses_1")

    assert [await store.sessions.user_stats(user_id) is None for user_id in ("ann", "bo")] == [False, True]


async def test_a_session_without_turns_is_no_conversation_until_its_first_one(store: Store) -> None:
    await store.sessions.create("ann", "ses_1")
    before = await store.conversations(10, 0)
    await store.add_turn("ses_1", "ann", kept("trn_1"))

    assert (before, [one["id"] for one in await store.conversations(10, 0)]) == ([], ["ses_1"])
    assert await store.turns("ses_1")


async def test_the_figures_of_a_session_and_of_a_person_are_sums_and_averages_of_their_turns(store: Store) -> None:
    turns = [
        kept("a", spoken_ms=1000, heard_ms=500, timings={"first_audio": 300, "done": 1000}),
        kept("b", spoken_ms=2000, heard_ms=0, timings={"first_audio": 500}, finish_reason="interrupted"),
        kept("c", spoken_ms=500, heard_ms=250, timings={}, ended_at=NOON + timedelta(hours=1)),
    ]
    for session_id, turn in zip(("ses_1", "ses_1", "ses_2"), turns, strict=True):
        await store.add_turn(session_id, "ann", turn)
    await store.add_turn("ses_3", "bo", kept("d", spoken_ms=7))
    one = await store.sessions.stats("ses_1")
    everything = await store.sessions.user_stats("ann")

    spoken = {"spoken_ms": 3000, "heard_ms": 500, "interruptions": 1}
    averages = {"average_timings_ms": {"first_audio": 400, "done": 1000}}
    times = {"started_at": NOON.isoformat(), "last_at": NOON.isoformat(), "ended_at": None}
    assert one == {"session_id": "ses_1", "user_id": "ann", "turns": 2} | times | spoken | averages
    assert everything == {
        "user_id": "ann",
        "sessions": 2,
        "turns": 3,
        "spoken_ms": 3500,
        "heard_ms": 750,
        "interruptions": 1,
        "first_at": NOON.isoformat(),
        "last_at": (NOON + timedelta(hours=1)).isoformat(),
        "average_timings_ms": {"first_audio": 400, "done": 1000},
    }


async def test_a_session_without_turns_has_figures_of_nothing(store: Store) -> None:
    await store.sessions.create("ann", "ses_1")
    figures = await store.sessions.stats("ses_1") or {}

    assert (figures["turns"], figures["spoken_ms"], figures["average_timings_ms"]) == (0, 0, {})


async def test_averages_are_over_the_newest_turns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_sessions, "TURNS_AVERAGED", 2)
    for number in range(4):
        at = NOON + timedelta(seconds=number)
        await store.add_turn("ses_1", "ann", kept(f"trn_{number}", ended_at=at, timings={"done": 100 * number}))

    assert (await store.sessions.stats("ses_1") or {})["average_timings_ms"] == {"done": 250}


async def test_voices_are_told_with_their_consent_and_only_to_whom_they_belong(store: Store) -> None:
    voice_id = await store.voices.add("ann", "我的声音", "zh", "Recorded and signed on 2026-11-20.")
    kept_one, *others = await store.voices.of("ann")

    assert {name: kept_one[name] for name in ("voice_id", "name", "language", "consent")} == {
        "voice_id": voice_id,
        "name": "我的声音",
        "language": "zh",
        "consent": "Recorded and signed on 2026-11-20.",
    }
    assert (others, await store.voices.of("bo")) == ([], [])
    assert not await store.voices.remove(voice_id, "bo")
    assert await store.voices.remove(voice_id, "ann")
    assert await store.voices.of("ann") == []


async def test_a_voice_that_is_there_stays_as_it_is_and_with_its_person(store: Store) -> None:
    await store.voices.add("ann", "first", "en", "yes", "voice_1")
    await store.voices.add("ann", "second", "en", "yes", "voice_1")
    with pytest.raises(PermissionError):
        await store.voices.add("bo", "third", "en", "yes", "voice_1")

    assert [one["name"] for one in await store.voices.of("ann")] == ["first"]
