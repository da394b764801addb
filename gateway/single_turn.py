"""One turn without a socket: a recording or a text becomes an answer and its speech.

The turn belongs to a conversation like any other: what was said and heard in it before stands in the prompt, and the
turn is kept by the same rule. What is heard of an answer is here what was given out of it: all of it in an answer that
is given whole, what was told so far in one that is told as it is made. A turn of which nothing was given out is none.

Speech that fails costs the speech: the text is given out without it, and the failure is told beside.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from typing import Any, BinaryIO, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.events import FinishReason
from gateway.core.history import History
from gateway.house import House
from gateway.llm_client import Question
from gateway.personas import Persona
from gateway.service_calls import ASR, TTS, Service, ServiceCalls, ServiceRequest, refusal_of, replicas_of
from gateway.store import KeptTurn
from gateway.timings import TurnTimings
from gateway.tts_link import Speech, SpokenReply, speak
from gateway.turn_form import TurnWanted
from shared import clock, ids, metrics, pcm
from shared.errors import InternalError, InvalidAudio, InvalidMessage, NotFound, ParleyError
from shared.wire import tts

FILE_SILENCE_S: Final = 1_800.0
KEEP_TIMEOUT_S: Final = 8.0
THOUGHTS: Final = 16_384  # deltas of one answer; the limit of tokens keeps answers below it
log = logging.getLogger(__name__)


class Voice(Enum):
    """Whether an answer is spoken: not at all, when its text is whole, or while it is written."""

    NONE = "none"
    WHOLE = "whole"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Heard:
    """What was understood of a recording; `fields` as the recogniser tells them: language, duration, segments."""

    text: str
    fields: dict[str, Any]

    @property
    def segments(self) -> list[dict[str, Any]]:
        """The parts, each with its times in seconds."""
        told = self.fields.get("segments") or []
        return [{name: one.get(name) for name in ("start", "end", "text")} for one in told]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class SpeechFailed:
    """There is no speech, or no more of it."""

    error: ParleyError


Told = Token | tts.SegmentStarted | Speech | SpeechFailed
Tell = Callable[[Told], Awaitable[None]]


async def heard_in(house: House, calls: ServiceCalls, file: BinaryIO, language: str | None) -> Heard:
    """What is said in a recording. Raises typed errors, InvalidAudio for one that is no sound."""
    fields = {"response_format": "verbose_json"} | ({"language": language} if language else {})
    request = ServiceRequest(
        "POST",
        "/v1/audio/transcriptions",
        body={"files": {"file": ("recording", file)}, "data": fields},
        silence_s=FILE_SILENCE_S,
    )
    told = await _answer(house, calls, ASR, request)
    return Heard(str(told.get("text", "")).strip(), told)


async def _answer(house: House, calls: ServiceCalls, service: Service, request: ServiceRequest) -> dict[str, Any]:
    async with calls.asked(house, service, request) as response:
        if response.status_code != 200:
            raise await refusal_of(service, response)
        await response.aread()
        found: dict[str, Any] = response.json()
        return found


class SingleTurn:
    """One question and its answer, in a conversation that may have begun before."""

    def __init__(self, house: House, calls: ServiceCalls, wanted: TurnWanted) -> None:
        self.conversation_id = wanted.conversation_id or ids.new_id("ses")
        self.turn_id = ids.new_id("trn")
        self.user_text = wanted.text or ""
        self.text = ""  # of the answer, as far as it was given out
        self.finish_reason = FinishReason.STOP
        self.audio_bytes = 0
        self.timings = TurnTimings(clock.now_s())
        self._house = house
        self._calls = calls
        self._wanted = wanted
        self._user_id = wanted.user_id or "local"
        self._reply_id = ids.new_id("rpl")
        self._persona = self._persona_called(wanted.persona or house.settings.default_persona)
        self._history = self._new_history()

    @property
    def language(self) -> str:
        """Of what is said, BCP 47."""
        return self._wanted.language or self._persona.language

    async def recall(self) -> None:
        """Learn what was said in the conversation before, and who answered; nothing where it is new.

        Who names no person goes on as the one whose conversation it is. Raises NotFound when it is somebody else's.
        """
        kept = await self._house.store.sessions.get(self.conversation_id) if self._wanted.conversation_id else None
        if kept is None:
            return
        if self._wanted.user_id not in (None, kept["user_id"]):
            raise NotFound("There is no such conversation.", service="gateway", param="conversation_id")
        self._user_id = kept["user_id"]
        turns = await self._house.store.turns(self.conversation_id)
        current = [turn for turn in turns or [] if turn["is_current"]]
        if not current:
            return
        if not self._wanted.persona and current[-1]["persona"] in self._house.personas:
            self._persona = self._house.personas[current[-1]["persona"]]
            self._history = self._new_history()
        ours = takewhile(lambda turn: turn["persona"] == self._persona.id, reversed(current))
        for turn in reversed(list(ours)):  # who takes over remembers nothing
            self._remember(turn)

    async def hear(self, file: BinaryIO) -> Heard:
        """Take a recording for the question. Raises InvalidAudio when nothing is said in it."""
        heard = await heard_in(self._house, self._calls, file, self.language)
        self.timings.reach("final", clock.now_s())
        if not heard.text:
            raise InvalidAudio("Nothing that is said in the recording was understood.", service="asr", param="file")
        self.user_text = heard.text
        return heard

    async def answer(self, tell: Tell, voice: Voice) -> None:
        """Make the answer and tell it piece by piece. Raises typed errors of the language model."""
        if voice is Voice.LIVE:
            return await self._answer_aloud(tell)
        async for text in self._texts():
            await tell(Token(text))
        if voice is Voice.WHOLE and self.text.strip():
            try:
                await tell(Speech(await self._spoken()))
            except ParleyError as failure:
                await tell(SpeechFailed(failure))

    async def keep(self, finish_reason: FinishReason | None = None) -> InternalError | None:
        """Put the turn into the store; the error that tells that it could not be. A cancel waits for it."""
        self.timings.reach("done", clock.now_s())
        reason = (finish_reason or self.finish_reason).value
        metrics.TURNS.labels(reason).inc()
        kept = KeptTurn(
            turn_id=self.turn_id,
            persona=self._persona.id,
            user_text=self.user_text,
            heard_text=self.text,
            heard_ms=pcm.ms_of(self.audio_bytes // pcm.BYTES_PER_SAMPLE, tts.SPEECH_RATE),
            finish_reason=reason,
            timings=self.timings.as_ms(),
            ended_at=clock.today(),
        )
        try:
            with anyio.fail_after(KEEP_TIMEOUT_S, shield=True):
                await self._house.store.add_turn(self.conversation_id, self._user_id, kept)
        except (SQLAlchemyError, OSError):
            log.exception("a turn could not be kept", extra={"turn_id": self.turn_id})
            return InternalError("This turn could not be kept.", service="gateway")
        if self._house.memory:
            self._house.memory.remember(self._user_id, self.conversation_id, self.turn_id, self.user_text)
        return None

    # The answer's text

    async def _texts(self) -> AsyncIterator[str]:
        """The pieces of the answer, each of which counts as given out."""
        messages = self._history.messages(self.user_text)
        if self._house.memory:
            recalled = await self._house.memory.recall(self._user_id, self.user_text, besides=self.conversation_id)
            messages = recalled.told_in(messages)
        question = Question(
            messages,
            None,
            self._house.settings.reply_max_tokens,
            f"{self.conversation_id}:{self.turn_id}:{self._reply_id}",
        )
        async with self._house.llm.answer(question) as deltas:
            async for delta in deltas:
                self.finish_reason = delta.finish_reason or self.finish_reason
                if delta.text:
                    self.timings.reach("first_token", clock.now_s())
                    self.text += delta.text
                    yield delta.text
        self.timings.reach("last_token", clock.now_s())

    # Its speech

    async def _spoken(self) -> bytes:
        """All of the answer's speech, as PCM16."""
        fields = {
            "input": self.text,
            "response_format": "pcm",
            "voice": self._start.voice,
            "language": self._start.language,
        }
        request = ServiceRequest("POST", "/v1/audio/speech", body={"json": fields})
        async with self._calls.asked(self._house, TTS, request) as response:
            if response.status_code != 200:
                raise await refusal_of(TTS, response)
            audio = await response.aread()
        self._note_audio(audio)
        return audio

    async def _answer_aloud(self, tell: Tell) -> None:
        """The text as it is written, and its speech beside it."""
        failure: ParleyError | None = None
        send, receive = anyio.create_memory_object_stream[str](THOUGHTS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._speak, receive, tell, name="voice")
            with send:
                try:
                    async for text in self._texts():
                        await tell(Token(text))
                        with suppress(anyio.BrokenResourceError):  # the voice has failed, which was told
                            send.send_nowait(text)
                except ParleyError as error:  # raised below, as itself: here it would go into a group
                    failure = error
                    tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _speak(self, texts: MemoryObjectReceiveStream[str], tell: Tell) -> None:
        house = self._house
        with texts:
            try:
                async with speak(replicas_of(house, TTS), self._start, house.settings.connect_timeout_s) as spoken:
                    await self._say(spoken, texts, tell)
            except ParleyError as failure:
                await tell(SpeechFailed(failure))

    async def _say(self, spoken: SpokenReply, texts: MemoryObjectReceiveStream[str], tell: Tell) -> None:
        failures: list[ParleyError] = []

        async def hand_on() -> None:
            try:
                async for text in texts:
                    await spoken.say(text)
                await spoken.finish()
            except ParleyError as failure:
                failures.append(failure)
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hand_on, name="text")
            try:
                async for made in spoken.output():
                    if isinstance(made, Speech):
                        self._note_audio(made.pcm)
                    await tell(made)
            except ParleyError as failure:
                failures.append(failure)
            tasks.cancel_scope.cancel()
        if failures:
            raise failures[0]

    def _note_audio(self, audio: bytes) -> None:
        self.timings.reach("first_audio", clock.now_s())
        self.audio_bytes += len(audio)

    @property
    def _start(self) -> tts.Start:
        voice = self._wanted.voice or self._persona.voice
        return tts.Start(reply_id=self._reply_id, voice=voice, language=self._persona.language)

    # Who answers, and what they remember

    def _persona_called(self, persona_id: str) -> Persona:
        try:
            return self._house.personas[persona_id]
        except KeyError:
            known = ", ".join(self._house.personas)
            raise InvalidMessage(f"There is no persona {persona_id!r}; known: {known}.", param="persona") from None

    def _new_history(self) -> History:
        settings = self._house.settings
        return History(self._persona.system_prompt, settings.history_max_turns, settings.history_max_chars)

    def _remember(self, turn: dict[str, Any]) -> None:
        """As in a session: after an apology the question is still open; a line without a question opened the talk."""
        is_apology = turn["finish_reason"] == FinishReason.ERROR.value
        if turn["user_text"].strip():
            self._history.add(turn["user_text"], "" if is_apology else turn["heard_text"], turn["turn_id"])
        else:
            self._history.open_with(turn["heard_text"])
