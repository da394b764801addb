"""OpenAI's chat completions as clients of this service see them: the request that is read, the pieces of the answer.

Fields that have no effect here are ignored, as are unknown ones; fields that would change the answer in a way that this
service does not offer are refused.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_service.core.answer import FinishReason, Usage
from llm_service.core.markers import MarkerBreaker
from llm_service.engines.base import Manner
from shared.clock import today
from shared.ids import new_id

_TEXT_LIMIT = 1_000_000  # characters of one message; no context of today takes more
_PASSED = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "stop", "seed",
    "presence_penalty", "frequency_penalty", "repeat_penalty",
)  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class TextPart(_Part):
    """A piece of a message."""

    type: Literal["text"]
    text: str = Field(max_length=_TEXT_LIMIT)


class ChatMessage(_Part):
    """One message of the conversation so far."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(max_length=_TEXT_LIMIT)] | list[TextPart]

    @property
    def text(self) -> str:
        """The whole of it; a model reads the parts as one."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(_Part):
    """What a stream carries beside the text."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """What to answer, and how."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    messages: list[ChatMessage] = Field(min_length=1, max_length=4096)
    model: str | None = Field(None, max_length=256, description="Ignored: the one model of this service answers.")
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repeat_penalty: float | None = Field(None, gt=0, le=2)
    user: str | None = Field(None, description="Accepted; not handed on.")

    def asks_usage(self) -> bool:
        """Whether the stream ends with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    def for_engine(self, manner: Manner, markers: MarkerBreaker) -> dict[str, object]:
        """The request as the engine wants it: its defaults, its name for the model, no markers in the text."""
        messages = [{"role": message.role, "content": markers.broken(message.text)} for message in self.messages]
        chosen = {name: value for name in _PASSED if (value := getattr(self, name)) is not None}
        named = {"model": manner.model} if manner.model else {}
        return {**manner.defaults, **chosen, **named, "messages": messages}


class Envelope:
    """What every piece of one answer carries: an id of ours, the time, the model's public name."""

    def __init__(self, model: str) -> None:
        self._head = {"id": new_id("chatcmpl"), "created": int(today().timestamp()), "model": model}

    def chunk(self, delta: Mapping[str, str], finish_reason: FinishReason | None = None) -> dict[str, object]:
        """One event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def usage_chunk(self, usage: Usage) -> dict[str, object]:
        """The event with the counts, which has no choices."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _counts(usage)}

    def completion(self, text: str, finish_reason: FinishReason, usage: Usage | None) -> dict[str, object]:
        """The whole answer at once."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        counts = {"usage": _counts(usage)} if usage else {}
        return {**self._head, "object": "chat.completion", "choices": [choice], **counts}


def _counts(usage: Usage) -> dict[str, int]:
    total = usage.prompt_tokens + usage.completion_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": total,
    }
