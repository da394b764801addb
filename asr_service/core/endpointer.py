"""Endpointer: decides from frames of one stream where an utterance starts, where it may end, and where it ends.

It never hears audio, reads no clock and waits for nothing: time is the samples of the frames it was given, and that a
sender has stopped sending is somebody else's business. A frame comes as its loudness, with the probability of speech
where a model tells it.

An utterance ends by the first of these rules:
1. a pause of `short_pause_ms` after text that ends in final punctuation (if it is known how far the text was heard,
   it must reach to the pause: the "Hello." of a reading that is a second old says nothing about now);
2. a pause of `complete_pause_ms` after text that has no such punctuation but looks complete in its language, where it
   is known that it was heard up to the pause. Text that looks open waits for rule 3;
3. silence of `end_silence_ms`, whatever the text;
4. text that stays the same for `stable_nochange_ms` while the sound is calm. Calm is a frame that is no speech, or
   one under `calm_share` of the utterance's own level. This is for background noise that never gets silent. Two clocks
   must agree: the time since the text changed, and the time since the last frame that was not calm. Text alone would
   cut off a talker whose readings come slowly; a talker's own syllables, though, reach their usual level every few
   hundred milliseconds, so `stable_nochange_ms` of nothing but calm is not speech that goes on. The utterance's level
   rises within fifths of a second and falls over many seconds: one slam does not make all speech after it calm, and
   noise after speech does not soon become the level it is measured by. What was called noise so must not begin the
   next utterance at once: until it stops, but for `max_utterance_ms` at most, speech must be louder than calm to begin;
5. its length, `max_utterance_ms`, or a flush.

A model may judge the turn as well (`TurnJudged`). If it has heard up to the pause, it is believed instead of the text's
look: below `turn_probability` the utterance waits for rule 3, final punctuation or not, else it ends as a complete one.

A frame is speech above the noise floor's threshold, never at or below `silence_rms`, nor where it is no louder than the
background was before the utterance; once begun, speech may go on at `offset_ratio` of what the floor asks, and return
at less than it where the background is steady. A start and a resumption need `onset_ms` of it without a gap; less is a
click. A stream's first second has no background yet: there `Opening` tells speech from steady sound, and finds it later
than it began. A flush meanwhile takes what has sounded for speech.

Laws: each start has exactly one endpoint, once flushed; each candidate is answered by a resumption or the endpoint
before the next candidate; positions never go back; pre-roll begins neither before 0 nor before the end of the previous
utterance; an utterance is at most `max_utterance_ms` and one frame; silence never starts speech; any event is taken in
any state; the same events give the same actions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from asr_service.core.background import Background
from asr_service.core.completeness import is_complete, is_sentence_end
from asr_service.core.endpointer_events import (
    Action,
    Candidate,
    Endpoint,
    EndpointReason,
    Event,
    Flush,
    Frame,
    HypothesisChanged,
    Resumed,
    SpeechStarted,
    TurnJudged,
)
from asr_service.core.endpointer_params import EndpointerParams
from asr_service.core.noise_floor import NoiseFloor
from asr_service.core.opening import Found, Opening

__all__ = [  # all that a stream needs of the endpointer, under one name
    "TRANSITIONS",
    "Action",
    "Candidate",
    "Endpoint",
    "EndpointReason",
    "Endpointer",
    "EndpointerParams",
    "EndpointerState",
    "Event",
    "Flush",
    "Frame",
    "HypothesisChanged",
    "Ignored",
    "Resumed",
    "SpeechStarted",
    "Step",
    "TurnJudged",
]

LEVEL_RISE_MS = 200.0  # time constants of the utterance's level
LEVEL_FALL_MS = 8_000.0


class EndpointerState(Enum):
    """Where the stream is."""

    SILENCE = "silence"
    ONSET = "onset"  # sound that is not yet long enough to be a start, or not yet known for speech
    SPEECH = "speech"
    HANGOVER = "hangover"  # a pause in an utterance


@dataclass(slots=True)
class _Utterance:
    start_samples: int
    last_speech_samples: int
    calm_since_samples: int  # end of the last frame that was not calm
    level_rms: float = 0.0
    text: str = ""
    text_changed_samples: int = 0
    text_looks: EndpointReason | None = None  # the rule that its text alone would end it by; None: it looks open
    heard_until_samples: int | None = None
    turn: TurnJudged | None = None
    has_candidate: bool = False


class Endpointer:
    """Endpoints one stream; one instance a stream. Positions count samples from its first frame."""

    def __init__(self, params: EndpointerParams) -> None:
        self._params = params
        self._floor = NoiseFloor(params.noise_floor, params.frame_ms)
        self._state = EndpointerState.SILENCE
        self._position_samples = 0
        self._previous_end_samples = 0
        self._run_start_samples: int | None = None  # where speech began that is not yet confirmed
        self._utterance = _Utterance(0, 0, 0)  # means something in SPEECH and HANGOVER alone
        self._gate_rms = 0.0  # what begins an utterance must be louder
        self._gate_until_samples = 0
        self._background = Background(self._floor, params.frame_ms)
        self._opening: Opening | None = Opening(params.noise_floor, params.frame_ms)  # until it is over

    @property
    def state(self) -> EndpointerState:
        """Where the stream is."""
        return self._state

    @property
    def position_samples(self) -> int:
        """End of the last frame."""
        return self._position_samples

    def configure(self, params: EndpointerParams) -> None:
        """Replace the settings from the next event on; ValueError if they change what a frame is."""
        if (params.frame_samples, params.sample_rate) != (self._params.frame_samples, self._params.sample_rate):
            raise ValueError("frame_samples and sample_rate stay the same for the life of a stream")
        self._params = params
        self._floor.configure(params.noise_floor)
        if self._opening is not None:
            self._opening.configure(params.noise_floor)

    def handle(self, event: Event) -> list[Action]:
        """Take what has happened; return what follows from it, in order."""
        cell = TRANSITIONS[self._state, type(event)]
        if isinstance(cell, Ignored):
            return []
        step: Callable[[Event], list[Action]] = getattr(self, cell.method)
        return step(event)

    def _await_speech(self, frame: Frame) -> list[Action]:
        is_heard = self._hear(frame)
        if frame.speech_probability is not None:
            self._opening = None  # a model knows speech without a background
        if self._opening is not None:
            return self._await_first_speech(frame, self._opening)
        if not is_heard:
            return self._drop_onset()
        start = self._confirmed_run()
        if start is None:
            self._state = EndpointerState.ONSET
            return []
        return [self._start(start, self._position_samples)]

    def _await_first_speech(self, frame: Frame, opening: Opening) -> list[Action]:
        params = self._params
        opening.add(frame.rms, params.silence_rms, params.frames_under(params.max_utterance_ms))
        if opening.is_over:
            self._opening, self._floor = None, opening.floor
            self._background = Background(self._floor, params.frame_ms)
            return self._drop_onset()
        found = opening.find(params.silence_rms, params.onset_frames, params.offset_ratio)
        if found is None:
            self._state = EndpointerState.ONSET if opening.has_sound else EndpointerState.SILENCE
            return []
        return [self._start_as(found)]

    def _start_as(self, found: Found) -> SpeechStarted:
        self._opening = self._run_start_samples = None
        self._state = EndpointerState.HANGOVER if found.last else EndpointerState.SPEECH
        position, frame_samples = self._position_samples, self._params.frame_samples
        return self._start(position - (found.first + 1) * frame_samples, position - found.last * frame_samples)

    def _start(self, start: int, last_speech: int) -> SpeechStarted:
        self._utterance = _Utterance(start, last_speech, last_speech)
        pre_roll_samples = self._params.pre_roll_ms * self._params.sample_rate // 1000
        return SpeechStarted(start, max(self._previous_end_samples, start - pre_roll_samples))

    def _drop_onset(self) -> list[Action]:
        self._run_start_samples = None
        self._state = EndpointerState.SILENCE
        return []

    def _flush_onset(self, _: Flush) -> list[Action]:
        """Somebody says that there was speech; of a first sound, nobody else can know it."""
        params = self._params
        found = self._opening.take(params.silence_rms, params.onset_frames) if self._opening is not None else None
        return [self._start_as(found), self._end(EndpointReason.FLUSH)] if found is not None else self._drop_onset()

    def _follow_speech(self, frame: Frame) -> list[Action]:
        if self._hear(frame):
            self._utterance.last_speech_samples = self._position_samples
        else:
            self._state = EndpointerState.HANGOVER
        return self._judge()

    def _wait_out_pause(self, frame: Frame) -> list[Action]:
        resumed: list[Action] = []
        if self._hear(frame) and (start := self._confirmed_run()) is not None:
            resumed = [Resumed(start)] if self._utterance.has_candidate else []
            self._utterance.has_candidate = False
            self._utterance.last_speech_samples = self._position_samples
        return [*resumed, *self._judge()]

    def _note_text(self, event: HypothesisChanged) -> list[Action]:
        utterance, until = self._utterance, event.heard_until_samples
        if until is not None and until <= utterance.start_samples:
            return []  # a late reading of the utterance before
        utterance.heard_until_samples = until
        if event.text.strip() != utterance.text:
            utterance.text = event.text.strip()
            utterance.text_changed_samples = self._position_samples
        utterance.text_looks = look_of(utterance.text, event.language)
        return self._end_if_said()

    def _note_turn(self, event: TurnJudged) -> list[Action]:
        if event.heard_until_samples <= self._utterance.start_samples:
            return []  # a late judgement of the utterance before
        self._utterance.turn = event
        return self._end_if_said()

    def _flush(self, _: Flush) -> list[Action]:
        self._run_start_samples = None
        return [self._end(EndpointReason.FLUSH)]

    def _hear(self, frame: Frame) -> bool:
        """Move on by a frame; whether it is speech that counts here. Keeps the run that is to be confirmed."""
        is_in_utterance = self._state in (EndpointerState.SPEECH, EndpointerState.HANGOVER)
        is_going_on = self._state is EndpointerState.SPEECH or self._run_start_samples is not None
        self._position_samples += self._params.frame_samples
        self._follow_background()
        self._floor.add(frame.rms)
        is_speech = self._is_speech(frame, is_going_on)
        if is_in_utterance:
            self._follow_level(frame.rms, is_speech)
        if not is_speech or self._position_samples > self._gate_until_samples:
            self._gate_rms = 0.0
        is_heard = is_speech and (is_in_utterance or frame.rms > self._gate_rms)
        if not is_heard:
            self._run_start_samples = None
        elif not is_going_on:
            self._run_start_samples = self._position_samples - self._params.frame_samples
        return is_heard

    def _is_speech(self, frame: Frame, is_going_on: bool) -> bool:
        params = self._params
        if self._is_background(frame.rms, is_going_on):
            return False
        if frame.speech_probability is None:
            is_pausing = self._state is EndpointerState.HANGOVER
            share_to_begin = self._background.share_to_return if is_pausing else 1.0
            share = params.offset_ratio if is_going_on else share_to_begin
            return frame.rms > self._floor.threshold(params.silence_rms, share)
        least = params.offset_probability if is_going_on else params.onset_probability
        return frame.speech_probability > least and frame.rms > params.silence_rms

    def _is_background(self, rms: float, is_going_on: bool) -> bool:
        """Whether a frame is too quiet to be the talker, as far as the background is known."""
        if self._state in (EndpointerState.SILENCE, EndpointerState.ONSET):
            return rms <= self._background.limit_to_begin(self._params.noise_floor.cap_rms)
        utterance = self._utterance
        if is_going_on:
            return rms <= self._background.limit_to_stay(utterance.level_rms)
        return rms <= self._background.limit_to_return(utterance.level_rms, has_paused=utterance.has_candidate)

    def _follow_background(self) -> None:
        if self._state is EndpointerState.SILENCE:
            self._background.follow_silence()
        elif self._state is not EndpointerState.ONSET:
            spoken_samples = self._position_samples - self._utterance.start_samples
            self._background.follow_speech(spoken_samples * 1000 / self._params.sample_rate, self._utterance.level_rms)

    def _follow_level(self, rms: float, is_speech: bool) -> None:
        utterance = self._utterance
        constant_ms = LEVEL_RISE_MS if rms > utterance.level_rms else LEVEL_FALL_MS
        utterance.level_rms += (rms - utterance.level_rms) * min(1.0, self._params.frame_ms / constant_ms)
        if is_speech and rms >= self._params.calm_share * utterance.level_rms:
            utterance.calm_since_samples = self._position_samples

    def _confirmed_run(self) -> int | None:
        """Where the speech began that is now confirmed; None if it is too short."""
        start = self._run_start_samples
        if start is None or not self._params.reaches(self._position_samples - start, self._params.onset_ms):
            return None
        self._run_start_samples = None
        self._state = EndpointerState.SPEECH
        return start

    def _judge(self) -> list[Action]:
        """The endpoint if it is due, else the candidate if it is."""
        reason = self._due_reason()
        if reason is not None:
            return [self._end(reason)]
        if self._utterance.has_candidate or not self._params.reaches(self._pause_samples(), self._params.candidate_ms):
            return []
        self._utterance.has_candidate = True
        return [Candidate(self._utterance.last_speech_samples)]

    def _due_reason(self) -> EndpointReason | None:
        params, utterance, position = self._params, self._utterance, self._position_samples
        said = self._said()
        if said is not None:
            return said
        if params.reaches(self._pause_samples(), params.end_silence_ms):
            return EndpointReason.SILENCE
        settled_samples = position - max(utterance.text_changed_samples, utterance.calm_since_samples)
        if utterance.text and params.reaches(settled_samples, params.stable_nochange_ms):
            return EndpointReason.UNCHANGED
        if params.reaches(position - utterance.start_samples, params.max_utterance_ms):
            return EndpointReason.MAX_LENGTH
        return None

    def _pause_samples(self) -> int:
        """Length of the pause; 0 while something sounds that may be speech again."""
        if self._run_start_samples is not None:
            return 0
        return self._position_samples - self._utterance.last_speech_samples

    def _end_if_said(self) -> list[Action]:
        said = self._said()
        return [] if said is None else [self._end(said)]

    def _said(self) -> EndpointReason | None:
        """The rule by which what was said is over after so long a pause; None: more may follow."""
        params, utterance = self._params, self._utterance
        until, turn, last = utterance.heard_until_samples, utterance.turn, utterance.last_speech_samples
        is_heard = until >= last if until is not None else utterance.text_looks is EndpointReason.SHORT_PAUSE
        looks = utterance.text_looks if is_heard else None
        if turn is not None and turn.heard_until_samples >= last:
            is_over = turn.probability >= params.turn_probability
            looks = (looks or EndpointReason.COMPLETE) if is_over else None
        if looks is None:
            return None
        is_marked = looks is EndpointReason.SHORT_PAUSE
        limit_ms = params.short_pause_ms if is_marked else params.complete_pause_ms
        return looks if limit_ms and params.reaches(self._pause_samples(), limit_ms) else None

    def _end(self, reason: EndpointReason) -> Endpoint:
        utterance = self._utterance
        self._previous_end_samples = utterance.last_speech_samples
        if reason is EndpointReason.UNCHANGED and self._pause_samples() == 0:
            self._gate_rms = self._params.calm_share * utterance.level_rms
            gate_samples = self._params.max_utterance_ms * self._params.sample_rate // 1000
            self._gate_until_samples = self._position_samples + gate_samples
        # Sound that began within the pause is not lost: it may be the next start.
        self._state = EndpointerState.SILENCE if self._run_start_samples is None else EndpointerState.ONSET
        return Endpoint(utterance.last_speech_samples, utterance.start_samples, reason)


def look_of(text: str, language: str) -> EndpointReason | None:
    """The rule that may end an utterance of this text; None for an open one."""
    if is_sentence_end(text):
        return EndpointReason.SHORT_PAUSE
    return EndpointReason.COMPLETE if is_complete(text, language) else None


@dataclass(frozen=True, slots=True)
class Step:
    """A cell of the table: the method that takes the event, and every state it may leave behind."""

    method: str
    leads_to: tuple[EndpointerState, ...]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A cell of the table: the event changes nothing here, because of `reason`."""

    reason: str


_S = EndpointerState
TRANSITIONS: Mapping[tuple[EndpointerState, type[Event]], Step | Ignored] = {
    (_S.SILENCE, Frame): Step("_await_speech", (_S.SILENCE, _S.ONSET, _S.SPEECH)),
    (_S.SILENCE, HypothesisChanged): Ignored("a late reading of an utterance that has ended"),
    (_S.SILENCE, TurnJudged): Ignored("a late judgement of an utterance that has ended"),
    (_S.SILENCE, Flush): Ignored("nothing is being said"),
    (_S.ONSET, Frame): Step("_await_speech", (_S.SILENCE, _S.ONSET, _S.SPEECH, _S.HANGOVER)),
    (_S.ONSET, HypothesisChanged): Ignored("a late reading of an utterance that has ended"),
    (_S.ONSET, TurnJudged): Ignored("a late judgement of an utterance that has ended"),
    (_S.ONSET, Flush): Step("_flush_onset", (_S.SILENCE,)),
    (_S.SPEECH, Frame): Step("_follow_speech", (_S.SPEECH, _S.HANGOVER, _S.SILENCE)),
    (_S.SPEECH, HypothesisChanged): Step("_note_text", (_S.SPEECH,)),
    (_S.SPEECH, TurnJudged): Step("_note_turn", (_S.SPEECH,)),
    (_S.SPEECH, Flush): Step("_flush", (_S.SILENCE,)),
    (_S.HANGOVER, Frame): Step("_wait_out_pause", (_S.HANGOVER, _S.SPEECH, _S.ONSET, _S.SILENCE)),
    (_S.HANGOVER, HypothesisChanged): Step("_note_text", (_S.HANGOVER, _S.SILENCE)),
    (_S.HANGOVER, TurnJudged): Step("_note_turn", (_S.HANGOVER, _S.SILENCE)),
    (_S.HANGOVER, Flush): Step("_flush", (_S.SILENCE,)),
}
