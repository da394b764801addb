"""The speech of a reply at replicas of the voice that die, refuse and hang up in the middle of it."""

from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial

import anyio
import pytest

from gateway.core.replica_choice import Condition
from gateway.replicas import Replicas
from gateway.tts_link import MOVES, Speech, SpokenReply, speak
from shared.errors import EngineFailed, InvalidMessage, Overloaded, ParleyError, ServiceUnavailable
from shared.wire import tts
from tests.support.replicas import CHAR_SAMPLES, Narrator, spoken, started

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

DELTAS = ["One tw", "o three. Fo", "ur five. ", "Six."]
TEXT = "".join(DELTAS)
SENTENCES = ["One two three.", "Four five.", "Six."]
STARTS = [0, *(len(spoken("".join(SENTENCES[:count]))) // 2 for count in (1, 2))]
NOBODY = "ws://127.0.0.1:9"


async def tell(reply: SpokenReply, deltas: Iterable[str] = DELTAS) -> None:
    """The whole text; what it fails with fails the reading too, which tells why."""
    with suppress(ParleyError):
        for delta in deltas:
            await reply.say(delta)
        await reply.finish()


async def heard_from(
    service: str | Replicas, write: Callable[[SpokenReply], Coroutine[None, None, None]] = tell
) -> tuple[bytes, list[tuple[str, int]]]:
    """All audio of a reply, and its segments with their positions; what it fails with is raised as itself."""
    audio, segments, failures = b"", [], list[ParleyError]()
    async with anyio.create_task_group() as tasks:
        try:
            async with speak(service, tts.Start(reply_id="rep_1"), 1.0) as reply:
                tasks.start_soon(write, reply)
                async for heard in reply.output():
                    if isinstance(heard, Speech):
                        audio += heard.pcm
                    else:
                        segments.append((heard.text, heard.start_samples))
        except ParleyError as failure:
            failures.append(failure)
            tasks.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return audio, segments


@pytest.mark.parametrize("frames", range(25))
@pytest.mark.parametrize("hangs_up", [False, True], ids=["dies", "hangs up"])
async def test_wherever_a_voice_is_cut_off_another_one_goes_on_and_nothing_is_said_twice(
    frames: int, hangs_up: bool
) -> None:
    mortal, other = Narrator(dies_after=frames, hangs_up=hangs_up), Narrator()
    async with started(mortal, other) as urls:
        replicas = Replicas("tts_service", urls)
        audio, segments = await heard_from(replicas)

    assert audio == spoken(TEXT)
    assert segments == list(zip(SENTENCES, STARTS, strict=True))
    cut = max(at for at in range(3) if STARTS[at] <= frames * CHAR_SAMPLES)
    assert [text.lstrip() for text in other.texts] == [" ".join(SENTENCES[cut:])]
    assert next(iter(replicas.conditions.values())) is (Condition.LOADING if hangs_up else Condition.LOST)


async def test_two_that_die_in_the_same_reply_are_both_followed() -> None:
    voices = Narrator(dies_after=5), Narrator(dies_after=16), Narrator()
    async with started(*voices) as urls:
        audio, segments = await heard_from(urls)

    assert audio == spoken(TEXT)
    assert [text for text, _ in segments] == SENTENCES


async def test_a_voice_that_sends_larger_pieces_goes_on_at_the_sample() -> None:
    async with started(Narrator(dies_after=5), Narrator(at_once=True)) as urls:
        audio, segments = await heard_from(urls)

    assert (audio, segments) == (spoken(TEXT), list(zip(SENTENCES, STARTS, strict=True)))


async def test_text_that_comes_while_the_reply_moves_is_said_once_and_in_order() -> None:
    mortal, other = Narrator(dies_after=3), Narrator()

    async with started(mortal, other) as urls:
        audio, segments = await heard_from(urls, partial(tell, deltas=TEXT))

    assert other.texts == [TEXT]
    assert (audio, [text for text, _ in segments]) == (spoken(TEXT), SENTENCES)


@pytest.mark.parametrize("code", ["overloaded", "too_many_sessions", "service_unavailable"])
async def test_a_voice_that_takes_no_more_is_passed_over(code: str) -> None:
    full, other = Narrator(refuses=code), Narrator()
    async with started(full, other) as urls:
        audio, _ = await heard_from(urls)

    assert (audio, other.texts) == (spoken(TEXT), [TEXT])


async def test_a_voice_that_cannot_be_reached_is_passed_over() -> None:
    other = Narrator()
    async with started(other) as url:
        replicas = Replicas("tts_service", f"{NOBODY} {url}")
        audio, _ = await heard_from(replicas)

    assert audio == spoken(TEXT)
    assert list(replicas.conditions.values()) == [Condition.LOST, Condition.UNKNOWN]


@pytest.mark.parametrize(("code", "error"), [("engine_failed", EngineFailed), ("invalid_message", InvalidMessage)])
async def test_what_no_replica_could_do_better_is_asked_of_no_other(code: str, error: type[ParleyError]) -> None:
    one, other = Narrator(refuses=code), Narrator()
    async with started(one, other) as urls:
        with pytest.raises(error):
            await heard_from(urls)

    assert other.texts == []


async def test_a_single_voice_that_dies_fails_the_reply() -> None:
    async with started(Narrator(dies_after=3)) as url:
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await heard_from(url)


@pytest.mark.parametrize(
    ("code", "failure", "sentence"),
    [
        ("overloaded", Overloaded, "no more answers"),
        ("too_many_sessions", Overloaded, "no more answers"),
        ("service_unavailable", ServiceUnavailable, "not ready"),
    ],
)
async def test_a_single_voice_that_takes_no_more_says_so(code: str, failure: type[ParleyError], sentence: str) -> None:
    async with started(Narrator(refuses=code)) as url:
        with pytest.raises(failure, match=sentence):
            await heard_from(url)


async def test_nobody_is_asked_without_end() -> None:
    voices = [Narrator(dies_after=0) for _ in range(MOVES + 2)]
    async with started(*voices) as urls:
        with pytest.raises(ServiceUnavailable):
            await heard_from(urls)

    assert sum(bool(voice.texts) for voice in voices) == MOVES + 1


async def test_the_death_of_the_last_voice_is_noticed_while_nobody_reads() -> None:
    async with started(Narrator(dies_after=0)) as url, speak(url, tts.Start(reply_id="rep_1"), 1.0) as reply:
        await reply.say("One.")
        with pytest.raises(ServiceUnavailable):
            await reply.watch()


async def test_a_reply_that_is_left_is_not_moved_and_gives_its_replica_back() -> None:
    mortal, other = Narrator(dies_after=3), Narrator()
    async with started(mortal, other) as urls:
        replicas = Replicas("tts_service", urls)
        async with speak(replicas, tts.Start(reply_id="rep_1"), 1.0) as reply:
            await reply.say("One two three.")

        assert (other.texts, list(replicas.users.values())) == ([], [0, 0])


async def test_a_watched_reply_that_moves_is_watched_at_its_new_place() -> None:
    mortal, other = Narrator(dies_after=3), Narrator()
    async with (
        started(mortal, other) as urls,
        anyio.create_task_group() as tasks,
        speak(urls, tts.Start(reply_id="rep_1"), 1.0) as reply,
    ):
        tasks.start_soon(reply.watch)
        await tell(reply)
        assert b"".join([one.pcm async for one in reply.output() if isinstance(one, Speech)]) == spoken(TEXT)
