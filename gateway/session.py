"""One person's session, from the microphone's frames to the answer's audio. To see the way of a turn, read on.

The rooms that a turn passes, and where they are:

1. socket: frames arrive and are told apart (`_read`). Audio goes on unread, messages become events (`_take`).
2. endpointer, stabiliser: in the asr_service, behind asr_link.py; what it heard comes back (`_note_heard`).
3. conversation: core/conversation.py decides who speaks (`_decide`) and names actions (`_perform`).
4. reply: reply.py is one answer; its tokens come from the llm_service.
5. segmenter, synthesiser: in the tts_service, behind tts_link.py.
6. playout: core/playout.py knows what was heard, core/history.py makes of it the next prompt.
7. recorder: the turn goes into the store, then the client is told that it is done.
8. outbox: messages overtake audio, frames leave (`_write`).

Six tasks a session and a few a reply, all in one task group: leaving `run` means that everything has ended. Only
`_decide` calls the conversation, so nothing here is locked. `_perform` never waits.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from gateway.asr_link import AsrLink, event_of
from gateway.client_socket import ClientSocket
from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.actions import ConversationAction
from gateway.core.apologies import apology_in
from gateway.core.conversation import Conversation
from gateway.core.events import ConversationEvent, FinishReason, Stage, StageFailed
from gateway.core.history import History
from gateway.core.transitions import State
from gateway.dialects.native import Announcement, Encoder, error_of, message_of
from gateway.llm_client import LlmClient, Question
from gateway.outbox import AudioFrame, Outbox
from gateway.personas import Persona
from gateway.preferences import Preferences
from gateway.recorder import Recorder
from gateway.reply import ReplyOrder, ReplyRun, Surroundings
from gateway.settings import GatewaySettings
from gateway.store import Store
from gateway.timings import TurnTimings
from gateway.watch import ServiceWatch
from shared import clock, ids, metrics, pcm
from shared.errors import BadRequest, InvalidMessage, Overloaded, ParleyError, ServiceUnavailable, Unsupported
from shared.wire import asr, native
from shared.wire.codec import Message

INBOX_EVENTS = 256
UNFIXED = (State.USER_SPEAKING, State.AWAITING_FINAL)  # what the person says is not fixed yet
OUTAGES = {"llm_service": Stage.LLM, "tts_service": Stage.TTS}
LAST_WORDS_S = 3.0  # for turns that ended with the connection to reach the store
CAPABILITIES = [
    "partials",
    "barge_in",
    "backchannels",
    "speculation",
    "playout_marks",
    "personas",
    "transcription",
    "edit",
]


@dataclass(frozen=True, slots=True)
class House:
    """What all sessions share."""

    settings: GatewaySettings
    llm: LlmClient
    store: Store
    personas: Mapping[str, Persona]
    watch: ServiceWatch


class Session:
    """A conversation with one client, for as long as its socket is open."""

    def __init__(self, socket: ClientSocket, house: House, user_id: str = "local", transport: str = "binary") -> None:
        self.session_id = ids.new_id("ses")
        self._socket = socket
        self._house = house
        settings = house.settings
        self._wants = Preferences(house.personas[settings.default_persona])
        self._next_persona = self._wants.persona
        self._conversation = Conversation(settings.conversation_params(), ids.new_id)
        self._learn_apology()
        self._history = History(
            self._wants.persona.system_prompt, settings.history_max_turns, settings.history_max_chars
        )
        self._encoder = Encoder(transport)
        self._outbox = Outbox(self._conversation.accepts)
        self._recorder = Recorder(house.store, self.session_id, user_id, self._tell)
        self._inbox_send, self._inbox = anyio.create_memory_object_stream[ConversationEvent](INBOX_EVENTS)
        self._asr = AsrLink(
            house.watch.replicas("asr_service", settings.asr_url),
            self._wants.for_recogniser(self._wants.persona),
            self._note_heard,
            settings.connect_timeout_s,
        )
        self._reply: ReplyRun | None = None
        self._timings = TurnTimings(0.0)
        self._told_down = ""  # the service whose failure the client was told of in this turn
        self._speech_ended_s = 0.0

    async def run(self) -> None:
        """Serve the client until it leaves; its last turn is kept before this returns."""
        can = [one for one in CAPABILITIES if one != "backchannels" or self._house.settings.backchannels]
        self._tell(native.Ready(session_id=self.session_id, token=ids.new_id("tok"), capabilities=can))
        with self._inbox_send, self._inbox, self._recorder, self._house.watch.told(self._note_outage):
            await self._serve()

    async def _serve(self) -> None:
        async with anyio.create_task_group() as tasks:
            for work in (self._read, self._write, self._asr.run, self._end_overrun):
                tasks.start_soon(self._guard, work, name=f"session {work.__name__}")
            async with anyio.create_task_group() as last_words:
                last_words.start_soon(self._recorder.run, name="session record")
                await self._guard(partial(self._decide, tasks), is_decider=True)
                self._recorder.close()
                last_words.cancel_scope.deadline = clock.now_s() + LAST_WORDS_S
            tasks.cancel_scope.cancel()

    # 1. socket -----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Take frames until the client leaves. Bad ones are answered with an error, and the session lives on."""
        while True:
            await checkpoint()  # frames that wait already are taken without a wait: a burst of them must starve nobody
            try:
                frame = await self._socket.receive()
                if frame is None:
                    return await self._post(on.Disconnected())
                await self._take(frame)
            except BadRequest as error:
                self._refuse(error)

    async def _take(self, frame: bytes | native.ClientMessage) -> None:
        match frame:
            case bytes():
                await self._asr.hear(pcm.checked(frame))
            case native.AudioChunk(audio=audio):
                await self._asr.hear(pcm.from_base64(audio))
            case native.Played(reply_id=reply_id, ms=ms):
                if self._reply and self._reply.order.reply_id == reply_id:
                    self._reply.mark(ms)
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
            case native.Resume():
                raise Unsupported(f"This server does not do {frame.type!r} yet.", service="gateway")

    async def _take_text(self, typed: native.TextInput | native.Edit) -> None:
        if isinstance(typed, native.Edit):
            if typed.turn_id != self._conversation.turn_id and not self._history.knows(typed.turn_id):
                raise InvalidMessage(f"There is no turn {typed.turn_id!r} to be edited.", param="turn_id")
            return await self._post(on.TurnEdited(typed.turn_id, typed.text))
        if self._conversation.state is State.LISTENING:
            self._timings.set_zero(clock.now_s())
        await self._post(on.TextTyped(typed.text))

    async def _configure(self, config: native.Config) -> None:
        persona = self._persona(config.persona) if config.persona else self._next_persona
        self._wants.take(config)
        if config.audio_out:
            self._encoder.transport = config.audio_out.transport
        self._conversation.params = replace(self._conversation.params, replies=self._wants.is_dialogue)
        if persona is not self._next_persona:
            self._next_persona = persona
            await self._post(on.PersonaChanged(persona.opening_line if self._wants.greets else ""))
        await self._asr.configure(self._wants.for_recogniser(persona))

    def _forget(self, action: do.AdoptPersona | do.RewindHistory) -> None:
        """All, when somebody else answers; the last turn of the one before was still theirs. Or from a turn on."""
        if isinstance(action, do.RewindHistory):
            return self._history.rewind(action.to_turn_id)
        self._wants.persona = self._next_persona
        self._history.clear(self._next_persona.system_prompt)
        self._learn_apology()

    def _learn_apology(self) -> None:
        """The persona apologises in its own language."""
        text = apology_in(self._wants.persona.language) if self._house.settings.apologises else ""
        self._conversation.params = replace(self._conversation.params, apology=text)

    def _persona(self, persona_id: str) -> Persona:
        try:
            return self._house.personas[persona_id]
        except KeyError:
            known = ", ".join(self._house.personas)
            raise InvalidMessage(f"There is no persona {persona_id!r}; known: {known}.", param="persona") from None

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
            self._refuse(ServiceUnavailable(f"The {service} went away; it is expected back.", service=stage.value))

    # 3. conversation -----------------------------------------------------------------------------------------------

    async def _post(self, event: ConversationEvent) -> None:
        """Queue an event. A cancel while waiting loses it, and only whatever made it is cancelled with it."""
        await self._inbox_send.send(event)

    async def _decide(self, tasks: TaskGroup) -> None:
        """Ask the conversation about one event after the other, until the client is gone."""
        while self._conversation.state is not State.CLOSED:
            event = await self._next_event()
            self._catch_up()
            self._time_speech(event)
            for action in self._conversation.handle(event, clock.now_s()):
                self._perform(action, tasks)

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
        deadline_s = self._conversation.deadline()
        with anyio.CancelScope(deadline=float("inf") if deadline_s is None else deadline_s):
            return await self._inbox.receive()
        return on.Tick()

    def _perform(self, action: ConversationAction, tasks: TaskGroup) -> None:
        match action:
            case do.RequestReply():
                self._start_reply(action, tasks)
            case do.ReleaseReply():
                metrics.HELD_REPLIES.labels("released").inc()
                self._current.release()
            case do.CancelReply(reply_id):
                self._cancel_reply(reply_id)
            case do.PauseReply(reply_id):
                self._outbox.keep_back(reply_id)
                self._current.pause()
            case do.ResumeReply():
                self._current.resume()
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
                self._recorder.commit(action, self._wants.persona.id, self._history, self._timings)
                self._timings = TurnTimings(clock.now_s())
            case do.AdoptPersona() | do.RewindHistory():
                self._forget(action)
            case do.CountStale(what):
                metrics.STALE.labels("gateway", what).inc()
            case _:
                self._announce(action)

    def _announce(self, action: Announcement) -> None:
        if isinstance(action, do.AnnounceError):
            metrics.ERRORS.labels("gateway", action.code).inc()
            self._told_down = action.service
        elif isinstance(action, do.AnnounceReplyStarted):
            self._told_down = ""
        if isinstance(action, do.AnnounceSpeechStarted | do.AnnounceEdited):
            self._timings = TurnTimings(clock.now_s())  # what an earlier utterance of the turn reached is void
        elif isinstance(action, do.AnnounceFinal) and self._conversation.state not in UNFIXED:
            self._timings.reach("final", clock.now_s())
        self._tell(message_of(action))

    # 4. reply ------------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> ReplyRun:
        assert self._reply is not None, "the conversation named a reply that was never requested"
        return self._reply

    def _start_reply(self, request: do.RequestReply, tasks: TaskGroup) -> None:
        settings = self._house.settings
        question = Question(
            self._history.messages(request.user_text),
            self._wants.model,
            settings.reply_max_tokens,
            f"{self.session_id}:{request.turn_id}:{request.reply_id}",
        )
        order = ReplyOrder(
            request.turn_id,
            request.reply_id,
            question,
            self._wants.for_speech(request.reply_id),
            request.is_held,
            request.script,
            FinishReason.ERROR if request.user_text else FinishReason.STOP,  # of a script: an apology, an opening line
        )
        around = Surroundings(
            self._house.llm,
            self._house.watch.replicas("tts_service", settings.tts_url),
            settings.connect_timeout_s,
            settings.lead_ms,
            self._outbox,
            self._post,
        )
        self._reply = ReplyRun(order, around)
        self._timings.forget_answer()
        tasks.start_soon(self._reply.run, name=f"reply {request.reply_id}")

    def _cancel_reply(self, reply_id: str) -> None:
        if not self._current.is_released:
            metrics.HELD_REPLIES.labels("cancelled").inc()
        self._current.cancel()
        dropped = self._outbox.drop(reply_id)
        metrics.STALE.labels("gateway", "audio").inc(dropped)

    # 8. outbox -----------------------------------------------------------------------------------------------------

    def _tell(self, message: Message) -> None:
        self._outbox.post(message)

    def _refuse(self, error: ParleyError) -> None:
        metrics.ERRORS.labels("gateway", error.code).inc()
        self._tell(error_of(error))

    async def _write(self) -> None:
        """Send what waits until the client is gone; `_read` sees that too."""
        is_open = True
        while is_open:
            item = await self._outbox.take()
            if isinstance(item, AudioFrame):
                self._timings.reach("first_audio", clock.now_s())
            is_open = await self._socket.send(self._encoder.encode(item))
            if isinstance(item, AudioFrame) and self._reply and self._reply.order.reply_id == item.reply_id:
                self._reply.note_sent(item.pcm)

    async def _end_overrun(self) -> None:
        """A client that reads nothing cannot hold a session."""
        await self._outbox.overrun.wait()
        raise Overloaded("The client does not read what it is sent.", service="gateway")

    async def _guard(self, work: Callable[[], Awaitable[None]], *, is_decider: bool = False) -> None:
        """Run a task; what ends the session is told to the client with its close code, then to the conversation."""
        try:
            await work()
        except ParleyError as error:
            metrics.ERRORS.labels("gateway", error.code).inc()
            await self._socket.fail(error, error_of(error).to_json())
            if not is_decider:  # the decider is the reader of the inbox: it has ended already
                await self._post(on.Disconnected())
