"""OpenAI's chat completions as clients of this service see them: the request that is read, the pieces of the answer.

Fields that have no effect here are ignored, as are unknown ones; fields that would change the answer in a way that this
service does not offer are refused.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llm_service.core.answer import FinishReason, ToolCallDelta, Usage
from llm_service.core.markers import MarkerBreaker
from llm_service.core.tool_calls import ToolCall
from llm_service.engines.base import Manner
from shared.clock import today
from shared.ids import new_id

_TEXT_LIMIT = 1_000_000  # characters of one message; no context of today takes more
_FRAMES = 64  # lists and objects that may yet be put around a value before it is sent
_PASSED = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "stop", "seed",
    "presence_penalty", "frequency_penalty", "repeat_penalty",
)  # fmt: skip
Stop = str | Annotated[list[str], Field(max_length=16)] | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class TextPart(_Part):
    """A piece of a message."""

    type: Literal["text"]
    text: str = Field(max_length=_TEXT_LIMIT)

    @property
    def said(self) -> str:
        """What is read of it."""
        return self.text


class RefusalPart(_Part):
    """A piece of an answer that refused."""

    type: Literal["refusal"]
    refusal: str = Field(max_length=_TEXT_LIMIT)

    @property
    def said(self) -> str:
        """What is read of it."""
        return self.refusal


class CalledFunction(_Part):
    """Which function a message called, and with what."""

    name: str = Field(max_length=256)
    arguments: str = Field(max_length=_TEXT_LIMIT)


class CalledTool(_Part):
    """A tool call that an earlier answer made."""

    id: str = Field(max_length=256)
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(_Part):
    """One message of the conversation so far."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, Field(max_length=_TEXT_LIMIT)] | list[TextPart | RefusalPart] | None = None
    refusal: Annotated[str, Field(max_length=_TEXT_LIMIT)] | None = Field(None, description="Read as the content.")
    tool_calls: Annotated[list[CalledTool], Field(max_length=128)] | None = None
    tool_call_id: str | None = Field(None, max_length=256)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        is_answer = self.role == "assistant" and (self.tool_calls or self.refusal is not None)
        if self.content is None and not is_answer:
            raise ValueError("content is missing")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("tool_call_id is missing")
        return self

    @property
    def text(self) -> str:
        """The whole of it; a model reads the parts as one, and a refusal as what was said."""
        if self.content is None:
            return self.refusal or ""
        return self.content if isinstance(self.content, str) else "".join(part.said for part in self.content)

    def for_engine(self, markers: MarkerBreaker) -> dict[str, object]:
        """The message as a server reads it, no markers in it."""
        told: dict[str, object] = {"role": self.role, "content": markers.broken(self.text)}
        if self.role == "assistant" and self.tool_calls:
            calls = [call.model_dump() for call in self.tool_calls]
            for call in calls:
                call["function"] = {name: markers.broken(text) for name, text in call["function"].items()}
            told["tool_calls"] = calls
        return told | ({"tool_call_id": self.tool_call_id} if self.role == "tool" else {})


class ToolFunction(BaseModel):
    """A function that the model may call, described in JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(min_length=1, max_length=256)
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(_Part):
    """A tool that the model may call."""

    type: Literal["function"]
    function: ToolFunction


class StreamOptions(_Part):
    """What a stream carries beside the text."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """What to answer, and how."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    messages: list[ChatMessage] = Field(min_length=1, max_length=4096)
    model: str | None = Field(
        None, max_length=256, description="`server/model`, or a bare name that a server has; the first one unless told."
    )
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: Stop = None
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repeat_penalty: float | None = Field(None, gt=0, le=2)
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = Field(None, description="`type`: text, json_object or json_schema.")
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    functions: Annotated[list[Any], Field(max_length=0)] | None = Field(None, description="Refused; use `tools`.")
    user: str | None = Field(None, description="Accepted; not handed on.")

    @field_validator("response_format")
    @classmethod
    def _is_a_shape(cls, wanted: dict[str, Any] | None) -> dict[str, Any] | None:
        match wanted:
            case None | {"type": "text" | "json_object"} | {"type": "json_schema", "json_schema": {"schema": {}}}:
                return wanted
            case {"type": "json_schema"}:
                raise ValueError("json_schema.schema is missing")
            case _:
                raise ValueError("type is none of text, json_object, json_schema")

    @field_validator("tools", "tool_choice", "response_format", "stop")
    @classmethod
    def _is_sendable(cls, given: Any) -> Any:
        """What is passed on as it came is JSON that every server can read: no half characters, no NaN, not too deep."""
        deeper = given
        for _ in range(_FRAMES):
            deeper = [deeper]
        try:
            json.dumps(deeper, default=BaseModel.model_dump, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            raise ValueError("it cannot be told as JSON") from None
        return given

    @field_validator("stop")
    @classmethod
    def _stops_something(cls, stop: Stop) -> Stop:
        return some_stops(stop)

    def asks_usage(self) -> bool:
        """Whether the stream ends with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    def needs_tools(self) -> bool:
        """Whether a server must take `tools` or `response_format` to answer."""
        return bool(self._tooled())

    def for_engine(self, manner: Manner, markers: MarkerBreaker, model: str | None = None) -> dict[str, object]:
        """The request as the engine wants it: its defaults, its name for the model, no markers in the text."""
        messages = [message.for_engine(markers) for message in self.messages]
        chosen = {name: value for name in _PASSED if (value := getattr(self, name)) is not None}
        model = model or manner.model
        named = {"model": model} if model else {}
        return {**manner.defaults, **chosen, **self._tooled(), **named, "messages": messages}

    def _tooled(self) -> dict[str, object]:
        """What is passed on for tools and for the shape of the answer; nothing that is the same when left out."""
        found: dict[str, object] = {}
        if self.tools:
            found["tools"] = [tool.model_dump(exclude_unset=True) for tool in self.tools]
            more = {"tool_choice": self.tool_choice, "parallel_tool_calls": self.parallel_tool_calls}
            found |= {name: value for name, value in more.items() if value is not None}
        if self.response_format and self.response_format["type"] != "text":
            found["response_format"] = self.response_format
        return found


class Envelope:
    """What every piece of one answer carries: an id of ours, the time, the model's public name."""

    def __init__(self, model: str) -> None:
        self._head = {"id": new_id("chatcmpl"), "created": int(today().timestamp()), "model": model}
        self._begun: set[int] = set()  # tool calls of which a piece was told

    def name(self, model: str) -> None:
        """The model that answers, once it is known; told by every piece from now on."""
        self._head["model"] = model

    def chunk(self, delta: Mapping[str, object], finish_reason: FinishReason | None = None) -> dict[str, object]:
        """One event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def tool_chunk(self, part: ToolCallDelta) -> dict[str, object]:
        """The event with a piece of a tool call; the first one of a call has its id, ours when it was given none."""
        function = {"arguments": part.arguments} | ({"name": part.name} if part.name else {})
        call: dict[str, object] = {"index": part.index, "function": function}
        if part.index not in self._begun:
            self._begun.add(part.index)
            call |= {"id": part.id or new_id("call"), "type": "function"}
        return self.chunk({"tool_calls": [call]})

    def usage_chunk(self, usage: Usage) -> dict[str, object]:
        """The event with the counts, which has no choices."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _counts(usage)}

    def completion(
        self, text: str, finish_reason: FinishReason, usage: Usage | None, calls: Sequence[ToolCall] = ()
    ) -> dict[str, object]:
        """The whole answer at once."""
        message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None}
        if calls:
            message |= {"content": text or None, "tool_calls": [_whole_call(call) for call in calls]}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        counts = {"usage": _counts(usage)} if usage else {}
        return {**self._head, "object": "chat.completion", "choices": [choice], **counts}


def some_stops(stop: Stop) -> Stop:
    """The same without empty texts, which would stop an answer before it begins."""
    return [one for one in stop if one] or None if isinstance(stop, list) else stop or None


def is_whole(text: str) -> bool:
    """Whether it has no half of a character, which JSON can hold and no server takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _counts(usage: Usage) -> dict[str, int]:
    total = usage.prompt_tokens + usage.completion_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": total,
    }


def _whole_call(call: ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id or new_id("call"), "type": "function", "function": function}
