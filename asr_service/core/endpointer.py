"""Endpointer: decides from frames of one stream where an utterance starts, where it may end, and where it ends.

It never hears audio, reads no clock and waits for nothing: time is the samples of the frames it was given, and that a
sender has stopped sending is somebody else's business. A frame comes as its loudness, with the probability of speech
where a model tells it.

An utterance ends by the first of these rules:
1. a pause of `short_pause_ms` after text that ends in final punctuation (if it is known how far the text was heard,
   it must reach to the pause: the "Hello." of a reading that is a second old says nothing about now);
2. silence of `end_silence_ms`, whatever the text;
3. text that stays the same for `stable_nochange_ms` while the sound is calm. Calm is a frame that is no speech, or
   one under `calm_share` of the utterance's own level. This is for background noise that never gets silent. Two clocks
   must agree: the time since the text changed, and the time since the last frame that was not calm. Text alone would
   cut off a talker whose readings come slowly; a talker's own syllables, though, reach their usual level every few
   hundred milliseconds, so `stable_nochange_ms` of nothing but calm is not speech that goes on. The utterance's level
   rises within fifths of a second and falls over many seconds: one slam does not make all speech after it calm, and
   noise after speech does not soon become the level it is measured by. What was called noise so must not begin the
   next utterance at once: until it stops, but for `max_utterance_ms` at most, speech must be louder than calm to begin;
4. its length, `max_utterance_ms`, or a flush.

A frame is speech above the noise floor's threshold, never at or below `silence_rms`; once begun, speech may go on at
`offset_ratio` of what the floor asks. A start and a resumption need `onset_ms` of it without a gap; less is a click.

Laws: each start has exactly one endpoint, once flushed; each candidate is answered by a resumption or the endpoint
before the next candidate; positions never go back; pre-roll begins neither before 0 nor before the end of the previous
utterance; an utterance is at most `max_utterance_ms` and one frame; silence never starts speech; any event is taken in
any state; the same events give the same actions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from asr_service.core.noise_floor import NoiseFloor, NoiseFloorParams

LEVEL_RISE_MS = 200.0  # time constants of the utterance's level
LEVEL_FALL_MS = 8_000.0

FINAL_PUNCTUATION = tuple(".!?…。．｡！？‼⁇⁈⁉؟۔।॥։")
CLOSERS = " \t\r\n\u3000\"'”’»›)]}）］｝」』】》〉＂＇"  # may stand behind it


class EndpointerState(Enum):
    """Where the stream is."""

    SILENCE = "silence"
    ONSET = "onset"  # speech that is not yet long enough to be a start
    SPEECH = "speech"
    HANGOVER = "hangover"  # a pause in an utterance


class EndpointReason(Enum):
    """Which rule ended the utterance."""

    SHORT_PAUSE = "short_pause"
    SILENCE = "silence"
    UNCHANGED = "unchanged"
    MAX_LENGTH = "max_length"
    FLUSH = "flush"


@dataclass(frozen=True, slots=True)
class EndpointerParams:
    """Settings of a stream; ValueError names the field that is out of bounds."""

    frame_samples: int = 320
    sample_rate: int = 16_000  # Hz
    end_silence_ms: int = 800
    short_pause_ms: int = 300
    stable_nochange_ms: int = 1_500
    silence_rms: float = 0.005  # full scale is 1
    onset_ms: int = 60  # speech that confirms a start or a resumption
    candidate_ms: int = 200  # pause after which a candidate is sent
    pre_roll_ms: int = 300
    max_utterance_ms: int = 30_000
    offset_ratio: float = 0.6  # share of the floor's threshold above which speech goes on
    onset_probability: float = 0.5  # a model's probability above which speech begins
    offset_probability: float = 0.35  # and above which it goes on
    calm_share: float = 0.5  # share of the utterance's level under which a frame is calm
    noise_floor: NoiseFloorParams = field(default_factory=NoiseFloorParams)

    def __post_init__(self) -> None:
        above_zero = "frame_samples sample_rate end_silence_ms short_pause_ms stable_nochange_ms onset_ms candidate_ms"
        for name in above_zero.split():
            self._check(name, 1, inf)
        self._check("pre_roll_ms", 0, inf)
        self._check("silence_rms", 0.0, 1.0)
        self._check("onset_probability", 0.0, 1.0)
        self._check("offset_probability", 0.0, self.onset_probability)
        self._check("calm_share", 0.0, 1.0)
        # The confirmed start is within the limit, so that the limit can be kept.
        self._check("max_utterance_ms", self.onset_ms + self.frame_ms, inf)
        # Under 1, steady noise at the floor would keep an utterance going.
        self._check("offset_ratio", 1.0 / self.noise_floor.ratio, 1.0)

    @property
    def frame_ms(self) -> float:
        """Length of a frame."""
        return self.frame_samples * 1000 / self.sample_rate

    def reaches(self, samples: int, limit_ms: int) -> bool:
        """Whether `samples` last `limit_ms` or longer."""
        return samples * 1000 >= limit_ms * self.sample_rate

    def _check(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not least <= value <= most:
            raise ValueError(f"{name} must be {least:g} to {most:g}, not {value}")


@dataclass(frozen=True, slots=True)
class Frame:
    """The next `frame_samples` were heard: their RMS (full scale is 1), and a model's probability of speech, if any."""

    rms: float
    speech_probability: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.rms < inf:
            raise ValueError(f"rms must be finite and not below 0, not {self.rms}")
        if self.speech_probability is not None and not 0.0 <= self.speech_probability <= 1.0:
            raise ValueError(f"speech_probability must be 0 to 1, not {self.speech_probability}")


@dataclass(frozen=True, slots=True)
class HypothesisChanged:
    """The utterance reads so now. `heard_until_samples`: up to where the recogniser had heard, where it is known.

    May also be sent for a text that stayed the same, to say that it was heard further.
    """

    text: str
    heard_until_samples: int | None = None


@dataclass(frozen=True, slots=True)
class Flush:
    """The talker, or the end of the stream, has ended the utterance."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began at `at_samples`; what a recogniser hears should begin at `pre_roll_from_samples`."""

    at_samples: int
    pre_roll_from_samples: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """The utterance may have ended at `at_samples`, where the speech before this pause ends."""

    at_samples: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The utterance of the candidate goes on; speech began again at `at_samples`."""

    at_samples: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The utterance reaches from `start_samples` to `at_samples`, where the last sound taken for speech ends.

    Sounds shorter than `onset_ms` after that do not count, a last plosive may be one of them: let a recogniser hear on.
    """

    at_samples: int
    start_samples: int
    reason: EndpointReason


Event = Frame | HypothesisChanged | Flush
Action = SpeechStarted | Candidate | Resumed | Endpoint


@dataclass(slots=True)
class _Utterance:
    start_samples: int
    last_speech_samples: int
    calm_since_samples: int  # end of the last frame that was not calm
    level_rms: float = 0.0
    text: str = ""
    text_changed_samples: int = 0
    heard_until_samples: int | None = None
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

    def handle(self, event: Event) -> list[Action]:
        """Take what has happened; return what follows from it, in order."""
        cell = TRANSITIONS[self._state, type(event)]
        if isinstance(cell, Ignored):
            return []
        step: Callable[[Event], list[Action]] = getattr(self, cell.method)
        return step(event)

    def _await_speech(self, frame: Frame) -> list[Action]:
        if not self._hear(frame):
            return self._drop_onset(frame)
        start, position = self._confirmed_run(), self._position_samples
        if start is None:
            self._state = EndpointerState.ONSET
            return []
        self._utterance = _Utterance(start, position, position)
        pre_roll_samples = self._params.pre_roll_ms * self._params.sample_rate // 1000
        return [SpeechStarted(start, max(self._previous_end_samples, start - pre_roll_samples))]

    def _drop_onset(self, _: Event) -> list[Action]:
        self._run_start_samples = None
        self._state = EndpointerState.SILENCE
        return []

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
        return [self._end(EndpointReason.SHORT_PAUSE)] if self._is_sentence_over() else []

    def _flush(self, _: Flush) -> list[Action]:
        self._run_start_samples = None
        return [self._end(EndpointReason.FLUSH)]

    def _hear(self, frame: Frame) -> bool:
        """Move on by a frame; whether it is speech that counts here. Keeps the run that is to be confirmed."""
        is_in_utterance = self._state in (EndpointerState.SPEECH, EndpointerState.HANGOVER)
        is_going_on = self._state is EndpointerState.SPEECH or self._run_start_samples is not None
        self._position_samples += self._params.frame_samples
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
        if frame.speech_probability is None:
            share = params.offset_ratio if is_going_on else 1.0
            return frame.rms > self._floor.threshold(params.silence_rms, share)
        least = params.offset_probability if is_going_on else params.onset_probability
        return frame.speech_probability > least and frame.rms > params.silence_rms

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
        if self._is_sentence_over():
            return EndpointReason.SHORT_PAUSE
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

    def _is_sentence_over(self) -> bool:
        utterance, until = self._utterance, self._utterance.heard_until_samples
        is_heard = until is None or until >= utterance.last_speech_samples
        is_pause = self._params.reaches(self._pause_samples(), self._params.short_pause_ms)
        return is_pause and is_heard and is_sentence_end(utterance.text)

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


def is_sentence_end(text: str) -> bool:
    """Whether `text` ends in final punctuation of any script, quotes and brackets behind it aside."""
    return text.rstrip(CLOSERS).endswith(FINAL_PUNCTUATION)


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
    (_S.SILENCE, Flush): Ignored("nothing is being said"),
    (_S.ONSET, Frame): Step("_await_speech", (_S.SILENCE, _S.ONSET, _S.SPEECH)),
    (_S.ONSET, HypothesisChanged): Ignored("a late reading of an utterance that has ended"),
    (_S.ONSET, Flush): Step("_drop_onset", (_S.SILENCE,)),
    (_S.SPEECH, Frame): Step("_follow_speech", (_S.SPEECH, _S.HANGOVER, _S.SILENCE)),
    (_S.SPEECH, HypothesisChanged): Step("_note_text", (_S.SPEECH,)),
    (_S.SPEECH, Flush): Step("_flush", (_S.SILENCE,)),
    (_S.HANGOVER, Frame): Step("_wait_out_pause", (_S.HANGOVER, _S.SPEECH, _S.ONSET, _S.SILENCE)),
    (_S.HANGOVER, HypothesisChanged): Step("_note_text", (_S.HANGOVER, _S.SILENCE)),
    (_S.HANGOVER, Flush): Step("_flush", (_S.SILENCE,)),
}
