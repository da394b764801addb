"""What a request wants of its tools, as an engine of this service is asked for it.

llama.cpp's server lets a model talk without end before a call that must be made, and ignores a choice of one function.
So such a call is asked of it as JSON of that shape, and told as the call it is. Where the chat template knows no tools,
a call that must be made is refused, and one that may be made is not. Of tools that it cannot call a model is not told.
Servers elsewhere are asked as the request says, and so is an engine that sees to it itself. Of what an engine of this
service makes a grammar of, a schema above the bounds is refused: it would hold up everybody.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from llm_service.core.answer import Delta, Failed, Finished, Part
from llm_service.core.schema_bounds import Bounds
from llm_service.core.shaped_calls import ShapedCalls, call_schema
from llm_service.core.tool_choice import ToolChoice, choice_of
from llm_service.engines.base import ToolManner
from llm_service.exchange import SERVICE, error_of
from llm_service.openai_wire import ChatMessage, ChatRequest, Tool
from shared.errors import InvalidMessage, Unsupported


def chosen(request: ChatRequest, manner: ToolManner) -> tuple[ChatRequest, bool]:
    """The request as the engine is asked, and whether what it writes is to be read as calls; raises a ParleyError."""
    if manner == "passed":
        return request, False
    choice = _choice(request, manner)
    _check(request, choice, manner)
    if manner == "forced":
        return request, False
    changes: dict[str, object] = {"messages": [_parsable(message) for message in request.messages]}
    if manner == "unknown" or not choice.names:
        changes["tools"] = None
    elif choice.is_forced:
        changes |= _shape(request.tools or [], choice)
    return request.model_copy(update=changes), choice.is_forced


def _choice(request: ChatRequest, manner: ToolManner) -> ToolChoice:
    names = [tool.function.name for tool in request.tools or ()]
    choice = choice_of(names, request.tool_choice, request.parallel_tool_calls)
    if choice is None:
        raise InvalidMessage(
            "tool_choice is none of none, auto, required and a function of these tools.",
            service=SERVICE,
            param="tool_choice",
        )
    if manner == "unknown" and choice.is_forced:
        raise Unsupported(
            "The model's chat template knows no tools, so it cannot be made to call one.",
            service=SERVICE,
            param="tool_choice",
        )
    return choice


def _check(request: ChatRequest, choice: ToolChoice, manner: ToolManner) -> None:
    """Refuse schemas that are too much for a grammar."""
    bounds = Bounds()
    for param, schema in [*_format_schemas(request), *_tool_schemas(request, choice, manner)]:
        if fault := bounds.fault(schema):
            raise Unsupported(f"The schema is too much for this engine: {fault}.", service=SERVICE, param=param)


def _format_schemas(request: ChatRequest) -> Iterator[tuple[str, object]]:
    """The schema of the answer, as a client would name its field."""
    match request.response_format:
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            yield "response_format.json_schema.schema", schema
        case {"type": "json_object", "schema": schema}:  # llama.cpp's server keeps to it
            yield "response_format.schema", schema


def _tool_schemas(request: ChatRequest, choice: ToolChoice, manner: ToolManner) -> Iterator[tuple[str, object]]:
    """Those of tools of which a grammar is written: in one engine, of calls alone that must be made."""
    if manner == "unknown" or (manner == "forced" and not choice.is_forced):
        return
    for place, tool in enumerate(request.tools or ()):
        if tool.function.name in choice.names:
            yield f"tools.{place}.function.parameters", tool.function.parameters


def _shape(tools: Sequence[Tool], choice: ToolChoice) -> dict[str, object]:
    """The fields of a request for JSON that is such a call. No text stops it: it would not be whole."""
    functions = [tool.function for tool in tools if tool.function.name in choice.names]
    schema = call_schema([(function.name, function.parameters) for function in functions], choice.is_several)
    shape = {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}
    return {"tool_choice": "none", "response_format": shape, "stop": None}


@asynccontextmanager
async def as_calls(
    answer: AbstractAsyncContextManager[AsyncGenerator[Part, None]],
) -> AsyncIterator[AsyncGenerator[Part, None]]:
    """An answer whose text is calls."""
    async with answer as parts, aclosing(_called(parts)) as told:
        yield told


async def _called(parts: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
    calls = ShapedCalls()
    async for part in parts:
        match part:
            case Delta(text):
                for piece in calls.read(text):
                    yield piece
            case Finished(reason):
                end = calls.ended(reason)
                if isinstance(end, Failed):
                    raise error_of(end.failure)
                yield end
            case _:
                yield part


def _parsable(message: ChatMessage) -> ChatMessage:
    """The message with arguments that are JSON: the server fails on what an answer that was cut left of them."""
    if not message.tool_calls:
        return message
    functions = [call.function for call in message.tool_calls]
    mended = [one.model_copy(update={"arguments": _as_json(one.arguments)}) for one in functions]
    pairs = zip(message.tool_calls, mended, strict=True)
    return message.model_copy(update={"tool_calls": [call.model_copy(update={"function": one}) for call, one in pairs]})


def _as_json(arguments: str) -> str:
    """Arguments as they are, nothing as none, and what is no JSON as a text."""
    if not arguments.strip():
        return "{}"
    try:
        json.loads(arguments, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return json.dumps(arguments)
    return arguments


def _refuse(constant: str) -> None:
    raise ValueError(constant)
