"""One person's session, from the microphone's frames to the answer's audio. To see the way of a turn, read on.

The rooms that a turn passes, and where they are:

1. line: frames arrive over the client's connection (line.py). Audio goes on unread, messages become events (`_take`).
2. endpointer, stabiliser: in the asr_service, behind asr_link.py; what it heard comes back (`_note_heard`).
3. conversation: core/conversation.py decides who speaks (`_decide`) and names actions (`_perform`).
4. reply: reply.py is one answer; its tokens come from the llm_service.
5. segmenter, synthesiser: in the tts_service, behind tts_link.py.
6. playout: core/playout.py knows what was heard, core/history.py makes of it the next prompt.
7. recorder: the turn goes into the store, then the client is told that it is done.
8. outbox: messages overtake audio, frames leave (`_write`).

A session outlives its connection and its gateway: see lasting_session.py.

Four tasks a session, two a connection and a few a reply: leaving `run` means that everything has ended. Only `_decide`
calls the conversation, so nothing here is locked. `_perform` never waits.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import anyio
from anyio.abc import TaskGroup

from gateway.asr_link import AsrLink, event_of
from gateway.attendance import Attendance
from gateway.character import Character
from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.actions import ConversationAction
from gateway.core.conversation import Conversation
from gateway.core.events import ConversationEvent, Stage, StageFailed
from gateway.core.trace import Trace
from gateway.core.transitions import State
from gateway.dialects.native import Announcement, Encoder, degraded_of, error_of, message_of
from gateway.house import House
from gateway.line import Frame
from gateway.loading import tell_loading
from gateway.outbox import AudioFrame, Outbox
from gateway.recorder import Recorder
from gateway.reply import ReplyRun
from gateway.reply_maker import ReplyMaker
from gateway.session_journal import SessionJournal
from gateway.timings import TurnTimings
from shared import clock, ids, metrics, pcm
from shared.errors import InvalidMessage, ParleyError, ServiceUnavailable
from shared.wire import asr, native
from shared.wire.codec import Message

INBOX_EVENTS = 256
UNFIXED = (State.USER_SPEAKING, State.AWAITING_FINAL)  # what the person says is not fixed yet
AUDIBLE = (State.USER_SPEAKING, State.SPEAKING, State.OVERLAP)  # these wait for a client that is away
OUTAGES = {"llm_service": Stage.LLM, "tts_service": Stage.TTS}
LAST_WORDS_S = 3.0  # for turns that ended with the connection to reach the store


class Session:
    """A conversation with one client. Of one that goes on, `trace` is what stood."""

    def __init__(
        self, house: House, user_id: str = "local", transport: str = "binary", trace: Trace | None = None
    ) -> None:
        self._house, settings = house, house.settings
        self._journal = SessionJournal(house.journals, user_id, transport, trace)
        opened = self._journal.opened
        self.session_id, self.token = opened.session_id, opened.token
        self._over = anyio.Event()
        self._waiting = anyio.CancelScope()
        self._character = Character(house.personas, settings)
        self._conversation = Conversation(settings.conversation_params(), ids.new_id)
        self._encoder = Encoder(opened.transport)
        self._outbox = Outbox(self._conversation.accepts)
        self._attendance = Attendance(
            self._outbox, self._journal, self._encoder, settings, self._note_sent, self._note_presence
        )
        self._replies = ReplyMaker(house, self._character, self._journal, self._outbox, self._post, self.refuse)
        self._recorder = Recorder(
            house.store, self.session_id, opened.user_id, self._tell, self._journal.store_turn, house.two_tier
        )
        self._inbox_send, self._inbox = anyio.create_memory_object_stream[ConversationEvent](INBOX_EVENTS)
        self._learn_character()
        self._asr = AsrLink(
            house.watch.replicas("asr_service", settings.asr_url),
            self._character.for_recogniser(),
            self._note_heard,
            settings.connect_timeout_s,
            self._journal,
        )
        self._reply: ReplyRun | None = None
        self._timings = TurnTimings(0.0)
        self._told_down = ""  # the service whose failure the client was told of in this turn
        self._speech_ended_s = 0.0
        self._spoken_ms = 0  # by the person, in this turn

    async def run(self) -> None:
        """Until the client has left for good; its last turn is kept before this returns."""
        self._greet()
        try:
            outages = self._house.watch.told(self._note_outage)
            levels = self._house.load.told(lambda level: self._tell(degraded_of(level)))
            with self._inbox_send, self._inbox, self._recorder, outages, levels:
                await self._serve()
        finally:
            self._journal.close(remove=False)
            self._over.set()
            self._attendance.hang_up()

    def _greet(self) -> None:
        """The first word."""
        self._tell(self._attendance.ready())

    def _begin(self, tasks: TaskGroup) -> None:
        """What is to be done before anything happens."""

    async def _serve(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._begin(tasks)
            tasks.start_soon(tell_loading, self._house.watch, self._tell, name="session loading")
            for work in (self._asr.run, self._attendance.end_overrun):
                tasks.start_soon(self._guard, work, name=f"session {work.__name__}")
            async with anyio.create_task_group() as last_words:
                last_words.start_soon(self._recorder.run, name="session record")
                await self._guard(partial(self._decide, tasks), is_decider=True)
                self._recorder.close()
                last_words.cancel_scope.deadline = clock.now_s() + LAST_WORDS_S
            tasks.cancel_scope.cancel()

    def _note_presence(self) -> None:
        """The client is away: nothing that it is sent is heard, and its time runs. Or it is back."""
        if self._reply and self._attendance.is_there:
            self._reply.come_back()
        elif self._reply:
            self._reply.leave()
        if self._attendance.is_there:
            self._conversation.wait_anew(clock.now_s())
        self._waiting.deadline = self._deadline_s()

    # 1. line -------------------------------------------------------------------------------------------------------

    async def _take(self, frame: Frame) -> None:
        match frame:
            case bytes():
                await self._asr.hear(pcm.checked(frame))
            case native.AudioChunk(audio=audio):
                await self._asr.hear(pcm.from_base64(audio))
            case native.Played(reply_id=reply_id, ms=ms):
                if self._reply and self._reply.order.reply_id == reply_id:
                    self._reply.mark(ms)
                    self._journal.mark(reply_id, ms)
            case native.Config():
                await self._configure(frame)
            case native.TextInput() | native.Edit():
                await self._take_text(frame)
            case native.Commit():
                await self._asr.flush()
            case native.Clear():
                await self._asr.clear()
                await self._post(on.UtteranceCleared())
            case native.Cancel():
                await self._post(on.CancelAsked())
            case native.Ping():
                self._tell(native.Pong())

    async def _take_text(self, typed: native.TextInput | native.Edit) -> None:
        if isinstance(typed, native.Edit):
            if typed.turn_id != self._conversation.turn_id and not self._character.history.knows(typed.turn_id):
                raise InvalidMessage(f"There is no turn {typed.turn_id!r} to be edited.", param="turn_id")
            return await self._post(on.TurnEdited(typed.turn_id, typed.text))
        if self._conversation.state is State.LISTENING:
            self._timings.set_zero(clock.now_s())
        await self._post(on.TextTyped(typed.text))

    async def _configure(self, config: native.Config) -> None:
        is_another = self._character.take(config)
        if config.audio_out:
            self._encoder.transport = config.audio_out.transport
        self._conversation.params = replace(self._conversation.params, replies=self._character.answers)
        self._note_wishes()
        if is_another:
            await self._post(on.PersonaChanged(self._character.opening_line))
        await self._asr.configure(self._character.for_recogniser())

    def _note_wishes(self) -> None:
        self._journal.wish(self._character.as_fields() | {"transport": self._encoder.transport})

    def _forget(self, action: do.AdoptPersona | do.RewindHistory) -> None:
        """All, when somebody else answers; the last turn of the one before was still theirs. Or from a turn on."""
        if isinstance(action, do.RewindHistory):
            self._character.history.rewind(action.to_turn_id)
        else:
            self._character.adopt()
            self._learn_character()
            self._note_wishes()
        self._journal.remember(self._character.history.as_fields())

    def _learn_character(self) -> None:
        """The persona apologises in its own language."""
        who = self._character
        self._conversation.params = replace(self._conversation.params, apology=who.apology, replies=who.answers)

    # 2. what was heard ---------------------------------------------------------------------------------------------

    async def _note_heard(self, heard: asr.AsrOut | StageFailed) -> None:
        """From the recogniser: an event for the conversation, and the moment at which the person stopped speaking."""
        if isinstance(heard, asr.AsrError):
            error = {"code": heard.code, "message": heard.message, "retryable": heard.retryable}
            self._tell(native.Error(service=Stage.ASR.value, **error))
        event = heard if isinstance(heard, StageFailed) else event_of(heard)
        if isinstance(heard, asr.Candidate | asr.Endpoint):
            silence_s = max(0.0, self._asr.heard_s - heard.at_samples / asr.STREAM_RATE)
            self._speech_ended_s = clock.now_s() - silence_s
        if event is not None:
            await self._post(event)

    def _note_outage(self, service: str) -> None:
        """A service went away while nobody needed it; of the recogniser its link tells."""
        stage = OUTAGES.get(service)
        if stage is not None and self._told_down != stage:
            self.refuse(ServiceUnavailable(f"The {service} went away; it is expected back.", service=stage.value))

    # 3. conversation -----------------------------------------------------------------------------------------------

    async def _post(self, event: ConversationEvent) -> None:
        """Queue an event. A cancel while waiting loses it, and only whatever made it is cancelled with it."""
        await self._inbox_send.send(event)

    async def _decide(self, tasks: TaskGroup) -> None:
        """Ask the conversation about one event after the other, until the client is gone."""
        while self._conversation.state is not State.CLOSED:
            event = await self._next_event()
            self._shorten()
            self._catch_up()
            self._time_speech(event)
            for action in self._conversation.handle(event, clock.now_s()):
                self._perform(action, tasks)
            self._write_down()

    def _write_down(self) -> None:
        """What was decided, before any of it leaves."""
        self._journal.stand(self._conversation.stand())
        self._journal.write()

    def _shorten(self) -> None:
        """Before anything new: the turn before is over, stored and told by now."""
        if self._conversation.state is State.LISTENING and not self._outbox.waits_to_tell:
            self._journal.write()
            self._journal.begin_anew()

    def _catch_up(self) -> None:
        """What was heard is known up to this moment: whatever happens now may cut the answer just here."""
        if self._reply and self._conversation.accepts(self._reply.order.reply_id):
            self._conversation.handle(self._reply.heard(), clock.now_s())

    def _time_speech(self, event: ConversationEvent) -> None:
        """A turn is timed from the end of its last speech."""
        if self._conversation.state is State.USER_SPEAKING:
            if isinstance(event, on.CandidateHeard | on.EndpointReached):
                self._timings.set_zero(self._speech_ended_s)
            if isinstance(event, on.EndpointReached):
                self._timings.reach("endpoint", clock.now_s())

    async def _next_event(self) -> ConversationEvent:
        while True:
            with anyio.CancelScope(deadline=self._deadline_s()) as self._waiting:
                return await self._inbox.receive()
            now_s, deadline_s = clock.now_s(), self._conversation.deadline()
            if now_s >= self._attendance.gone_s:
                return on.Disconnected()
            if deadline_s is not None and now_s >= deadline_s:
                return on.Tick()

    def _deadline_s(self) -> float:
        """When something is due though nothing happens. Nobody is heard while the client is away."""
        deadline_s, gone_s = self._conversation.deadline(), self._attendance.gone_s
        is_unheard = self._conversation.state in AUDIBLE and not self._attendance.is_there
        return gone_s if deadline_s is None or is_unheard else min(deadline_s, gone_s)

    def _perform(self, action: ConversationAction, tasks: TaskGroup) -> None:
        match action:
            case do.RequestReply():
                self._start_reply(self._replies.make(action), tasks)
            case do.ReleaseReply():
                metrics.HELD_REPLIES.labels("released").inc()
                self._current.release()
            case do.CancelReply(reply_id):
                self._cancel_reply(reply_id)
            case do.PauseReply(reply_id):
                self._outbox.keep_back(reply_id)
                self._current.pause()
                self._asr.pause()
            case do.ResumeReply():
                self._current.resume()
                self._asr.resume()
                self._outbox.let_out()
            case do.SpeakText(_, text):
                self._timings.reach("first_token", clock.now_s())
                self._current.say(text)
            case do.FinishSpeech():
                self._timings.reach("last_token", clock.now_s())
                self._current.finish()
            case do.FlushRecogniser():
                tasks.start_soon(self._guard, self._asr.flush, name="flush")
            case do.CommitTurn():
                self._commit(action)
            case do.AdoptPersona() | do.RewindHistory():
                self._forget(action)
            case do.CountStale(what):
                metrics.STALE.labels("gateway", what).inc()
            case _:
                self._announce(action)

    def _commit(self, action: do.CommitTurn) -> None:
        character = self._character
        run = self._reply if self._reply and self._reply.order.reply_id == action.reply_id else None
        spoken_ms, self._spoken_ms = self._spoken_ms, 0
        who = character.persona.id, character.history
        ended = self._recorder.commit(action, *who, self._timings, spoken_ms, run)
        self._journal.remember(character.history.as_fields())
        self._journal.end_turn(ended.as_fields())
        if self._house.memory:
            user_id = self._journal.opened.user_id
            self._house.memory.remember(user_id, self.session_id, action.turn_id, action.user_text, action.edits)
        self._timings = TurnTimings(clock.now_s())

    def _announce(self, action: Announcement) -> None:
        if isinstance(action, do.AnnounceError):
            metrics.ERRORS.labels("gateway", action.code).inc()
            self._told_down = action.service
        elif isinstance(action, do.AnnounceReplyStarted):
            self._told_down = ""
        if isinstance(action, do.AnnounceSpeechStarted | do.AnnounceEdited):
            self._timings = TurnTimings(clock.now_s())  # what an earlier utterance of the turn reached is void
        elif isinstance(action, do.AnnounceFinal):
            self._spoken_ms += round(1000 * sum(one.end_s - one.start_s for one in action.segments))
            if self._conversation.state not in UNFIXED:
                self._timings.reach("final", clock.now_s())
        self._tell(message_of(action))

    # 4. reply ------------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> ReplyRun:
        assert self._reply is not None, "the conversation named a reply that was never requested"
        return self._reply

    def _start_reply(self, reply: ReplyRun, tasks: TaskGroup) -> None:
        """It is heard only while the client is there."""
        self._reply = reply
        if self._attendance.is_there:
            reply.come_back()
        else:
            reply.leave()
        self._timings.forget_answer()
        tasks.start_soon(reply.run, name=f"reply {reply.order.reply_id}")

    def _cancel_reply(self, reply_id: str) -> None:
        if self._current.is_released:
            self._asr.hush()
        else:
            metrics.HELD_REPLIES.labels("cancelled").inc()
            metrics.WASTED_TOKENS.inc(self._current.deltas)
        self._current.cancel()
        dropped = self._outbox.drop(reply_id)
        metrics.STALE.labels("gateway", "audio").inc(dropped)

    # 8. outbox -----------------------------------------------------------------------------------------------------

    def _tell(self, message: Message) -> None:
        self._journal.post(message)
        self._outbox.post(message)

    def refuse(self, error: ParleyError) -> None:
        """Tell the client that something cannot be had; the session lives on."""
        metrics.ERRORS.labels("gateway", error.code).inc()
        self._tell(error_of(error))

    def _note_sent(self, item: AudioFrame) -> int:
        """This audio leaves now; how much of its answer was heard by now, in milliseconds."""
        self._timings.reach("first_audio", clock.now_s())
        run = self._reply
        if run is None or run.order.reply_id != item.reply_id:
            return 0
        run.note_sent(item.pcm)
        self._asr.play(item.pcm, run.order.speech.sample_rate)
        return run.heard().heard_ms

    async def _guard(self, work: Callable[[], Awaitable[None]], *, is_decider: bool = False) -> None:
        """Run a task; what ends the session is told to the client with its close code, then to the conversation."""
        try:
            await work()
        except ParleyError as error:
            await self._attendance.fail(error)
            if not is_decider:  # the decider is the reader of the inbox: it has ended already
                await self._post(on.Disconnected())
