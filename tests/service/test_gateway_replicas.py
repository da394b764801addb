"""Replicas as processes of their own, one of which is killed in the middle of its work for the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from gateway.asr_link import AsrLink
from gateway.core.events import StageFailed
from gateway.llm_client import LlmClient, Question
from gateway.replicas import Replicas
from gateway.tts_link import Speech, SpokenReply, speak
from llm_service.engines.fake import Canned, Exchange, FakeEngine
from shared.errors import ParleyError, ServiceUnavailable
from shared.wire import asr, tts
from tests.support.live_client import read_pcm
from tests.support.llm import HELLO, delta, says
from tests.support.llm_runs import redis_server
from tests.support.replicas import ServiceReplica, service_replicas

pytestmark = [pytest.mark.service, pytest.mark.anyio]

TEXT = "The first sentence is here. The second one follows it. A third ends what is said."
START = tts.Start(reply_id="rep_1")


class Ear:
    """What was heard of a reply."""

    def __init__(self, reply: SpokenReply) -> None:
        self.audio = b""
        self.segments: list[tuple[str, int]] = []
        self._output = reply.output()

    async def hear(self, until_bytes: float = float("inf")) -> None:
        """So much audio, or all."""
        while len(self.audio) < until_bytes:
            heard = await anext(self._output, None)
            if heard is None:
                return
            if isinstance(heard, Speech):
                self.audio += heard.pcm
            else:
                self.segments.append((heard.text, heard.start_samples))


@asynccontextmanager
async def saying(service: str | Replicas) -> AsyncIterator[Ear]:
    async with speak(service, START, 5.0) as reply:
        await reply.say(TEXT)
        await reply.finish()
        yield Ear(reply)


def replicas_of(service: str, scheme: str, processes: list[ServiceReplica]) -> Replicas:
    return Replicas(service, " ".join(f"{scheme}://{one.address}" for one in processes))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("engine", "share", "off_samples"),
    [("fake", 0.01, 0), ("fake", 0.7, 0), ("espeak", 0.5, 240)],  # espeak speaks a little freely
)
async def test_a_voice_that_is_killed_in_mid_sentence_is_followed_by_another_one(
    engine: str, share: float, off_samples: int
) -> None:
    async with service_replicas("tts", TTS_ENGINE=engine, TTS_LEAD_MS="500") as processes:
        async with saying(f"ws://{processes[1].address}") as undisturbed:
            await undisturbed.hear()
        async with saying(replicas_of("tts_service", "ws", processes)) as ear:
            await ear.hear(share * len(undisturbed.audio))
            assert processes[0].kill() < 0
            await ear.hear()

    assert undisturbed.audio
    assert [text for text, _ in ear.segments] == [text for text, _ in undisturbed.segments]
    starts = zip(ear.segments, undisturbed.segments, strict=True)
    assert max(abs(at - wanted) for (_, at), (_, wanted) in starts) <= off_samples
    assert abs(len(ear.audio) - len(undisturbed.audio)) <= 2 * off_samples
    assert off_samples or ear.audio == undisturbed.audio


class Listener:
    """What a session is told of what was heard."""

    def __init__(self) -> None:
        self.told: list[asr.AsrOut | StageFailed] = []
        self._changed = anyio.Event()

    async def take(self, message: asr.AsrOut | StageFailed) -> None:
        self.told.append(message)
        self._changed.set()
        self._changed = anyio.Event()

    def types(self) -> list[str]:
        return ["failed" if isinstance(one, StageFailed) else one.type for one in self.told]

    async def hear(self, kind: str) -> None:
        while kind not in self.types():
            await self._changed.wait()

    @property
    def final(self) -> asr.Final:
        (final,) = [one for one in self.told if isinstance(one, asr.Final)]
        return final


RECORDING = "what_is_the_capital_of_france"
SILENCE = bytes(2 * 16_000)


async def say(link: AsrLink, speech: bytes) -> None:
    for at in range(0, len(speech), 640):
        await link.hear(speech[at : at + 640])


@asynccontextmanager
async def listening(replicas: Replicas) -> AsyncIterator[tuple[AsrLink, Listener]]:
    listener = Listener()
    link = AsrLink(replicas, asr.Configure(sample_rate=16_000, language="en"), listener.take, 5.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        await listener.hear("ready")
        yield link, listener
        tasks.cancel_scope.cancel()


async def understood(replicas: Replicas, killed: ServiceReplica | None, after: str, share: float) -> Listener:
    """A recording, after whose share the first thing of that kind is waited for and a replica is killed."""
    speech = SILENCE + read_pcm(RECORDING)
    cut = len(SILENCE) + 640 * round(share * (len(speech) - len(SILENCE)) / 640)
    async with listening(replicas) as (link, listener):
        await say(link, speech[:cut])
        await listener.hear(after)
        if killed is not None:
            assert killed.kill() < 0
        await say(link, speech[cut:] + SILENCE)
        await listener.hear("final")
    return listener


@pytest.mark.parametrize(("after", "share"), [("speech_started", 0.4), ("partial", 0.9)])
async def test_a_recogniser_that_is_killed_in_mid_utterance_is_followed_and_one_final_comes(
    after: str, share: float
) -> None:
    async with service_replicas("asr") as processes:
        undisturbed = await understood(replicas_of("asr_service", "ws", processes[1:]), None, after, share)
        replicas = replicas_of("asr_service", "ws", processes)
        listener = await understood(replicas, processes[0], after, share)

    assert undisturbed.final.text
    assert listener.final.text == undisturbed.final.text
    assert abs(listener.final.start_samples - undisturbed.final.start_samples) <= 1_600
    assert abs(listener.final.end_samples - undisturbed.final.end_samples) <= 1_600
    for kind in ("speech_started", "endpoint", "final"):
        assert listener.types().count(kind) == 1
    assert "failed" not in listener.types()
    assert len({one.utterance_id for one in listener.told if hasattr(one, "utterance_id")}) == 1


FIRST_HALF = "This is a "  # of what the upstream says whole, when it is asked again
OTHER = "Something else"


class Upstream(FakeEngine):
    """The model's server: it stalls in the middle of its first answer, and gives every later one whole."""

    def __init__(self, beginning: str) -> None:
        super().__init__(self._script)
        self._beginning = beginning
        self.asked = 0

    async def _script(self, exchange: Exchange) -> None:
        self.asked += 1
        if self.asked > 1:
            return await Canned()(exchange)
        await says(delta(self._beginning))(exchange)
        await anyio.sleep_forever()


@dataclass
class Asked:
    """The upstream, and what was told of the one answer that was asked for."""

    upstream: Upstream
    told: list[str]
    failure: ParleyError | None = None


async def answered(beginning: str, **settings: str) -> Asked:
    """An answer whose replica is killed when it has told the beginning."""
    upstream = Upstream(beginning)
    asked = Asked(upstream, [])
    async with upstream.running():
        target = await upstream.target(0)
        assert target is not None
        async with service_replicas(
            "llm", 2, LLM_ENGINE="openai", LLM_UPSTREAM_URL=target.address, **settings
        ) as processes:
            replicas = replicas_of("llm_service", "http", processes)
            async with LlmClient(replicas, 5.0, 30.0).opened() as client:
                try:
                    async with client.answer(Question(HELLO, None, 50, "ses_1:trn_1:rep_1")) as deltas:
                        async for one in deltas:
                            asked.told.append(one.text)
                            if len(asked.told) == 1:
                                assert processes[0].kill() < 0
                except ParleyError as failure:
                    asked.failure = failure
    return asked


async def test_an_answer_whose_replica_is_killed_goes_on_where_it_was() -> None:
    asked = await answered(FIRST_HALF)

    assert (asked.failure, asked.told[0]) == (None, FIRST_HALF)
    assert "".join(asked.told) == "This is a canned answer."
    assert asked.upstream.asked == 2


async def test_an_answer_that_comes_out_differently_ends_with_what_was_told() -> None:
    asked = await answered(OTHER)

    assert isinstance(asked.failure, ServiceUnavailable)
    assert (asked.told, asked.upstream.asked) == ([OTHER], 2)


async def test_with_a_shared_store_the_key_of_the_killed_replica_is_waited_for(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        asked = await answered(FIRST_HALF, LLM_REDIS_URL=redis, LLM_REDIS_LOCK_S="1")

    assert asked.failure is None
    assert "".join(asked.told) == "This is a canned answer."
    assert asked.upstream.asked == 2
