"""OpenAI's transcriptions and translations as clients see them: the fields that are read, and the answer in each form.

Fields that have no effect here are ignored, as are unknown ones; fields that would change the answer in a way that this
service or its engine does not offer are refused, each by its name. What OpenAI lets a client leave out may be left out.

A stream's usage is told in tokens, the only unit that its clients know, though no engine here counts in them: ten for a
second of sound and one for four bytes of text, which is about what OpenAI counts. All other answers tell seconds.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from asr_service.core.languages import between, name_of, primary
from asr_service.core.subtitles import Cue, srt, vtt
from asr_service.engines.base import Engine, Task
from asr_service.recognisers import AUTO
from asr_service.transcript import Said
from shared.errors import InvalidMessage, Unsupported

DELTA: Final = "transcript.text.delta"
DONE: Final = "transcript.text.done"
END: Final = b"data: [DONE]\n\n"  # of a stream of events
STREAMED: Final = ("json", "text")  # formats whose answer may come as events
ONLY_TRANSCRIBED: Final = {"stream", "include", "timestamp_granularities"}
TOKENS_PER_S: Final = 10
BYTES_PER_TOKEN: Final = 4

# What a segment tells of a Whisper's decoder, as clients expect every field: nothing is odd about it. They hold no
# figure of the engine that was used, which has none of the kind.
UNTOLD: Final = {"avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0}


class TranscriptionRequest(BaseModel):
    """The fields of the form beside the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    model: str = Field("whisper-1", max_length=256, description="Any name; the service hears with the engine it has.")
    language: str | None = Field(
        None,
        min_length=2,
        max_length=16,
        description="BCP 47; what is spoken. `auto`: it is found out, where the engine can. Without it the language "
        "that the service is set to, for a translation `auto` where the engine can.",
    )
    prompt: str | None = Field(None, description="Ignored: no engine here can be told what to expect.")
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"] = "json"
    temperature: float = Field(0.0, ge=0.0, le=1.0, description="Ignored: a reading is made without chance.")
    timestamp_granularities: list[Literal["word", "segment"]] | None = Field(
        None, max_length=8, description="With `verbose_json` alone; segments unless told. Words where the engine can."
    )
    include: list[str] | None = Field(None, max_length=8, description="Refused: probabilities are not told here.")
    stream: bool = Field(False, description="Events while the file is heard, with `json` and `text` alone.")

    @property
    def has_words(self) -> bool:
        """Whether the answer tells the times of words."""
        return "word" in (self.timestamp_granularities or ())

    @property
    def has_segments(self) -> bool:
        """Whether the answer tells the times of segments, where its form has any."""
        return not self.timestamp_granularities or "segment" in self.timestamp_granularities

    def task(self, engine: Engine, service_language: str, is_translation: bool) -> Task:
        """How the file is to be read. Unsupported or InvalidMessage for what cannot be had."""
        self._check_form(is_translation)
        if self.has_words and not engine.tells_words:
            raise _unsupported("The times of single words are not known here.", "timestamp_granularities")
        default = AUTO if is_translation and engine.detects else service_language
        language = self._spoken(engine, self.language or default)
        return Task(language, translate=is_translation, words=self.has_words)

    def _check_form(self, is_translation: bool) -> None:
        if self.response_format == "diarized_json":
            raise _unsupported("Who speaks is not told here; ask for another format.", "response_format")
        if self.include:
            raise _unsupported("Probabilities are not told here.", "include")
        if self.stream and is_translation:
            raise _unsupported("A translation comes whole.", "stream")
        if self.stream and self.response_format not in STREAMED:
            raise _unsupported(f"A stream comes as {' or '.join(STREAMED)}.", "response_format")
        if self.timestamp_granularities and self.response_format != "verbose_json":
            message = "timestamp_granularities: only verbose_json has them."
            raise InvalidMessage(message, service="asr", param="timestamp_granularities")
        if self.has_words and is_translation:
            raise _unsupported("The words of a translation were not said at any time.", "timestamp_granularities")

    def _spoken(self, engine: Engine, language: str) -> str:
        """The language for the engine, "" to find it out."""
        if primary(language) in engine.languages:
            return language
        if primary(language) != AUTO:
            raise _unsupported(f"Speech is understood in {', '.join(engine.languages)} alone here.", "language")
        if not engine.detects and len(engine.languages) > 1:
            raise _unsupported(f"Name the language: one of {', '.join(engine.languages)}.", "language")
        return "" if engine.detects else engine.languages[0]


@dataclass(frozen=True, slots=True)
class Transcribed:
    """What was said in a recording that was read as `task` says."""

    task: Task
    duration_s: float
    said: Sequence[Said]

    @property
    def text(self) -> str:
        """All of it."""
        text = ""
        for one in self.said:
            text += delta(text, one)
        return text

    @property
    def language(self) -> str:
        """What was spoken for the longest time, BCP 47; "" where nobody knows."""
        spoken_s: dict[str, float] = {}
        for one in self.said:
            if one.language:
                length_s = sum(cue.end_s - cue.start_s for cue in one.cues)
                spoken_s[one.language] = spoken_s.get(one.language, 0.0) + length_s
        return max(spoken_s, key=lambda language: spoken_s[language], default=self.task.language)

    @property
    def cues(self) -> list[Cue]:
        """Its parts, in order."""
        return [cue for one in self.said for cue in one.cues]

    def body(self, wanted: TranscriptionRequest) -> tuple[str, str]:
        """The answer as it is wanted, and its media type."""
        match wanted.response_format:
            case "text":
                return f"{self.text}\n", "text/plain"
            case "srt":
                return srt(self.cues), "text/plain"
            case "vtt":
                return vtt(self.cues), "text/vtt"
            case "verbose_json":
                return _json(self._verbose(wanted) | self._usage()), "application/json"
            case _:
                return _json({"text": self.text} | self._usage()), "application/json"

    def done(self) -> dict[str, Any]:
        """The event that ends a stream."""
        heard, told = ceil(self.duration_s * TOKENS_PER_S), ceil(len(self.text.encode()) / BYTES_PER_TOKEN)
        usage = {
            "type": "tokens",
            "input_tokens": heard,
            "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
            "output_tokens": told,
            "total_tokens": heard + told,
        }
        return {"type": DONE, "text": self.text, "usage": usage}

    def _usage(self) -> dict[str, Any]:
        """Of a transcription; OpenAI's translations tell none."""
        usage = {"type": "duration", "seconds": round(self.duration_s)}
        return {} if self.task.translate else {"usage": usage}

    def _verbose(self, wanted: TranscriptionRequest) -> dict[str, Any]:
        is_translation = self.task.translate  # and then the language is that of the text
        told: dict[str, Any] = {
            "task": "translate" if is_translation else "transcribe",
            "language": "english" if is_translation else name_of(self.language) or "unknown",
            "duration": round(self.duration_s, 3),
            "text": self.text,
        }
        if wanted.has_segments:
            told["segments"] = [
                {
                    "id": number,
                    "seek": 0,
                    **_times(cue),
                    "text": cue.text,
                    "tokens": [],
                    "temperature": wanted.temperature,
                    **UNTOLD,
                }
                for number, cue in enumerate(self.cues)
            ]
        if wanted.has_words:
            told["words"] = [{"word": word.text, **_times(word)} for one in self.said for word in one.words]
        return told


def delta(told: str, said: Said) -> str:
    """What an utterance adds to the text that was told before it."""
    return between(told, said.text) + said.text


def event(fields: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return f"data: {_json(fields)}\n\n".encode()


def form_schema(is_translation: bool) -> dict[str, Any]:
    """The form for the service's own description of itself."""
    schema = TranscriptionRequest.model_json_schema()
    file = {"type": "string", "format": "binary", "description": "wav, flac, mp3, ogg, webm, m4a or mp4."}
    left_out = ONLY_TRANSCRIBED if is_translation else set()
    fields = {name: field for name, field in schema["properties"].items() if name not in left_out}
    schema |= {"properties": {"file": file, **fields}, "required": ["file"]}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _times(cue: Cue) -> dict[str, float]:
    return {"start": round(cue.start_s, 3), "end": round(cue.end_s, 3)}


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)


def _unsupported(message: str, param: str) -> Unsupported:
    return Unsupported(message, service="asr", param=param)
