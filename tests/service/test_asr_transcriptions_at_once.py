"""Several files at once, files beside live streams, and clients that leave: nothing is lost, nothing stays behind."""

import json
from collections.abc import Callable

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from asr_service.engines.fake import FakeEngine, FakeRecogniser
from asr_service.upload_form import FIELDS_LIMIT_BYTES, FILE_LIMIT_BYTES, received
from shared.errors import BadRequest, ParleyError, TooManySessions
from shared.wire.asr import Final, Partial
from tests.support.asr import running, stream
from tests.support.speech import cut
from tests.support.transcriptions import TWO_UTTERANCES, UTTERANCE, WORDS, Caller, Gate, held, served
from tests.support.uploads import wav

pytestmark = [pytest.mark.service, pytest.mark.anyio]


def text_of(caller: Caller) -> str:
    text: str = json.loads(caller.text)["text"]
    return text


async def test_two_files_at_once_share_one_recogniser_and_lose_nothing() -> None:
    gate = Gate()
    async with running(FakeEngine(WORDS, on_step=gate.step)) as scheduler:
        transcriptions = served(scheduler)
        first, second = Caller(wav(TWO_UTTERANCES)), Caller(wav(UTTERANCE))
        async with anyio.create_task_group() as tasks, held(first, transcriptions, gate):
            tasks.start_soon(second.call, transcriptions)
            await wait_all_tasks_blocked()

            assert second.told == [], "it waits for the recogniser"
        assert text_of(first) == "one two three one two"
        assert text_of(second) == "one two three"
        assert scheduler.recognisers.idle == scheduler.recognisers.opened == 1


class GatedFirstEngine(FakeEngine):
    """Its first recogniser can be held; the others go on. Each holds a model of its own."""

    shares_model = False

    def __init__(self, gate: Gate) -> None:
        super().__init__(WORDS)
        self._steps: list[Callable[[], None]] = [gate.step]

    def open(self) -> FakeRecogniser:
        return FakeRecogniser(WORDS, self._steps.pop() if self._steps else lambda: None)


async def test_files_leave_a_recogniser_to_those_who_speak_live() -> None:
    gate = Gate()
    async with running(GatedFirstEngine(gate), capacity=2) as scheduler:
        transcriptions = served(scheduler)
        first, second = Caller(wav(UTTERANCE)), Caller(wav(UTTERANCE))
        async with (
            anyio.create_task_group() as tasks,
            held(first, transcriptions, gate),
            stream(scheduler) as peer,
        ):
            tasks.start_soon(second.call, transcriptions)
            await wait_all_tasks_blocked()
            peer.say(*cut(UTTERANCE, 640))

            assert (await peer.until(Partial)).text == "one"
            assert (await peer.until(Final)).text == "one two three"
            assert second.told == []
        assert text_of(first) == text_of(second) == "one two three"
        assert scheduler.recognisers.idle == scheduler.recognisers.opened == 2


async def test_a_client_that_leaves_in_mid_file_stops_the_work_and_leaves_nothing() -> None:
    gate = Gate()
    async with running(FakeEngine(WORDS, on_step=gate.step)) as scheduler:
        transcriptions = served(scheduler, max_uploads=1)
        leaving = Caller(wav(UTTERANCE * 20), stream="true")
        async with held(leaving, transcriptions, gate):
            leaving.leave()
            await wait_all_tasks_blocked()

            assert scheduler.recognisers.idle == 0, "a recogniser in use is nobody else's"
        while not scheduler.recognisers.idle:  # it comes back when the step that was running has ended
            await checkpoint()
        assert leaving.told == []
        assert scheduler.recognisers.opened == 1
        assert transcriptions.decoding.borrowed_tokens == 0
        next_one = Caller(wav(UTTERANCE))
        await next_one.call(transcriptions)
        assert text_of(next_one) == "one two three"


async def test_a_client_that_leaves_while_it_waits_for_a_recogniser_leaves_nothing() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        # Far more sound than is decoded ahead, so that its thread waits too.
        transcriptions, leaving = served(scheduler), Caller(wav(UTTERANCE * 20))
        busy = scheduler.recognisers.take_nowait()
        assert busy is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leaving.call, transcriptions)
            while not transcriptions.decoding.borrowed_tokens:
                await checkpoint()
            await wait_all_tasks_blocked()
            leaving.leave()
        scheduler.recognisers.give_back(busy)

        assert (leaving.told, scheduler.recognisers.idle, transcriptions.decoding.borrowed_tokens) == ([], 1, 0)


async def test_a_client_that_leaves_while_it_sends_is_no_error() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        transcriptions, leaving = served(scheduler, max_uploads=1), Caller(wav(UTTERANCE))
        leaving.leave()
        await leaving.call(transcriptions)

        assert leaving.told == []
        await Caller(wav(UTTERANCE)).call(transcriptions)


@pytest.mark.parametrize("fields", [{}, {"stream": "true"}])
async def test_a_client_that_vanishes_while_it_is_told_something_is_no_error(fields: dict[str, str]) -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        transcriptions, vanished = served(scheduler, max_uploads=1), Caller(wav(UTTERANCE), **fields)
        vanished.is_gone = True
        await vanished.call(transcriptions)
        await Caller(wav(UTTERANCE)).call(transcriptions)

        assert scheduler.recognisers.idle == scheduler.recognisers.opened


async def test_one_upload_too_many_is_refused_before_it_is_received() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        transcriptions = served(scheduler, max_uploads=1)
        first, second = Caller(wav(UTTERANCE)), Caller(wav(UTTERANCE))
        first.may_send = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.call, transcriptions)
            await first.is_sending.wait()
            with pytest.raises(TooManySessions) as refused:
                await second.call(transcriptions)
            first.may_send.set()

        assert (refused.value.status, refused.value.retry_after_ms) == (429, 1_000)
        assert not second.is_sending.is_set()
        assert text_of(first) == "one two three"


async def test_a_file_that_never_arrives_is_given_up() -> None:
    stalled = Caller(wav(UTTERANCE))
    stalled.may_send = anyio.Event()

    with pytest.raises(BadRequest, match="too long to arrive"):
        async with received(stalled.scope, stalled.receive, deadline_s=0.0):
            pytest.fail("nothing was received")


async def test_a_body_that_does_not_tell_its_length_is_bounded_all_the_same() -> None:
    caller = Caller(bytes(FILE_LIMIT_BYTES + FIELDS_LIMIT_BYTES))
    caller.scope["headers"] = [pair for pair in caller.scope["headers"] if pair[0] == b"content-type"]

    with pytest.raises(ParleyError) as refused:
        async with received(caller.scope, caller.receive, deadline_s=60.0):
            pytest.fail("it is too long")

    assert refused.value.status == 413
