"""One attempt at an answer, from the question to the last sample heard.

Small tasks in one cancel scope: think (tokens from the LLM), tell (them to the conversation, not far ahead of the
voice), speak (text to the TTS), listen (its audio into a bounded stream), play (audio to the client, never further
ahead of the ear than `lead_ms`), follow (what was heard, told to the conversation). Whatever fails is told to the
conversation as a StageFailed of this reply; nothing else leaves. A silent reply needs no TTS: it is shown, and counts
as read when it is complete, and so does one that speech has no room for. How long each waited for its first word and
sound is told to the load of the house.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from gateway.core import events as on
from gateway.core.events import ConversationEvent, FinishReason, Stage
from gateway.core.playout import Playout
from gateway.core.speech_progress import SpeechProgress
from gateway.core.trace import Voiced
from gateway.llm_client import Delta, LlmClient, Question
from gateway.load import HouseLoad
from gateway.outbox import AudioFrame, Outbox
from gateway.recall_run import RecallRun
from gateway.replicas import Replicas
from gateway.reply_sound import ReplySound
from gateway.store import KeptSegment
from gateway.text_pace import TextPace
from gateway.tts_link import Speech, SpokenReply, speak
from shared import clock, pcm
from shared.errors import Overloaded, ParleyError
from shared.wire import native, tts

AUDIO_AHEAD = 24  # pieces of at most 100 ms that a reply may hold back while it waits for its release or for playout
FOLLOW_EVERY_S = 0.1
THOUGHTS = 16_384  # deltas of one answer that wait to be told; the limit of tokens keeps answers below it
DRY_MS = 300

Post = Callable[[ConversationEvent], Awaitable[None]]
Work = Callable[[], Awaitable[None]]
Heard = tts.SegmentStarted | Speech


@dataclass(frozen=True, slots=True)
class ReplyOrder:
    """What a reply is made of: the question, how it is to be spoken, and where it goes."""

    turn_id: str
    reply_id: str
    question: Question
    speech: tts.Start
    is_held: bool
    script: str = ""  # said word for word instead of an answer
    script_ends: FinishReason = FinishReason.STOP
    begun: Voiced | None = None  # by another gateway, which was killed: all that was sent of it
    is_written: bool = False  # the text of that is complete
    is_silent: bool = False  # shown and not spoken
    recall: RecallRun | None = None  # what was said in earlier sessions is being looked for


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every reply of a session uses."""

    llm: LlmClient
    voices: Replicas
    connect_timeout_s: float
    lead_ms: int
    outbox: Outbox
    post: Post
    refuse: Callable[[ParleyError], None]  # told to the client; the reply goes on
    load: HouseLoad
    note_asked: Callable[[str, Question], None]  # the question as it is asked, before it is
    keeps_sound: bool


class ReplyRun:
    """A reply under way. `say`, `finish`, `release`, `pause`, `resume` and `mark` never wait."""

    def __init__(self, order: ReplyOrder, around: Surroundings) -> None:
        self.order = order
        self.playout = Playout(order.speech.sample_rate)
        is_begun_aloud = bool(order.begun and order.begun.segments)
        self.sound = ReplySound(order.speech.sample_rate, wanted=around.keeps_sound and not is_begun_aloud)
        self._around = around
        self._scope = anyio.CancelScope()
        self._unspoken: list[str] = []
        self._said: list[str] = []
        self._has_text = anyio.Event()
        self._is_text_complete = False
        self._pace = TextPace(self._is_ear_dry)
        self._released = anyio.Event()
        self._is_paused = False
        self._is_away = False
        self.deltas = 0  # that the language model sent
        self._unsent_samples = 0  # handed to the outbox
        self._is_all_spoken = False  # by the service: not so where it failed
        self._is_all_made = False
        self._is_all_sent = False
        self._news = anyio.Event()
        self._first_word = around.load.waits_for(Stage.LLM)
        self._first_sound = around.load.waits_for(Stage.TTS)
        if order.is_silent or is_begun_aloud:
            self._first_sound.forget()
        if not order.is_held:
            self._released.set()
        if order.begun:
            self._take_up(order.begun)

    def _take_up(self, begun: Voiced) -> None:
        """Go on behind what was sent: nothing of it is said or heard twice."""
        self._said, self._is_text_complete = [begun.text], self.order.is_written
        self._has_text.set()
        self._pace.hand_on(begun.text)
        for text, _ in begun.segments:
            self._pace.voice(text)
        self.playout.take_up(begun.segments, begun.heard_ms, clock.now_s())
        self._is_away = True

    def say(self, text: str) -> None:
        """Text that is to be spoken. Bounded by the answer's own limit of tokens."""
        self._unspoken.append(text)
        self._said.append(text)
        self._first_sound.begin_at_sentence(text)
        self._has_text.set()

    def finish(self) -> None:
        """The text is complete."""
        self._is_text_complete = True
        self._first_sound.begin()
        self._has_text.set()

    @property
    def is_released(self) -> bool:
        """Whether its audio may leave; a held reply's may not yet."""
        return self._released.is_set()

    def release(self) -> None:
        """The audio may go to the client."""
        self._released.set()

    def pause(self) -> None:
        """The client waits: nothing more is heard, and soon nothing more is handed on."""
        self._is_paused = True
        self.playout.pause(clock.now_s())

    def resume(self) -> None:
        """The client plays on from where it was."""
        self._is_paused = False
        self._play_on()

    def leave(self) -> None:
        """The client is away: nothing of what it is sent is heard until it is back."""
        self._is_away = True
        self.playout.pause(clock.now_s())

    def come_back(self) -> None:
        """The client is here again; what it marked meanwhile may be lost."""
        self._is_away = False
        self.playout.trust_clock(clock.now_s())
        self._play_on()

    def _play_on(self) -> None:
        if not self._is_away and not self._is_paused:
            self.playout.resume(clock.now_s())
        self._announce_news()

    def mark(self, ms: int) -> None:
        """The client played so much."""
        self.playout.mark(ms, clock.now_s())
        self._announce_news()

    def note_sent(self, audio: bytes) -> None:
        """This audio has left for the client."""
        samples = pcm.samples_of(audio)
        self._unsent_samples -= samples
        self.playout.add_audio(samples, clock.now_s())
        self.sound.add(audio)
        self._end_when_all_is_sent()

    def _end_when_all_is_sent(self) -> None:
        if self._is_all_made and not self._unsent_samples:
            self.playout.end("".join(self._said))
            self._is_all_sent = True
            self._announce_news()

    def told(self) -> list[KeptSegment]:
        """Its segments that were announced, each with the moment at which it begins."""
        rate = self.order.speech.sample_rate
        return [KeptSegment(text, pcm.ms_of(start, rate)) for text, start in self.playout.segments]

    def heard(self) -> on.PlayoutMarked:
        """What was heard by now."""
        now_s = clock.now_s()
        return on.PlayoutMarked(self.order.reply_id, self.playout.heard_ms(now_s), self.playout.heard_text(now_s))

    def cancel(self) -> None:
        """Stop everything; the services are told and waited for in the background."""
        self._scope.cancel()

    async def run(self) -> None:
        """Until all was heard, it failed, or it was cancelled."""
        send, receive = anyio.create_memory_object_stream[Delta](THOUGHTS)
        with self._first_word, self._first_sound, self._scope, send, receive:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._guard, partial(self._think, send), Stage.LLM, name="think")
                tasks.start_soon(self._tell, receive, name="tell")
                tasks.start_soon(self._guard, self._voice, Stage.TTS, name="voice")
                tasks.start_soon(self._follow, name="follow")

    async def _guard(self, work: Work, stage: Stage) -> None:
        try:
            await work()
        except ParleyError as failure:
            if isinstance(failure, Overloaded):
                self._around.load.note_refusal(stage)
            reply_id = self.order.reply_id
            await self._post(on.StageFailed(stage, failure.code, failure.message, failure.retryable, reply_id))

    async def _post(self, event: ConversationEvent) -> None:
        await self._around.post(event)

    async def _think(self, thoughts: MemoryObjectSendStream[Delta]) -> None:
        """Read the answer as fast as it is written; the last delta names the reason of its end."""
        told = self.order.begun.text if self.order.begun else ""
        if self.order.is_written:
            return thoughts.close()
        if self.order.script:
            if rest := self.order.script[len(told) :]:
                await thoughts.send(Delta(rest))
            return await thoughts.send(Delta(finish_reason=self.order.script_ends))
        finish_reason = FinishReason.STOP
        question = await self._question()
        self._first_word.begin()
        async with self._around.llm.answer(question, told) as deltas:
            async for delta in deltas:
                finish_reason = delta.finish_reason or finish_reason
                if delta.text:
                    self.deltas += 1
                    self._first_word.end()
                    await thoughts.send(Delta(delta.text))
        await thoughts.send(Delta(finish_reason=finish_reason))

    async def _question(self) -> Question:
        """With what the person said earlier, if that was found in time: the wait for it is bounded."""
        question, recall = self.order.question, self.order.recall
        if recall is None:
            return question
        asked = replace(question, messages=(await recall.result()).told_in(question.messages))
        self._around.note_asked(self.order.reply_id, asked)
        return asked

    async def _tell(self, thoughts: MemoryObjectReceiveStream[Delta]) -> None:
        """Hand the answer on, no further ahead of its voice than the pace allows."""
        reply_id = self.order.reply_id
        async for delta in thoughts:
            if delta.finish_reason is not None:
                return await self._post(on.ReplyTextEnded(reply_id, delta.finish_reason))
            await self._pace.wait()
            self._pace.hand_on(delta.text)
            await self._post(on.ReplyDelta(reply_id, delta.text))

    def _is_ear_dry(self) -> bool:
        return self._released.is_set() and not self._is_paused and self.playout.lead_ms(clock.now_s()) < DRY_MS

    async def _voice(self) -> None:
        """Have it spoken. What speech has no room for is shown, but where it was begun or will be asked for again."""
        try:
            return await (self._show() if self.order.is_silent else self._be_spoken())
        except Overloaded as refusal:
            if self._first_sound.is_over or not self.is_released or not self._around.load.gives_up_sound:
                raise
            self._around.load.note_refusal(Stage.TTS)
            self._around.refuse(refusal)
        self._first_sound.forget()
        await self._show()

    async def _show(self) -> None:
        """Nobody speaks: no text waits for its voice, and all is there when the text is complete."""
        shown = 0
        while True:
            self._has_text = anyio.Event()
            self._pace.voice("".join(self._said[shown:]))
            shown = len(self._said)
            if self._is_text_complete:
                break
            await self._has_text.wait()
        self._is_all_made = True
        self._end_when_all_is_sent()

    async def _be_spoken(self) -> None:
        around, start, begun = self._around, self.order.speech, self.order.begun
        made = SpeechProgress.of(begun.text, begun.segments) if begun else None
        send, receive = anyio.create_memory_object_stream[Heard](AUDIO_AHEAD)
        async with receive, send, speak(around.voices, start, around.connect_timeout_s, made) as spoken:
            works = (partial(self._speak, spoken), partial(self._listen, spoken, send), partial(self._play, receive))
            await _side_by_side(*works, watch=spoken.watch)

    async def _speak(self, spoken: SpokenReply) -> None:
        while True:
            await self._has_text.wait()
            self._has_text = anyio.Event()
            text, self._unspoken = "".join(self._unspoken), []
            is_last = self._is_text_complete
            if text:
                await spoken.say(text)
            if is_last:
                return await spoken.finish()

    async def _listen(self, spoken: SpokenReply, send: MemoryObjectSendStream[Heard]) -> None:
        is_first = True
        async with send:
            async for heard in spoken.output():
                self._first_sound.end()  # a voice that makes no sound announces what is spoken elsewhere
                if isinstance(heard, tts.SegmentStarted):
                    self._pace.voice(heard.text)
                    self.playout.add_segment(heard.text, heard.start_samples)
                elif is_first:
                    is_first = False
                    await self._post(on.AudioReady(self.order.reply_id))
                await send.send(heard)
        self._is_all_spoken = True
        self._first_sound.forget()  # of nothing but code and signs nothing is spoken

    async def _play(self, receive: MemoryObjectReceiveStream[Heard]) -> None:
        """Hand audio to the client once it may hear it, and no faster than `lead_ms` ahead of its ear."""
        async with receive:
            async for heard in receive:
                await self._released.wait()
                if isinstance(heard, Speech):
                    await self._send_audio(heard.pcm)
                else:
                    await self._send_segment(heard)
        self._is_all_made = self._is_all_spoken
        self._end_when_all_is_sent()

    async def _send_segment(self, segment: tts.SegmentStarted) -> None:
        order = self.order
        start_ms = pcm.ms_of(segment.start_samples, order.speech.sample_rate)
        await self._around.outbox.put(
            native.SegmentStarted(turn_id=order.turn_id, reply_id=order.reply_id, text=segment.text, start_ms=start_ms)
        )

    async def _send_audio(self, audio: bytes) -> None:
        while (ahead_ms := self._lead_ms() - self._around.lead_ms) > 0:
            await self._until_news(max(20, ahead_ms) / 1000)
        self._unsent_samples += pcm.samples_of(audio)
        await self._around.outbox.put(AudioFrame(self.order.reply_id, audio))

    def _lead_ms(self) -> int:
        """How far what was handed on is ahead of the ear."""
        unsent_ms = pcm.ms_of(self._unsent_samples, self.order.speech.sample_rate)
        return self.playout.lead_ms(clock.now_s()) + unsent_ms

    async def _follow(self) -> None:
        """Tell what was heard as it is heard, and at last that all was."""
        await self._released.wait()
        while True:
            await self._until_news(self._until_next_mark_s())
            heard = self.heard()
            if self._is_all_sent and self.playout.is_finished(clock.now_s()):
                return await self._post(on.PlayoutFinished(heard.reply_id, heard.heard_ms, heard.heard_text))
            await self._post(heard)

    def _until_next_mark_s(self) -> float:
        next_at_s = self.playout.next_change_at(clock.now_s())
        return FOLLOW_EVERY_S if next_at_s is None else min(FOLLOW_EVERY_S, max(0.001, next_at_s - clock.now_s()))

    async def _until_news(self, at_most_s: float) -> None:
        """Wait for a mark of the client or the end of the audio, but not longer."""
        with anyio.move_on_after(at_most_s):
            await self._news.wait()

    def _announce_news(self) -> None:
        self._news.set()
        self._news = anyio.Event()


async def _side_by_side(*works: Work, watch: Work) -> None:
    """Run all works to their end, watched; the first typed failure stops everything and is raised as itself."""
    failures: list[ParleyError] = []

    async def run(work: Work) -> None:
        try:
            await work()
        except ParleyError as failure:
            failures.append(failure)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, watch)
        async with anyio.create_task_group() as working:
            for work in works:
                working.start_soon(run, work)
        tasks.cancel_scope.cancel()
    if failures:
        raise failures[0]
