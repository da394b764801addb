"""A session whole, between a client in memory and stand-ins for the services."""

import base64
from pathlib import Path

import anyio
import pytest

from shared.metrics import HELD_REPLIES
from shared.wire import asr
from tests.support.gateway_house import open_house
from tests.support.services import PIECE, final, partial

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

ANSWER = "Hello there, my friend."


async def test_a_spoken_turn_is_heard_answered_and_kept_before_it_is_done(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, session = await house.open()
        client.send_audio(b"\0\0" * 320)
        await house.asr.tally.wait_for("audio")
        await house.asr.utter("what time is it", "utt_1")
        done = await client.see("reply_done")

        assert client.types[:4] == ["ready", "speech_started", "partial", "final"]
        assert (done["text"], done["finish_reason"]) == (ANSWER, "stop")
        assert [turn["heard_text"] for turn in await house.turns(session)] == [ANSWER]
        assert [turn["user_text"] for turn in await house.turns(session)] == ["what time is it"]
        assert list(done["timings"]) == ["endpoint", "final", "first_token", "first_audio", "last_token", "done"]


async def test_seq_rises_by_one_and_audio_follows_its_segment(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.send(type="text", text="hello")
        await client.see("reply_done")

        assert [event["seq"] for event in client.events] == list(range(1, len(client.events) + 1))
        kinds = [kind for kind in client.types if kind in ("segment", "audio")]
        assert kinds == ["segment", "audio"] * (len(kinds) // 2)
        assert all(frame == PIECE for frame in client.frames if isinstance(frame, bytes))


async def test_the_answer_is_prepared_at_the_candidate_and_leaves_only_at_the_final(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0), partial("hello", "utt_1"))
        await house.asr.say(asr.Candidate(utterance_id="utt_1", text="hello", at_samples=0))
        await house.tts.tally.wait_for("end")  # the whole answer is spoken by now, inside
        client.send(type="ping")
        await client.see("pong")

        assert not {"reply_started", "token", "segment", "audio"} & set(client.types)
        before = HELD_REPLIES.labels("released")._value.get()
        await house.asr.say(
            asr.Endpoint(utterance_id="utt_1", at_samples=0, reason="silence"), final("Hello.", "utt_1")
        )
        await client.see("reply_done")
        assert house.llm.tally.seen.count("asked") == 1
        assert HELD_REPLIES.labels("released")._value.get() == before + 1


async def test_speech_that_resumes_drops_the_prepared_answer_upstream(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.llm.gate = anyio.Semaphore(1)
        before = HELD_REPLIES.labels("cancelled")._value.get()
        client, _ = await house.open()
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0))
        await house.asr.say(asr.Candidate(utterance_id="utt_1", text="tell me", at_samples=0))
        await house.tts.tally.wait_for("text")
        await house.asr.say(asr.Resumed(utterance_id="utt_1", at_samples=0))
        await house.tts.tally.wait_for("cancel")
        await house.llm.tally.wait_for("closed")
        house.llm.gate = None
        await house.asr.say(asr.Endpoint(utterance_id="utt_1", at_samples=0, reason="silence"))
        await house.asr.say(final("tell me a story", "utt_1"))
        await client.see("reply_done")

        assert [prompt[-1]["content"] for prompt in house.llm.prompts] == ["tell me", "tell me a story"]
        assert client.types.count("reply_started") == 1
        assert HELD_REPLIES.labels("cancelled")._value.get() == before + 1


async def test_barge_in_stops_the_answer_everywhere_and_no_audio_follows(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.pieces = 300
        client, session = await house.open()
        client.send(type="text", text="tell me a long story")
        await client.hear(3)
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_2", at_samples=0), partial("stop it", "utt_2"))
        interrupted = await client.see("interrupted")
        at = client.frames.index(interrupted)
        await house.tts.tally.wait_for("disconnected")
        done = await client.see("reply_done")

        assert not [frame for frame in client.frames[at:] if isinstance(frame, bytes)]
        assert (done["finish_reason"], done["text"]) == ("interrupted", interrupted["heard_text"])
        assert ANSWER.startswith(interrupted["heard_text"])
        assert [turn["heard_text"] for turn in await house.turns(session)] == [interrupted["heard_text"]]


async def test_the_next_prompt_holds_what_was_heard_and_not_what_was_made(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.pieces = 1_000
        client, _ = await house.open()
        client.send(type="text", text="first")
        await client.hear(1)
        client.send(type="cancel")
        heard = (await client.see("interrupted"))["heard_text"]
        client.send(type="text", text="second")
        await house.llm.tally.wait_for("asked", 2)

        said = [message["content"] for message in house.llm.prompts[1] if message["role"] == "assistant"]
        assert said == ([heard] if heard else [])
        assert ANSWER not in said


async def test_the_clients_marks_decide_when_an_answer_was_heard(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.pieces = 100
        house.llm.tokens = ["One sentence."]
        client, _ = await house.open()
        client.send(type="text", text="go")
        reply_id = (await client.see("segment"))["reply_id"]
        client.send(type="played", reply_id=reply_id, ms=10)
        await client.hear(100)
        client.send(type="played", reply_id="rpl_of_another", ms=5_000)
        client.send(type="played", reply_id=reply_id, ms=1_000)
        done = await client.see("reply_done")

        assert done["text"] == "One sentence."


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ('{"type": "dance"}', "unknown_type"),
        ("{", "invalid_json"),
        ("[1]", "invalid_json"),
        ("null", "invalid_json"),
        ('{"type": "config", "sample_rate": 7}', "invalid_message"),
        ('{"type": "config", "persona": "nobody"}', "invalid_message"),
        ('{"type": "text"}', "invalid_message"),
        ('{"type": "text", "text": 5}', "invalid_message"),
        ('{"type": "played", "reply_id": "r", "ms": -1}', "invalid_message"),
        ('{"type": "audio_chunk", "audio": "not base64!"}', "invalid_audio"),
        ('{"type": "audio_chunk", "audio": "AAAA"}', "invalid_audio"),
        ('{"type": "resume", "session_id": "s", "token": "t", "last_seq": 0}', "session_not_found"),
        ('{"type": "edit", "turn_id": "t", "text": "x"}', "invalid_message"),
        ('{"type": "edit", "turn_id": "t", "text": " "}', "invalid_message"),
        ('{"type": "text", "text": "' + "x" * 2_000_000 + '"}', "message_too_large"),
        (b"\0\0\0", "invalid_audio"),
        (b"\0" * 10_000_000, "message_too_large"),
    ],
)
async def test_bad_input_gets_a_typed_error_and_the_session_lives_on(
    bad: str | bytes, code: str, tmp_path: Path
) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        if isinstance(bad, bytes):
            client.send_audio(bad)
        else:
            client.send_text(bad)
        error = await client.see("error")
        client.send(type="ping")
        await client.see("pong")

        assert error["code"] == code
        assert (error["retryable"], client.close_code) == (False, None)


async def test_a_language_model_that_is_gone_is_told_and_the_next_turn_works(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.llm.is_down = True
        client, session = await house.open()
        client.send(type="text", text="are you there")
        error = await client.see("error")
        failed = await client.see("reply_done")
        house.llm.is_down = False
        client.send(type="text", text="and now")
        done = await client.see("reply_done", count=2)

        assert (error["service"], error["code"], error["retryable"]) == ("llm", "service_unavailable", True)
        assert (failed["finish_reason"], done["finish_reason"]) == ("error", "stop")
        assert house.llm.prompts[-1][-1]["content"] == "are you there\nand now"
        assert [turn["finish_reason"] for turn in await house.turns(session)] == ["error", "stop"]


async def test_a_language_model_that_is_cut_off_fails_its_answer_alone(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.llm.cuts_after = 1
        client, _ = await house.open()
        client.send(type="text", text="go")
        assert (await client.see("error"))["service"] == "llm"
        house.llm.cuts_after = None
        client.send(type="text", text="again")
        assert (await client.see("reply_done", lambda done: done["finish_reason"] == "stop"))["text"] == ANSWER


async def test_a_voice_that_dies_in_mid_answer_is_told_and_comes_back(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.pieces = 300
        client, _ = await house.open()
        client.send(type="text", text="go")
        await client.hear(1)
        await house.tts.stop()
        error = await client.see("error")
        await house.tts.start()
        house.tts.pieces = 1
        client.send(type="text", text="again")
        done = await client.see("reply_done", lambda event: event["finish_reason"] == "stop")

        assert (error["service"], error["retryable"]) == ("tts", True)
        assert done["text"] == ANSWER


async def test_ears_that_die_in_mid_utterance_are_told_and_come_back(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0))
        await client.see("speech_started")
        await house.asr.stop()
        error = await client.see("error")
        await house.asr.start()
        await house.asr.tally.wait_for("config", 2)
        await house.asr.utter("hello again", "utt_2")
        done = await client.see("reply_done")

        assert (error["service"], error["code"], error["retryable"]) == ("asr", "service_unavailable", True)
        assert done["text"] == ANSWER
        assert client.types.count("error") == 1


async def test_a_client_that_leaves_in_mid_answer_leaves_a_kept_turn_and_nothing_running(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.pieces = 1_000
        house.llm.gate = anyio.Semaphore(1)
        client, session = await house.open()
        client.send(type="text", text="go")
        await client.hear(1)
        client.leave()
        await house.asr.tally.wait_for("disconnected")
        await house.tts.tally.wait_for("disconnected")
        await house.llm.tally.wait_for("closed")
        while not (turns := await house.turns(session)):
            await anyio.lowlevel.checkpoint()

        assert [turn["finish_reason"] for turn in turns] == ["interrupted"]
        assert house.tts.tally.seen.count("cancel") == 1


async def test_a_hundred_sessions_leave_no_task_behind(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        before = len(anyio.get_running_tasks())
        for _ in range(100):
            client, _ = await house.open()
            client.leave()
        await house.asr.tally.wait_for("disconnected", 100)
        while len(anyio.get_running_tasks()) > before:
            await anyio.lowlevel.checkpoint()


async def test_another_persona_clears_the_conversation(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.send(type="text", text="hello")
        await client.see("reply_done")
        client.send(type="config", persona="sun_wukong")
        client.send(type="text", text="你好")
        await client.see("reply_done", count=2)

        contents = [message["content"] for message in house.llm.prompts[1]]
        assert contents == [house.house.personas["sun_wukong"].system_prompt, "你好"]


async def test_transcription_hears_and_never_answers(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, session = await house.open()
        client.send(type="config", mode="transcription")
        await house.asr.tally.wait_for("config", 2)
        await house.asr.utter("just write this down", "utt_1")
        await client.see("final")
        client.send(type="ping")
        await client.see("pong")

        assert "reply_started" not in client.types
        while not (turns := await house.turns(session)):
            await anyio.lowlevel.checkpoint()
        assert [turn["user_text"] for turn in turns] == ["just write this down"]
        assert house.llm.prompts == []


async def test_commit_and_clear_reach_the_recogniser(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0))
        await client.see("speech_started")
        client.send(type="commit")
        await house.asr.tally.wait_for("flush")
        client.send(op="clear")
        await house.asr.tally.wait_for("clear")


async def test_json_transport_speaks_the_words_of_clients_without_binary_frames(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open("json")
        client.send(type="audio_chunk", audio=base64.b64encode(b"\0\0" * 160).decode())
        await house.asr.tally.wait_for("audio")
        await house.asr.utter("hello", "utt_1")
        await client.see("reply_done")
        audio = await client.see("audio_response")

        assert (await client.see("transcription"))["text"] == "hello"
        assert "".join(event["text"] for event in client.events if event["type"] == "llm_token") == ANSWER
        assert (base64.b64decode(audio["audio"]), audio["tier"]) == (PIECE, "fast")
        assert "audio" not in client.types


async def test_two_sessions_neither_wait_for_nor_hear_each_other(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        one, first = await house.open()
        other, second = await house.open()
        house.llm.gate = anyio.Semaphore(0)
        one.send(type="text", text="I am one")
        await house.llm.tally.wait_for("asked")
        house.llm.gate = None
        other.send(type="text", text="I am the other")
        await other.see("reply_done")

        assert "reply_done" not in one.types
        assert [turn["user_text"] for turn in await house.turns(second)] == ["I am the other"]
        assert await house.turns(first) == []
        assert not {event.get("turn_id") for event in one.events} & {
            event["turn_id"] for event in other.events if "turn_id" in event
        }


async def test_a_client_that_reads_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outbox.MESSAGES_LIMIT", 4)
    monkeypatch.setattr("gateway.client_socket.FAREWELL_S", 0.01)
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.stop_reading()
        for _ in range(20):
            client.send(type="ping")
        await house.asr.tally.wait_for("disconnected")


async def test_an_error_of_the_recogniser_is_told_and_costs_no_turn(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0))
        await house.asr.say(asr.AsrError(code="unsupported", message="Only English is understood."))
        await house.asr.say(final("what I said before", "utt_1"))
        done = await client.see("reply_done")

        assert (await client.see("error"))["service"] == "asr"
        assert done["text"] == ANSWER


async def test_what_is_cut_off_was_heard_to_this_very_moment(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.pieces = 300
        client, _ = await house.open()
        client.send(type="text", text="go")
        reply_id = (await client.see("segment"))["reply_id"]
        await client.hear(100)
        client.send(type="played", reply_id=reply_id, ms=700)
        client.send(type="cancel")

        assert (await client.see("interrupted"))["heard_ms"] == 700
