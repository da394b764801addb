"""The sound of answers on its way into the store, and what takes its place there."""

import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from anyio import Event

from gateway import two_tier
from gateway.core.events import Stage
from gateway.rerender_client import NotRendered, Wanted
from gateway.store import Store, open_store
from gateway.turn_audio import KeptAudio, TurnAudio
from gateway.two_tier import TwoTier
from shared.wire.codec import Message
from shared.wire.native import HqAudio
from tests.support.kept import files_in, kept
from tests.support.two_tiers import BETTER, PCM, RATE, TEXT, Ears, FakeFiner, Tally, calm, heard

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite+aiosqlite:///{tmp_path}/t.db", tmp_path / "audio") as opened:
        for number in range(1, 5):
            await opened.add_turn("ses_1", "ann", kept(f"trn_{number}"))
        yield opened


def figures(audio: KeptAudio) -> tuple[str, list[int], int, int]:
    return audio.tier, list(audio.offsets_ms), audio.sample_rate, audio.duration_ms


async def kept_of(store: Store, turn_id: str = "trn_1") -> KeptAudio:
    audio = await store.audio.get(turn_id)
    assert audio is not None
    return audio


async def test_what_was_heard_is_kept_with_the_offsets_of_its_segments(store: Store) -> None:
    tally, ears = Tally(), Ears()
    async with TwoTier(store.audio, calm(), None, tally).opened() as tiers:
        tiers.keep(heard(tell=ears))
        await tally.until("fast")
    audio = await kept_of(store)

    assert (figures(audio), audio.media_type) == (("fast", [0, 250, 600], RATE, 1_000), "audio/wav")
    with wave.open(io.BytesIO(audio.content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.readframes(9_000)) == (RATE, 1, PCM)
    assert (tally.counts, ears.told) == ({"fast": 1}, [])


async def test_what_the_finer_engine_made_takes_its_place_and_the_client_is_told(store: Store, tmp_path: Path) -> None:
    tally, ears, finer = Tally(), Ears(), FakeFiner()
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard(tell=ears))
        await tally.until("hq")
    audio = await kept_of(store)

    assert finer.asked == [Wanted("rpl_trn_1", TEXT, "tone", "en")]
    assert (figures(audio), audio.content) == (("hq", [0, 267, 750], 16_000, 1_000), BETTER.wav)
    assert ears.told == [HqAudio(reply_id="rpl_trn_1", url="/v1/turns/trn_1/audio")]
    assert list(files_in(tmp_path / "audio").values()) == [BETTER.wav]
    assert tally.counts == {"fast": 1, "hq": 1}


async def test_until_it_is_made_the_first_sound_is_there_and_nobody_is_told(store: Store) -> None:
    tally, ears, finer = Tally(), Ears(), FakeFiner()
    finer.gate = Event()
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard(tell=ears))
        await finer.asks.until("asked")
        assert ((await kept_of(store)).tier, ears.told) == ("fast", [])
        finer.gate.set()
        await tally.until("hq")


async def test_a_house_that_does_with_less_has_nothing_spoken_again(store: Store) -> None:
    tally, finer, load = Tally(), FakeFiner(), calm()
    load.note_refusal(Stage.TTS)
    async with TwoTier(store.audio, load, finer, tally).opened() as tiers:
        tiers.keep(heard())
        await tally.until("loaded")

    assert ((await kept_of(store)).tier, finer.asked, tally.counts) == ("fast", [], {"fast": 1, "loaded": 1})


async def test_what_waited_when_the_load_came_is_not_spoken_again(store: Store) -> None:
    tally, finer, load = Tally(), FakeFiner(), calm()
    finer.gate = Event()
    async with TwoTier(store.audio, load, finer, tally).opened() as tiers:
        for number in range(1, 4):
            tiers.keep(heard(f"trn_{number}"))
        await tally.until("fast", 3)
        await finer.asks.until("asked", two_tier.RERENDERS_AT_ONCE)
        load.note_refusal(Stage.LLM)
        finer.gate.set()
        await tally.until("loaded")
        await tally.until("hq", 2)

    assert len(finer.asked) == two_tier.RERENDERS_AT_ONCE
    assert [(await kept_of(store, f"trn_{number}")).tier for number in (1, 2, 3)] == ["hq", "hq", "fast"]


async def test_what_cannot_be_made_leaves_the_first_sound(store: Store) -> None:
    tally, ears, finer = Tally(), Ears(), FakeFiner()
    finer.refusal = NotRendered("failed", may_pass=False)
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard(tell=ears))
        await tally.until("failed")

    assert ((await kept_of(store)).tier, ears.told, tally.counts) == ("fast", [], {"fast": 1, "failed": 1})


async def test_sound_that_is_not_at_hand_any_more_is_spoken_again(store: Store) -> None:
    tally, finer = Tally(), FakeFiner()
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard(pcm=b""))
        await tally.until("hq")

    assert ((await kept_of(store)).tier, tally.counts) == ("hq", {"hq": 1})


async def test_of_an_answer_of_which_no_word_was_heard_nothing_is_spoken_again(store: Store) -> None:
    tally, finer = Tally(), FakeFiner()
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard(text=" "))
        tiers.keep(heard("trn_2"))
        await tally.until("hq")

    assert [one.message_id for one in finer.asked] == ["rpl_trn_2"]


async def test_a_turn_that_was_forgotten_has_no_sound_and_nobody_is_told_of_any(store: Store, tmp_path: Path) -> None:
    tally, ears, finer = Tally(), Ears(), FakeFiner()
    finer.gate = Event()
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard("trn_nobody", ears))
        tiers.keep(heard(tell=ears))
        await finer.asks.until("asked")
        await store.delete_conversation("ses_1")
        finer.gate.set()
        await tally.until("gone", 2)

    assert (len(finer.asked), ears.told, files_in(tmp_path / "audio")) == (1, [], {})


async def test_what_finds_no_room_is_not_kept_and_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_tier, "WAITING_REPLIES", 2)
    tally = Tally()
    tiers = TwoTier(store.audio, calm(), None, tally)
    for number in range(1, 4):
        tiers.keep(heard(f"trn_{number}"))
    assert tally.counts == {"full": 1}
    async with tiers.opened():
        await tally.until("fast", 2)
        tiers.keep(heard("trn_4"))
        await tally.until("fast", 3)

    assert await store.audio.get("trn_3") is None


async def test_sound_that_waits_has_no_more_bytes_than_it_may(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_tier, "WAITING_BYTES", len(PCM) + 100)
    tally = Tally()
    tiers = TwoTier(store.audio, calm(), None, tally)
    tiers.keep(heard("trn_1"))
    tiers.keep(heard("trn_2"))
    tiers.keep(heard("trn_3", pcm=PCM[:100]))
    assert tally.counts == {"full": 1}
    async with tiers.opened():
        await tally.until("fast", 2)
        tiers.keep(heard("trn_4"))
        await tally.until("fast", 3)

    assert await store.audio.get("trn_2") is None


async def test_what_finds_no_room_to_wait_for_the_finer_engine_keeps_its_first_sound(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_tier, "WAITING_RERENDERS", 1)
    monkeypatch.setattr(two_tier, "RERENDERS_AT_ONCE", 1)
    tally, finer = Tally(), FakeFiner()
    finer.gate = Event()
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard("trn_1"))
        await finer.asks.until("asked")
        tiers.keep(heard("trn_2"))
        tiers.keep(heard("trn_3"))
        await tally.until("full")
        finer.gate.set()
        await tally.until("hq", 2)

    assert (await kept_of(store, "trn_3")).tier == "fast"


class Moody(TurnAudio):
    """Its disk fails for one turn."""

    def __init__(self, well: TurnAudio) -> None:
        self._well = well

    async def put(self, turn_id: str, audio: KeptAudio) -> bool:
        if turn_id == "trn_1":
            raise OSError(28, "There is no room.")
        return await self._well.put(turn_id, audio)


async def test_a_disk_that_fails_costs_that_sound_alone(store: Store) -> None:
    tally, finer = Tally(), FakeFiner()
    async with TwoTier(Moody(store.audio), calm(), finer, tally).opened() as tiers:
        tiers.keep(heard("trn_1"))
        tiers.keep(heard("trn_2"))
        await tally.until("hq")

    assert tally.counts == {"lost": 1, "fast": 1, "hq": 1}


async def test_a_fault_of_ours_ends_nothing_but_the_work_for_that_answer(store: Store) -> None:
    def stumble(_: Message) -> None:
        raise RuntimeError("Nobody thought of this.")

    tally, finer = Tally(), FakeFiner()
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard("trn_1", stumble))
        tiers.keep(heard("trn_2"))
        await tally.until("fault")
        await tally.until("hq", 2)


async def test_at_the_end_what_waits_is_kept_and_what_waits_to_be_spoken_again_is_left(store: Store) -> None:
    tally, finer = Tally(), FakeFiner()
    finer.gate = Event()
    async with TwoTier(store.audio, calm(), finer, tally).opened() as tiers:
        tiers.keep(heard("trn_1"))
        await finer.asks.until("asked")
        for number in range(2, 5):
            tiers.keep(heard(f"trn_{number}"))
    tiers.keep(heard("trn_1"))

    assert tally.counts == {"fast": 4, "left": 4, "full": 1}
    assert [(await kept_of(store, f"trn_{number}")).tier for number in range(1, 5)] == ["fast"] * 4
