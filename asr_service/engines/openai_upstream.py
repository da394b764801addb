"""Speech that a server elsewhere recognises: any that answers as OpenAI's `/audio/transcriptions` does.

A recogniser keeps the audio of its stretch and sends all of it for each reading, at most 30 s: what is longer is cut
where it is quietest, and what lies before the cut is read once and for good. Nothing is sent when nothing was heard
since the last reading, and digital silence never is. A reading on the way that fails is the last one again; one at the
end is asked for twice where the server has no room, then it is an error.

Which languages the server knows cannot be asked; those of Whisper are assumed. Whatever is spoken is found out by the
server, and told where it tells it. How much it tells of times is found out with the first answers.
"""

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from asr_service.core.languages import NAMES, between, code_of, primary
from asr_service.core.plausible import Reading, plausible
from asr_service.engines.base import SAMPLE_BYTES, SAMPLE_RATE, Engine, Recogniser, Result, Span, Task, Word
from asr_service.engines.sound import as_samples, cut_samples, levels, spoken
from asr_service.engines.upstream_http import Answer, Form, Upstream, UpstreamFailed
from asr_service.settings import AsrSettings

LANES: Final = 8  # requests at a time
SHORTEST_SAMPLES: Final = SAMPLE_RATE // 10  # OpenAI refuses less
LONGEST_SAMPLES: Final = 30 * SAMPLE_RATE  # what a Whisper looks at
NO_ANSWER: Final = Answer(text="")
NOTHING: Final = Result("")

ADDRESS: Final = "ASR_UPSTREAM_URL: an address such as http://127.0.0.1:9000/v1 is needed; a key has its own setting"


@dataclass(slots=True)
class Stretch:
    """What was heard since `start`, as far as it is still needed, and what of it was read."""

    task: Task
    piece: bytearray = field(default_factory=bytearray)
    from_samples: int = 0  # where the piece begins
    fixed: Result = NOTHING  # what was read for good, up to there
    result: Result = NOTHING  # what everything reads like,
    read_samples: int = 0  # up to here,
    form: Form = Form.TEXT  # and how much that reading was to tell

    @property
    def heard_samples(self) -> int:
        return self.from_samples + len(self.piece) // SAMPLE_BYTES


class UpstreamRecogniser:
    """The audio of one stretch: a megabyte, and what came since the last reading."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._stretch = Stretch(Task(""))

    def start(self, task: Task) -> None:
        self._stretch = Stretch(task)

    def hear(self, pcm: bytes) -> None:
        self._stretch.piece += pcm

    def read(self) -> Result:
        stretch = self._stretch
        if stretch.read_samples < stretch.heard_samples:
            with suppress(UpstreamFailed, ConnectionError, TimeoutError):  # the end of the stretch is asked for anew
                self._read(Form.TEXT, is_patient=False)
        return Result(stretch.result.text, (), stretch.result.language)

    def finish(self) -> Result:
        stretch = self._stretch
        wanted = self._fullest()
        if stretch.read_samples < stretch.heard_samples or stretch.form < wanted:
            self._read(wanted, is_patient=True)
        return stretch.result

    def settle(self) -> None:
        stretch = self._stretch
        stretch.fixed = stretch.result
        stretch.from_samples = stretch.heard_samples
        stretch.piece.clear()

    def close(self) -> None:
        self.start(Task(""))

    def _fullest(self) -> Form:
        """How much the end of the stretch may tell."""
        task = self._stretch.task
        return min(Form.WORDS if task.words else Form.SEGMENTS, self._upstream.most(task.translate))

    def _read(self, wanted: Form, is_patient: bool) -> None:
        stretch = self._stretch
        while stretch.heard_samples - stretch.from_samples > LONGEST_SAMPLES:
            self._fix(is_patient)
        read = self._asked(bytes(stretch.piece), wanted, is_patient)
        stretch.result = joined(stretch.fixed, read)
        stretch.read_samples, stretch.form = stretch.heard_samples, wanted

    def _fix(self, is_patient: bool) -> None:
        """Read the beginning of too long a piece for good, up to where it is quietest."""
        stretch = self._stretch
        samples = cut_samples(as_samples(stretch.piece[: LONGEST_SAMPLES * SAMPLE_BYTES]))
        read = self._asked(bytes(stretch.piece[: samples * SAMPLE_BYTES]), self._fullest(), is_patient)
        stretch.fixed = joined(stretch.fixed, read)
        del stretch.piece[: samples * SAMPLE_BYTES]
        stretch.from_samples += samples

    def _asked(self, pcm: bytes, wanted: Form, is_patient: bool) -> Result:
        """What a piece from `from_samples` on reads like, in samples of the stretch."""
        stretch, task = self._stretch, self._stretch.task
        answer = NO_ANSWER
        if len(pcm) >= SHORTEST_SAMPLES * SAMPLE_BYTES and pcm.strip(b"\0"):
            language = primary(task.language) or stretch.fixed.language
            answer = self._upstream.transcribed(pcm, language, task.translate, wanted, is_patient)
        text = believed(answer, pcm)
        if not text:
            return NOTHING
        is_told = not (task.language or task.translate)  # a translation's language is always English
        language = code_of(answer.language or "") if is_told else ""
        return Result(text, spans(answer, text, pcm, stretch.from_samples, task.words), language)


class UpstreamEngine(Engine):
    """Recognisers that ask one server. `close` ends its connections."""

    name = "openai"
    detects = True
    lanes = LANES

    def __init__(self, upstream: Upstream, language: str) -> None:
        first = primary(language)
        self.languages = tuple(dict.fromkeys((first, *NAMES) if first and first != "auto" else NAMES))
        self._upstream = upstream

    @property
    def tells_words(self) -> bool:  # type: ignore[override]  # is found out with the answers
        """Whether the server tells when each word was said, as far as was seen."""
        return self._upstream.tells_words

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """Whether the server has a path for translations, as far as was seen."""
        return self._upstream.translates

    def open(self) -> Recogniser:
        return UpstreamRecogniser(self._upstream)

    def close(self) -> None:
        self._upstream.close()


def believed(answer: Answer, pcm: bytes) -> str:
    """The answer's text, "" when it is likelier that nothing was said: one segment that is sure speaks for all."""
    if not answer.text.strip():
        return ""
    no_speech = min((one.no_speech_prob or 0.0 for one in answer.segments or ()), default=0.0)
    log_probability = max((one.avg_logprob or 0.0 for one in answer.segments or ()), default=0.0)
    return plausible(Reading(answer.text, no_speech, log_probability, max(levels(as_samples(pcm))))).strip()


def spans(answer: Answer, text: str, pcm: bytes, from_samples: int, with_words: bool) -> tuple[Span, ...]:
    """The segments of the answer in order, inside the piece, with their words; one for all where none are told."""
    length = len(pcm) // SAMPLE_BYTES

    def place(time_s: float, least: int) -> int:
        return max(least, from_samples + round(min(max(time_s, 0.0), length / SAMPLE_RATE) * SAMPLE_RATE))

    words: list[Word] = []
    for one in (answer.words or ()) if with_words else ():
        start = place(one.start, words[-1].end_samples if words else from_samples)
        words += [Word(start, place(one.end, start), one.word.strip())] if one.word.strip() else []
    found: list[Span] = []
    is_as_told = text == answer.text.strip()  # else it had a loop, and so have its segments
    for part in (answer.segments or ()) if is_as_told else ():
        start = place(part.start, found[-1].end_samples if found else from_samples)
        found += [Span(start, place(part.end, start), part.text.strip())] if part.text.strip() else []
    return shared_out(found or [whole(text, pcm, from_samples)], words)


def whole(text: str, pcm: bytes, from_samples: int) -> Span:
    """One span from the first sound of the piece to the last."""
    start, end = spoken(as_samples(pcm))
    return Span(from_samples + start, from_samples + end, text)


def shared_out(found: list[Span], words: list[Word]) -> tuple[Span, ...]:
    """The spans with the words inside: each goes to the last span that begins before its middle, else to the first."""
    inside: list[list[Word]] = [[] for _ in found]
    for word in words:
        middle = (word.start_samples + word.end_samples) / 2
        owner = max((number for number, span in enumerate(found) if span.start_samples <= middle), default=0)
        least, most = found[owner].start_samples, found[owner].end_samples
        start, end = (min(max(edge, least), most) for edge in (word.start_samples, word.end_samples))
        inside[owner].append(Word(start, end, word.text))
    return tuple(replace(span, words=tuple(own)) for span, own in zip(found, inside, strict=True))


def joined(first: Result, second: Result) -> Result:
    """Two pieces in a row; the language of the first one is both's."""
    text = first.text + between(first.text, second.text) + second.text
    return Result(text, (*first.spans, *second.spans), first.language or second.language)


def address(url: str) -> str:
    """The base of the paths, `/v1` added to a server alone; ValueError, which does not repeat what may hold a key."""
    try:
        parts = urlsplit(url.strip())
        is_plain = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        is_plain = is_plain and not ("@" in parts.netloc or parts.query or parts.fragment)
    except ValueError:
        is_plain = False
    if not is_plain:
        raise ValueError(ADDRESS)
    base = url.strip().rstrip("/")
    return base if parts.path.strip("/") else f"{base}/v1"


def load(settings: AsrSettings) -> Engine:
    """The engine for the server that the settings name, which answers now.

    ValueError names the setting at fault, ConnectionError and PermissionError the address.
    """
    key = settings.upstream_key.get_secret_value()
    if not all("!" <= sign <= "~" for sign in key):  # a header takes no others, and says which it did not take
        raise ValueError("ASR_UPSTREAM_KEY: a key has neither spaces nor signs beyond ASCII")
    url = address(settings.upstream_url)
    upstream = Upstream(url, key, settings.upstream_model, settings.upstream_timeout_s, LANES)
    with ExitStack() as failing:
        failing.callback(upstream.close)
        upstream.check()
        failing.pop_all()
    return UpstreamEngine(upstream, settings.language)
