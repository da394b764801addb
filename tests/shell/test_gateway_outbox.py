"""The two lanes towards a client."""

import anyio
import pytest

from gateway.outbox import MEDIA_LIMIT, AudioFrame, Outbox
from shared.wire.native import Pong, Token

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


def token(text: str, reply_id: str = "rpl_1") -> Token:
    return Token(turn_id="trn_1", reply_id=reply_id, text=text)


async def test_messages_overtake_audio() -> None:
    outbox = Outbox(lambda _: True)
    await outbox.put(AudioFrame("rpl_1", b"a"))
    outbox.post(Pong())

    assert [await outbox.take(), await outbox.take()] == [Pong(), AudioFrame("rpl_1", b"a")]


async def test_tokens_that_wait_side_by_side_become_one() -> None:
    outbox = Outbox(lambda _: True)
    for message in (token("a"), token("b"), token("c", "rpl_2"), Pong(), token("d", "rpl_2")):
        outbox.post(message)

    taken = [await outbox.take() for _ in range(4)]
    assert taken == [token("ab"), token("c", "rpl_2"), Pong(), token("d", "rpl_2")]


async def test_dropped_audio_never_comes_out_and_makes_room() -> None:
    outbox = Outbox(lambda _: True)
    for _ in range(MEDIA_LIMIT):
        await outbox.put(AudioFrame("rpl_1", b"a"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.put, AudioFrame("rpl_2", b"b"))
        await anyio.wait_all_tasks_blocked()
        assert outbox.drop("rpl_1") == MEDIA_LIMIT

    assert await outbox.take() == AudioFrame("rpl_2", b"b")


async def test_audio_that_is_kept_back_comes_out_later_whole_and_messages_pass_it() -> None:
    outbox = Outbox(lambda _: True)
    frames = [AudioFrame("rpl_1", b"a"), AudioFrame("rpl_1", b"b")]
    await outbox.put(frames[0])
    outbox.keep_back("rpl_1")
    await outbox.put(frames[1])
    outbox.post(Pong())
    taken = [await outbox.take()]
    async with anyio.create_task_group() as tasks:

        async def take() -> None:
            taken.append(await outbox.take())

        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        assert taken == [Pong()]
        outbox.let_out()

    assert [*taken, await outbox.take()] == [Pong(), *frames]


async def test_audio_that_was_dropped_while_it_was_kept_back_holds_nobody_up() -> None:
    outbox = Outbox(lambda _: True)
    await outbox.put(AudioFrame("rpl_1", b"a"))
    outbox.keep_back("rpl_1")
    assert outbox.drop("rpl_1") == 1
    await outbox.put(AudioFrame("rpl_2", b"b"))

    assert await outbox.take() == AudioFrame("rpl_2", b"b")


async def test_audio_that_is_not_accepted_any_more_is_passed_over() -> None:
    accepted = {"rpl_1"}
    outbox = Outbox(lambda reply_id: reply_id in accepted)
    await outbox.put(AudioFrame("rpl_1", b"a"))
    accepted.clear()
    async with anyio.create_task_group() as tasks:
        taken = []

        async def take() -> None:
            taken.append(await outbox.take())

        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        assert taken == []
        outbox.post(Pong())

    assert taken == [Pong()]


async def test_a_full_lane_of_messages_is_an_overrun_and_keeps_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outbox.MESSAGES_LIMIT", 2)
    outbox = Outbox(lambda _: True)
    for _ in range(3):
        outbox.post(Pong())

    assert outbox.overrun.is_set()
    assert [await outbox.take(), await outbox.take()] == [Pong(), Pong()]


async def test_a_full_lane_of_audio_makes_its_producer_wait() -> None:
    outbox = Outbox(lambda _: True)
    sent = []

    async def produce() -> None:
        for number in range(MEDIA_LIMIT * 2):
            await outbox.put(AudioFrame("rpl_1", bytes([number])))
            sent.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(produce)
        await anyio.wait_all_tasks_blocked()
        assert len(sent) == MEDIA_LIMIT
        for number in range(MEDIA_LIMIT * 2):
            assert await outbox.take() == AudioFrame("rpl_1", bytes([number]))
