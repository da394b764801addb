"""What of a session tells that the house is loaded, and what does not."""

from pathlib import Path

import anyio
import pytest

from gateway.core.load_ladder import LadderParams, Level
from shared.wire import asr
from tests.support.loaded_house import ANSWER, FULL, LEVELS, ask, loaded_house, press, sounds, told
from tests.support.services import final, partial

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def test_a_voice_that_refuses_an_answer_leads_down_at_once(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, _):
        house.tts.refusal = FULL
        client, _ = await house.open()
        done = await ask(client, 1)
        error = await client.see("error")

        assert (error["service"], error["code"], error["retryable"]) == ("tts", "overloaded", True)
        assert told(client) == ["no_hq"]
        assert (done["text"], done["finish_reason"]) == (ANSWER, "stop")  # it was shown


async def test_an_answer_that_is_refused_in_the_middle_ends_there(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, _):
        house.tts.refusal = FULL
        house.tts.refuses_after = 1
        house.llm.gate = anyio.Semaphore(1)
        client, _ = await house.open()
        client.send(type="text", text="go")
        await client.hear(1)
        house.llm.gate.release()
        done = await client.see("reply_done")

        assert done["finish_reason"] == "error"
        assert told(client) == ["no_hq"]


async def test_an_answer_that_is_refused_before_the_turn_is_over_is_asked_for_again(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, _):
        house.tts.refusal = FULL
        client, _ = await house.open()
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0), partial("hello", "utt_1"))
        await house.asr.say(asr.Candidate(utterance_id="utt_1", text="hello", at_samples=0))
        await client.see("degraded")
        house.tts.refusal = None
        await house.asr.say(
            asr.Endpoint(utterance_id="utt_1", at_samples=0, reason="silence"), final("Hello.", "utt_1")
        )
        done = await client.see("reply_done")

        assert (done["text"], done["finish_reason"]) == (ANSWER, "stop")
        assert sounds(client) > 0
        assert "error" not in client.types


async def test_a_house_that_keeps_its_voice_fails_an_answer_that_is_refused(tmp_path: Path) -> None:
    async with loaded_house(tmp_path, LadderParams(deepest=Level.FAST_VOICE)) as (house, _):
        house.tts.refusal = FULL
        client, _ = await house.open()
        done = await ask(client, 1)

        assert (done["text"], done["finish_reason"]) == ("", "error")
        assert (await client.see("error"))["code"] == "overloaded"


@pytest.mark.parametrize(("status", "level"), [(429, Level.NO_HQ), (503, Level.FULL), (500, Level.FULL)])
async def test_a_model_leads_down_when_it_is_full_and_not_when_it_fails(
    status: int, level: Level, tmp_path: Path
) -> None:
    async with loaded_house(tmp_path, apologises=False) as (house, _):
        house.llm.status = status
        client, _ = await house.open()
        client.send(type="text", text="go")
        await client.see("error")
        await client.see("reply_done")

        assert house.house.load.level is level


@pytest.mark.parametrize("text", ["One sentence.", "No whole sentence"])
async def test_first_sounds_that_come_late_lead_down(text: str, tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.tts.gate = anyio.Semaphore(0)
        house.llm.tokens = [text]
        client, _ = await house.open()
        for count in range(1, 4):
            client.send(type="text", text="go")
            await house.tts.tally.wait_for("text", count)
            hands.now_s += 1.6
            house.tts.gate.release()
            await client.see("reply_done", count=count)
        await client.see("degraded")

        assert told(client) == ["no_hq"]


async def test_who_loses_patience_before_the_first_sound_tells_of_load_too(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.gate = anyio.Semaphore(0)
        house.llm.tokens = ["One sentence. ", "Another one."]
        house.tts.is_silent = True
        client, _ = await house.open()
        for count in range(1, 4):
            client.send(type="text", text="go")
            house.llm.gate.release()
            await house.tts.tally.wait_for("text", count)
            hands.now_s += 1.6
            client.send(type="cancel")
            await client.see("reply_done", count=count)
        await client.see("degraded")

        assert told(client) == ["no_hq"]


async def test_first_words_that_come_late_lead_down(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.gate = anyio.Semaphore(0)
        house.llm.tokens = ["Yes."]
        client, _ = await house.open()
        for count in range(1, 4):
            client.send(type="text", text="go")
            await house.llm.tally.wait_for("asked", count)
            hands.now_s += 2.6
            house.llm.gate.release()
            await client.see("reply_done", count=count)
        await client.see("degraded")

        assert told(client) == ["no_hq"]


async def test_what_is_written_slowly_and_never_spoken_tells_of_no_load(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.gate = anyio.Semaphore(0)
        house.llm.tokens = ["```\n", "code()\n```"]
        house.tts.is_silent = True
        client, _ = await house.open()
        for count in range(1, 5):
            client.send(type="text", text="go")
            house.llm.gate.release()
            await house.tts.tally.wait_for("text", count * 2 - 1)
            hands.now_s += 9.0
            house.llm.gate.release()
            await client.see("reply_done", count=count)

        assert told(client) == []


async def test_an_answer_that_takes_long_after_its_first_word_and_sound_tells_of_no_load(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.gate = anyio.Semaphore(0)
        house.llm.tokens = ["Once. ", "Upon a time."]
        client, _ = await house.open()
        for count in range(1, 5):
            client.send(type="text", text="go")
            house.llm.gate.release()
            await client.see("segment", count=count * 2 - 1)
            hands.now_s += 9.0
            house.llm.gate.release()
            await client.see("reply_done", count=count)

        assert told(client) == []


async def test_who_is_shown_an_answer_waits_for_no_sound(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.tokens = ["Once. ", "Upon a time."]
        house.llm.gate = anyio.Semaphore(0)
        client, _ = await house.open()
        press(house, hands, 3)
        for count in range(1, 5):
            client.send(type="text", text="go")
            house.llm.gate.release()
            await client.see("token", count=count * 2 - 1)
            hands.now_s += 9.0
            house.llm.gate.release()
            await client.see("reply_done", count=count)
        house.house.load.look()  # as after so long a calm
        await client.see("degraded", count=4)

        assert told(client) == [*LEVELS, "fast_voice"]


async def test_who_is_shown_an_answer_that_was_refused_waits_for_no_sound(tmp_path: Path) -> None:
    async with loaded_house(tmp_path, LadderParams(late_in_a_row=1, least_sessions=1)) as (house, hands):
        house.tts.refusal = FULL
        house.llm.tokens = ["Once. ", "Upon a time."]
        house.llm.gate = anyio.Semaphore(1)
        client, _ = await house.open()
        client.send(type="text", text="go")
        await client.see("token")
        await client.see("degraded")
        hands.now_s += 9.0
        house.llm.gate.release()
        await client.see("reply_done")

        assert told(client) == ["no_hq"]


async def test_answers_in_time_leave_everything_as_it_is(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        client, _ = await house.open()
        for count in range(1, 5):
            await ask(client, count)
            hands.now_s += 20.0

        assert told(client) == []
