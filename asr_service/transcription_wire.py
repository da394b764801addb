"""OpenAI's audio transcriptions as clients see them: the fields that are read, and the answer in each of its forms.

Fields that have no effect here are ignored, as are unknown ones; fields that would change the answer in a way that this
service does not offer are refused, each by its name.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from asr_service.core.subtitles import Cue, srt, vtt
from asr_service.transcript import Said
from shared.errors import InvalidMessage, Unsupported

DELTA = "transcript.text.delta"
DONE = "transcript.text.done"
STREAMED = ("json", "text")  # formats whose answer may come as events
LANGUAGE_NAMES = {"en": "english", "ja": "japanese", "ko": "korean", "yue": "cantonese", "zh": "chinese"}

# What a segment tells of a Whisper's decoder, as clients expect every field: nothing is odd about it. They hold no
# figure of the engine that was used, which has none of the kind.
UNTOLD = {"avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0}


class TranscriptionRequest(BaseModel):
    """The fields of the form beside the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    model: str = Field("whisper-1", max_length=256, description="Any name; the service hears with the engine it has.")
    language: str | None = Field(None, min_length=2, max_length=16, description="BCP 47; what is listened for.")
    prompt: str | None = Field(None, description="Ignored.")
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"] = "json"
    temperature: float = Field(0.0, ge=0.0, le=1.0, description="Ignored.")
    timestamp_granularities: list[Literal["word", "segment"]] | None = Field(
        None, max_length=8, description="With `verbose_json` alone."
    )
    include: list[str] | None = Field(None, max_length=8)
    stream: bool = Field(False, description="Events while the file is heard, with `json` and `text` alone.")

    def checked(self, languages: Sequence[str]) -> Self:
        """The request as it is; Unsupported or InvalidMessage for what cannot be had of an engine of `languages`."""
        if self.language is not None and self.language.split("-")[0].lower() not in languages:
            raise _unsupported(f"Speech is understood in {', '.join(languages)} alone here.", "language")
        if self.response_format == "diarized_json":
            raise _unsupported("Who speaks is not told here; ask for another format.", "response_format")
        if self.include:
            raise _unsupported("Probabilities are not told here.", "include")
        if self.stream and self.response_format not in STREAMED:
            raise _unsupported(f"A stream comes as {' or '.join(STREAMED)}.", "response_format")
        if self.timestamp_granularities and self.response_format != "verbose_json":
            raise InvalidMessage(
                "timestamp_granularities: only verbose_json has them.", service="asr", param="timestamp_granularities"
            )
        if self.timestamp_granularities and "word" in self.timestamp_granularities:
            raise _unsupported("The times of single words are not known here.", "timestamp_granularities")
        return self


@dataclass(frozen=True, slots=True)
class Transcribed:
    """What was said in a recording; `between` is what stands between two utterances."""

    language: str
    duration_s: float
    between: str
    said: Sequence[Said]

    @property
    def text(self) -> str:
        """All of it."""
        return self.between.join(one.text for one in self.said)

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
                return _json(self._verbose(wanted)), "application/json"
            case _:
                return _json({"text": self.text}), "application/json"

    def _verbose(self, wanted: TranscriptionRequest) -> dict[str, Any]:
        primary = self.language.split("-")[0].lower()
        return {
            "task": "transcribe",
            "language": LANGUAGE_NAMES.get(primary, primary),
            "duration": round(self.duration_s, 3),
            "text": self.text,
            "segments": [
                {
                    "id": number,
                    "seek": 0,
                    "start": round(cue.start_s, 3),
                    "end": round(cue.end_s, 3),
                    "text": cue.text,
                    "tokens": [],
                    "temperature": wanted.temperature,
                    **UNTOLD,
                }
                for number, cue in enumerate(self.cues)
            ],
            "usage": {"type": "duration", "seconds": round(self.duration_s)},
        }


def event(fields: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return f"data: {_json(fields)}\n\n".encode()


def form_schema() -> dict[str, Any]:
    """The form for the service's own description of itself."""
    schema = TranscriptionRequest.model_json_schema()
    file = {"type": "string", "format": "binary", "description": "wav, flac, mp3, ogg, webm, m4a or mp4."}
    schema["properties"] = {"file": file, **schema["properties"]}
    schema["required"] = ["file"]
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)


def _unsupported(message: str, param: str) -> Unsupported:
    return Unsupported(message, service="asr", param=param)
