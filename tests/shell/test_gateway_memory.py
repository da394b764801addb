"""The memory's shell: its queue, its budget, its deletions, and what becomes of failures."""

import anyio
import pytest
from sqlalchemy.exc import OperationalError

from gateway.meaning import FIRST_TEXT, LATE_IN_A_ROW, NEAREST, REOPEN_S
from gateway.memory import FLUSH_AFTER_S, RECALLS, WAITING
from gateway.memory_store import MemoryUnavailable, StoredVector
from gateway.recall_run import BUDGET_S, Recalled
from shared.clock import now_s
from shared.errors import ServiceUnavailable
from tests.bench import skipped_idle
from tests.support.memory_stage import stage, told

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

DOG, CAR = "My dog is called Biscuit.", "I drive a red Toyota."
QUESTION, ABOUT_THE_CAR = "What is my dog's name?", "Which wheels do I own?"


async def test_what_was_told_comes_back_by_words_and_by_meaning() -> None:
    async with stage() as on:
        await told(on, DOG)
        await told(on, CAR, turn_id="trn_2")
        assert await on.texts("ann", QUESTION) == [DOG]
        assert await on.texts("ann", ABOUT_THE_CAR) == [CAR, DOG]  # all is near in this store
        assert on.counts == {"found": 2}
        assert await on.texts("bob", QUESTION) == []
        assert on.counts == {"found": 2, "empty": 1}


async def test_small_talk_is_not_kept_and_asks_for_no_vectors() -> None:
    async with stage() as on:
        await told(on, "Hello there. How are you?")
        assert (on.embeddings.asked, on.words.kept) == ([], {})


def test_an_answer_waits_no_longer_than_the_budget_for_a_recall_that_is_late() -> None:
    waits: list[float] = []

    async def ask() -> None:
        async with stage() as on:
            await told(on, DOG)
            on.words.gate = on.embeddings.gate = anyio.Event()
            for early_s in (0.0, BUDGET_S / 2, 1.0):
                recall = on.memory.begin("ann", QUESTION)
                await anyio.sleep(early_s)
                began_s = now_s()
                recalled = await recall.result()
                waits.append(round(now_s() - began_s, 2))
                assert (recalled.outcome, recalled.memories) == ("late", ())
                assert await recall.result() is recalled
            on.words.gate.set()
            assert on.counts == {"late": 3}

    skipped_idle.run(ask)
    assert waits[0] >= BUDGET_S  # though nothing ever comes
    assert waits[1] >= round(BUDGET_S / 2, 2) - 0.01
    assert waits[2] == 0.0


async def test_when_the_vectors_are_late_the_words_alone_count() -> None:
    async with stage() as on:
        await told(on, DOG)
        on.embeddings.gate = anyio.Event()
        recall = on.memory.begin("ann", QUESTION)
        await on.words.searched.wait()
        await anyio.wait_all_tasks_blocked()
        recalled = await recall.result(0)
        assert ([one.text for one in recalled.memories], recalled.outcome) == ([DOG], "part")
        on.embeddings.gate.set()


async def test_vectors_that_are_late_again_and_again_are_left_alone_for_a_while() -> None:
    async with stage() as on:
        await told(on, DOG)
        on.embeddings.gate = anyio.Event()
        recalls = [on.memory.begin("ann", QUESTION) for _ in range(LATE_IN_A_ROW)]
        for recall in recalls:
            await recall.result(0)
        on.embeddings.gate.set()
        for recall in recalls:
            await recall._over.wait()
        on.embeddings.asked.clear()
        assert await on.texts("ann", QUESTION) == [DOG]
        assert on.embeddings.asked == []


async def test_a_recall_above_the_number_that_may_run_brings_nothing_back_at_once() -> None:
    async with stage() as on:
        await told(on, DOG)
        on.words.gate = anyio.Event()
        running = [on.memory.begin("ann", QUESTION) for _ in range(RECALLS)]
        refused = await on.memory.begin("ann", QUESTION).result(30)
        assert (refused.outcome, refused.memories, on.counts["busy"]) == ("busy", (), 1)
        on.words.gate.set()
        assert [(await recall.result(30)).outcome for recall in running] == ["found"] * RECALLS
    assert (await on.memory.recall("ann", QUESTION)).outcome == "busy"


async def test_the_queue_is_bounded_and_what_it_drops_is_counted() -> None:
    async with stage() as on:
        on.words.gate = anyio.Event()
        for number in range(WAITING + 9):
            on.memory.remember("ann", "con_1", f"trn_{number}", f"I have {number} goats.")
            if not number:
                await anyio.wait_all_tasks_blocked()
        assert on.counts == {"dropped": 8}  # one is being kept
        on.words.gate.set()
        await on.memory.settled()
        assert len(on.words.kept) == WAITING + 1
    on.memory.remember("ann", "con_1", "trn_late", DOG)
    assert on.counts == {"dropped": 9}


async def test_what_is_forgotten_while_it_waits_is_never_kept() -> None:
    async with stage() as on:
        on.words.gate = anyio.Event()
        for number, (user_id, conversation_id) in enumerate([("bob", "b"), ("ann", "a"), ("ann", "c"), ("bob", "b")]):
            on.memory.remember(user_id, conversation_id, f"trn_{number}", f"I have {number + 2} goats.")
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.memory.forget_conversation, "ann", "a")
            await anyio.wait_all_tasks_blocked()
            on.words.gate.set()
        await on.memory.settled()
        assert [one.conversation_id for one in on.words.kept.values()] == ["b", "c", "b"]
        assert await on.memory.forget("bob") == 2
        assert {one.user_id for one in on.store.rows.values()} == {"ann"}
        await told(on, DOG, "bob", "trn_9")
        assert on.words.texts("bob") == [DOG]


async def test_what_was_told_in_the_conversation_that_goes_on_stays_away_with_what_it_contradicts() -> None:
    async with stage() as on:
        on.memory.remember("ann", "con_old", "trn_1", "I live in Leeds.")
        on.memory.remember("ann", "con_new", "trn_2", "I moved to York.")
        await on.memory.settled()
        asked = "Where do I live?"
        assert await on.texts("ann", asked) == ["I moved to York."]
        assert (await on.memory.recall("ann", asked, 30, besides="con_new")).memories == ()
        recalled = await on.memory.recall("ann", asked, 30, besides="con_other")
        prompt = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": asked}]
        assert recalled.told_in(prompt) == [
            prompt[0],
            {"role": "user", "content": "Earlier I told you:\n- I moved to York."},
            {"role": "assistant", "content": "I remember."},
            prompt[1],
        ]
        assert Recalled().told_in(prompt) == prompt


async def test_a_corrected_turn_takes_the_place_of_what_it_corrects() -> None:
    async with stage() as on:
        await told(on, "I live in Leads.")
        await told(on, "I live in Leeds.", turn_id="trn_2", edits="trn_1")
        assert on.words.texts("ann") == ["I live in Leeds."]
        assert on.store.removed == ["trn_1:0"]


@pytest.mark.parametrize("failure", [MemoryUnavailable("gone"), ServiceUnavailable("gone")])
async def test_without_vectors_words_are_kept_and_found(failure: Exception) -> None:
    async with stage() as on:
        on.store.failure = failure
        on.embeddings.failure = failure
        await told(on, DOG)
        assert await on.texts("ann", QUESTION) == [DOG]
        assert on.counts == {"failed": 2, "found": 1}


async def test_a_database_that_fails_fails_no_turn() -> None:
    async with stage() as on:
        on.words.failure = OperationalError("select", {}, Exception("locked"))
        await told(on, DOG)
        assert await on.texts("ann", QUESTION) == []
        assert on.counts == {"failed": 2, "empty": 1}


async def test_texts_whose_script_the_model_does_not_know_get_no_vectors() -> None:
    async with stage("all-minilm-l6-v2") as on:
        await told(on, "我家的狗叫大黄。")
        assert on.store.rows == {}
        await told(on, CAR, turn_id="trn_2")
        assert set(on.store.rows) == {"trn_2:0"}
        on.embeddings.asked.clear()
        assert await on.texts("ann", "我的狗叫什么？") == ["我家的狗叫大黄。"]
        assert on.embeddings.asked == []


def test_a_store_that_cannot_be_opened_is_tried_again_and_flushed_when_nothing_is_told() -> None:
    async def wait() -> None:
        async with stage("knows-all", MemoryUnavailable("held"), MemoryUnavailable("held")) as on:
            with pytest.raises(MemoryUnavailable):
                await on.memory.forget("ann")
            await anyio.sleep(4 * REOPEN_S)
            assert (on.store.opens, on.store.ready) == (3, True)
            await told(on, DOG)
            flushed = on.store.flushed
            await anyio.sleep(2 * FLUSH_AFTER_S)
            assert on.store.flushed == flushed + 1
            await told(on, CAR, turn_id="trn_2")
            on.store.failure = MemoryUnavailable("gone")
            await anyio.sleep(2 * FLUSH_AFTER_S)
            assert on.counts == {"failed": 1}
        assert not on.store.ready

    skipped_idle.run(wait)


def test_as_long_as_nobody_makes_vectors_the_words_alone_are_searched() -> None:
    async def wait() -> None:
        async with stage("") as on:
            await anyio.sleep(2 * REOPEN_S)
            await told(on, DOG)
            assert await on.texts("ann", QUESTION) == [DOG]
            assert set(on.embeddings.asked) == {DOG, FIRST_TEXT}
            on.embeddings.failure = ServiceUnavailable("gone")
            await anyio.sleep(3 * REOPEN_S)
            on.embeddings.model, on.embeddings.failure = "knows-all", None
            await anyio.sleep(20 * REOPEN_S)
            on.embeddings.asked.clear()
            assert await on.texts("ann", QUESTION) == [DOG]
            assert on.embeddings.asked == [QUESTION]

    skipped_idle.run(wait)


@pytest.mark.parametrize("failure", [RuntimeError(DOG), OperationalError(DOG, {"text": DOG}, ValueError(QUESTION))])
async def test_whatever_breaks_in_a_store_ends_nothing_else_and_no_log_holds_what_was_said(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage() as on:
        on.words.failure = failure
        await told(on, DOG)
        assert await on.texts("ann", QUESTION) == []
        on.words.failure = None
        await told(on, DOG)
        assert await on.texts("ann", QUESTION) == [DOG]
        assert on.counts["failed"] == 2
    assert "could not be remembered" in caplog.text
    assert not any(text in f"{caplog.text}{record.__dict__}" for record in caplog.records for text in (DOG, QUESTION))


async def test_what_words_find_and_the_nearest_do_not_is_no_nearer_than_these() -> None:
    async with stage() as on:
        await told(on, DOG, turn_id="trn_a")
        for number in range(NEAREST + 1):
            on.store.rows[f"x{number}"] = StoredVector(f"x{number}", "ann", "con", [1.0])
        recall = on.memory.begin("ann", QUESTION)
        recalled = await recall.result(30)
        assert [one.text for one in recalled.memories] == [DOG]
        assert recall._least_similarity == 0.9


async def test_vectors_of_memories_that_had_to_go_go_too() -> None:
    async with stage() as on:
        on.words.most = 2
        for number in range(4):
            await told(on, f"I have {number + 2} goats.", turn_id=f"trn_{number}")
        assert list(on.words.kept) == ["trn_2:0", "trn_3:0"]
        assert on.store.removed == ["trn_0:0", "trn_1:0"]
