"""FunASR: Chinese as it is spoken by a streaming Paraformer, or five languages by SenseVoice, from folders.

What the folder of `ASR_MODEL_PATH` holds decides. A streaming Paraformer reads 600 ms at a time, from where the stretch
begins, so what was read stays and a reading costs what is new. SenseVoice or an offline Paraformer reads the stretch
whole each time. Beside a streaming model, one of those may read the finals, and a CT-Transformer may put punctuation to
what a Paraformer wrote; SenseVoice writes its own.

Laws: the same audio reads the same however it was cut, and however often it was thought to be at its end, since an end
is tried on a copy of the model's memory. Nothing is ever fetched.
"""

import copy
import os
from typing import Any

from asr_service.core.languages import primary
from asr_service.engines.base import SAMPLE_BYTES, Engine, Recogniser, Result, Span, Step, Task
from asr_service.engines.funasr_folder import PARAFORMERS, PUNCTUATION, SENSE_VOICE, STREAMING, opened
from asr_service.engines.funasr_models import (
    AHEAD_SAMPLES,
    CHUNK_SAMPLES,
    SHORTEST_SAMPLES,
    PunctuationModel,
    StreamingModel,
    WindowModel,
    hiss,
    is_sound,
    prepare,
    written,
)
from asr_service.engines.funasr_window import WindowReader, WindowStretch
from asr_service.engines.sound import as_samples
from asr_service.settings import AsrSettings

CHUNK_BYTES = CHUNK_SAMPLES * SAMPLE_BYTES


class StreamingStretch:
    """One stretch in the streaming model: its memory, the tokens so far, and less than 600 ms that it has not read."""

    def __init__(self, model: StreamingModel) -> None:
        self._model = model
        self._memory: dict[str, Any] = {}
        self._rest = bytearray()
        self._tokens: list[str] = []
        self._read_samples = 0
        self._first_samples: int | None = None  # how much was read when the first token came
        self._has_sound = False

    @property
    def _heard_samples(self) -> int:
        return self._read_samples + len(self._rest) // SAMPLE_BYTES

    def hear(self, pcm: bytes) -> None:
        """Read every whole 600 ms."""
        self._has_sound = self._has_sound or is_sound(pcm)
        self._rest += pcm
        while len(self._rest) >= CHUNK_BYTES:
            self._tokens += self._model.tokens(self._memory, as_samples(bytes(self._rest[:CHUNK_BYTES])))
            del self._rest[:CHUNK_BYTES]
            self._read_samples += CHUNK_SAMPLES
            if self._tokens and self._first_samples is None:
                self._first_samples = self._read_samples

    def text(self) -> str:
        return written(self._tokens) if self._has_sound else ""

    def ended(self) -> Result:
        """How it reads if it ends here; it may go on."""
        if not self._has_sound or self._heard_samples < SHORTEST_SAMPLES:
            return Result("")
        memory = copy.deepcopy(self._memory)
        text = written(self._tokens + self._model.tokens(memory, as_samples(bytes(self._rest)), is_end=True))
        first_samples = self._first_samples or self._heard_samples
        start_samples = max(0, first_samples - CHUNK_SAMPLES - AHEAD_SAMPLES)
        return Result(text, (Span(start_samples, self._heard_samples, text),)) if text else Result("")


class StreamingRecogniser:
    """Partials by the streaming model; finals by it or, if there is one, by a model that reads the stretch whole."""

    def __init__(
        self, model: StreamingModel, finals: WindowReader | None, punctuation: PunctuationModel | None
    ) -> None:
        self._model = model
        self._finals = finals
        self._punctuation = punctuation
        self.start(Task(""))

    def start(self, task: Task) -> None:
        self._stretch = StreamingStretch(self._model)
        self._whole = self._beside(primary(task.language))
        self._ended: Result | None = None  # how it reads if what was heard is all

    def hear(self, pcm: bytes) -> None:
        if pcm:
            self._ended = None
        self._stretch.hear(pcm)
        if self._whole:
            self._whole.hear(pcm)

    def read(self) -> Result:
        return Result(self._ended.text if self._ended else self._stretch.text())

    def finish(self) -> Result:
        if self._ended is None:
            self._ended = self._whole.read(is_end=True) if self._whole else self._read_end()
        return self._ended

    def settle(self) -> None:
        if self._whole:
            self._whole.settle()

    def _beside(self, language: str) -> WindowStretch | None:
        """The stretch in the model for finals, in the language of the partials unless another is told."""
        if self._finals is None:
            return None
        own = self._model.folder.languages[0]
        return WindowStretch(self._finals, language if language in self._finals.languages else own)

    def _read_end(self) -> Result:
        found = self._stretch.ended()
        if not found.spans or not self._punctuation:
            return found
        text = self._punctuation.punctuated(found.text)
        (span,) = found.spans
        return Result(text, (Span(span.start_samples, span.end_samples, text),))

    def close(self) -> None:
        self.start(Task(""))


class WindowRecogniser:
    """A stretch that is read whole each time."""

    def __init__(self, reader: WindowReader) -> None:
        self._reader = reader
        self.start(Task(""))

    def start(self, task: Task) -> None:
        self._stretch = WindowStretch(self._reader, primary(task.language))

    def hear(self, pcm: bytes) -> None:
        self._stretch.hear(pcm)

    def read(self) -> Result:
        found = self._stretch.read(is_end=False)
        return Result(found.text, language=found.language)

    def finish(self) -> Result:
        return self._stretch.read(is_end=True)

    def settle(self) -> None:
        self._stretch.settle()

    def close(self) -> None:
        self.start(Task(""))


class FunasrEngine(Engine):
    """Recognisers that share the models. Calls run side by side: they gain where each has a core."""

    name = "funasr"

    def __init__(
        self,
        model: StreamingModel | WindowReader,
        finals: WindowReader | None = None,
        punctuation: PunctuationModel | None = None,
        lanes: int = 1,
    ) -> None:
        self._model = model
        self._finals = finals
        self._punctuation = punctuation
        self.lanes = lanes
        self.languages = model.languages if isinstance(model, WindowReader) else model.folder.languages
        self.detects = isinstance(model, WindowReader) and model.model.detects

    def open(self) -> Recogniser:
        if isinstance(self._model, WindowReader):
            return WindowRecogniser(self._model)
        return StreamingRecogniser(self._model, self._finals, self._punctuation)

    def warm_up(self, recogniser: Recogniser, task: Task) -> None:
        """Silence would not get as far as the model."""
        Step(recogniser, hiss(), is_end=True, task=task).run()

    def is_incremental(self, language: str) -> bool:
        return isinstance(self._model, StreamingModel)


def load(settings: AsrSettings) -> Engine:
    """The engine with its models. FileNotFoundError or ValueError names a file, ImportError what is to be installed."""
    whole = (SENSE_VOICE, *PARAFORMERS)
    folder = opened(settings.model_path, STREAMING, *whole)
    final = opened(settings.final_model_path, *whole) if settings.final_model_path else None
    marks = opened(settings.punctuation_path, PUNCTUATION) if settings.punctuation_path else None
    if final and folder.model != STREAMING:
        raise ValueError(f"ASR_FINAL_MODEL_PATH is for a streaming model beside it; {folder.path} is {folder.model}")
    device = prepare(settings.device, settings.gpu_share)
    lanes = max(2, (os.cpu_count() or 1) // 2) if device == "cpu" else 2  # one that stalls is not to stop all
    punctuation = PunctuationModel(marks, device) if marks else None
    if folder.model != STREAMING:
        return FunasrEngine(WindowReader(WindowModel(folder, device), punctuation), lanes=lanes)
    finals = WindowReader(WindowModel(final, device), punctuation) if final else None
    return FunasrEngine(StreamingModel(folder, device), finals, punctuation, lanes)
