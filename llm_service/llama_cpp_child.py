"""The program that the engine `llama_cpp` starts: chat completions on loopback, written in batches, until told to stop.

Prints its address as a line of its own when the model is loaded and it listens. `/health` is open, all else asks for
the key in LLAMA_API_KEY. Ends on SIGTERM, when its stdin closes, at once when its parent is gone, and when llama.cpp
cannot go on.
"""

import argparse
import json
import os
import secrets
import socket
import sys
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import anyio
import uvicorn
from fastapi import Depends, FastAPI, Header, Response
from pydantic import BaseModel

from llm_service.batch_answers import BatchAnswers, Handover
from llm_service.chat import chat_answer
from llm_service.core.batching import BatchParams
from llm_service.core.tool_choice import ToolChoice, choice_of
from llm_service.core.tool_markup import CLOSE, CallFinder, ForcedCalls, PlainText, Reading
from llm_service.engines import leash
from llm_service.engines.llama_cpp_batch import Batcher, NotOffered, NotTaken, Order
from llm_service.engines.llama_cpp_context import LlamaContext
from llm_service.engines.llama_cpp_gpu import layers_on_gpu
from llm_service.engines.llama_cpp_model import Model
from llm_service.engines.llama_cpp_sampling import Chain, Sampling, call_grammar, grammar_of
from llm_service.openai_wire import CalledTool, ChatRequest
from llm_service.settings import LlmSettings
from shared import threads
from shared.app import create_app
from shared.errors import BadRequest, ParleyError
from shared.health import Readiness

_TURN_S = 0.0005  # for which the event loop may hold Python while the batcher waits; unless told 5 ms, a step's time
_GRACE_S = 1  # of streams that are open when it is told to stop


class KeyRefused(ParleyError):
    """The request does not carry the key of this process."""

    code = "invalid_api_key"
    status = 401
    close_code = 1008


class EngineRequest(ChatRequest):
    """What this process takes beyond what clients may set."""

    ignore_eos: bool = False


class Text(BaseModel):
    """A text to be counted."""

    content: str


class Writer:
    """The model, its context, and the thread that owns it."""

    def __init__(self, model: Model, params: BatchParams, threads_count: int) -> None:
        self.model = model
        self.params = replace(params, slot_tokens=min(params.slot_tokens, self.model.trained_tokens))
        self.context = LlamaContext(self.model, self.params, threads_count)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[tuple[Batcher, BatchAnswers]]:
        """Answers are written inside the block."""
        handover = Handover()
        batcher = Batcher(self.context, self.params, handover.told)
        owner = threading.Thread(target=_own, args=(batcher,), name="batcher")
        async with handover.sorting():
            owner.start()
            try:
                yield batcher, BatchAnswers(batcher, self.params, handover, self.prompt, self.order, self.reading)
            finally:
                batcher.stop()
                with anyio.CancelScope(shield=True):  # bounded: the step that runs is broken off; a GPU's is short
                    await threads.call(owner.join)

    def prompt(self, request: ChatRequest) -> tuple[int, ...]:
        """The request's messages and tools as tokens; raises NotTaken."""
        return tuple(self.model.prompt(_told(request), self._tools(request)))

    def rendered(self, request: ChatRequest) -> str:
        """The same as the chat template writes it; raises NotTaken."""
        return self.model.rendered(_told(request), self._tools(request))

    def order(self, request: ChatRequest, prompt: tuple[int, ...]) -> Order:
        """The request as an order; raises NotTaken. No text stops a call that is forced: it would not be whole."""
        assert isinstance(request, EngineRequest)
        choice = self._choice(request)
        stops = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
        if choice.is_forced:
            stops = ()
        elif choice.names and not choice.is_several:
            stops = (*stops, CLOSE)  # what would follow is another call
        limits = [limit for limit in (request.max_tokens, request.max_completion_tokens) if limit is not None]
        grammar = _calls(request, choice) if choice.is_forced else _grammar(request.response_format or {})
        chain = Chain(self.model, _sampling(request, grammar), prompt).bind(self.context.handle)
        return Order(prompt, min(limits, default=self.params.slot_tokens), chain, stops, request.ignore_eos)

    def reading(self, request: ChatRequest) -> Reading:
        """What of the answer is text and what a call; of a request that was taken."""
        choice = self._choice(request)
        if not choice.names:
            return PlainText()
        return ForcedCalls(choice.names) if choice.is_forced else CallFinder(choice.names)

    def _choice(self, request: ChatRequest) -> ToolChoice:
        """What the answer may call: nothing where the model is not told how; raises NotTaken."""
        names = [tool.function.name for tool in request.tools or ()]
        choice = choice_of(names, request.tool_choice, request.parallel_tool_calls)
        if choice is None:
            raise NotTaken("tool_choice is none of none, auto, required and a function of these tools.")
        if self.model.knows_tools:
            return choice
        if choice.is_forced:
            raise NotOffered("The model's chat template knows no tools.", "tool_choice")
        return ToolChoice()

    def _tools(self, request: ChatRequest) -> list[dict[str, Any]]:
        """What the template is told of; of a choice of one among many tools, all."""
        may_call = bool(self._choice(request).names)
        return [tool.model_dump(exclude_unset=True) for tool in request.tools or ()] if may_call else []


def _told(request: ChatRequest) -> list[dict[str, Any]]:
    """Messages as templates know them, who are older than the role of a developer."""
    roles = {"developer": "system"}
    told = []
    for message in request.messages:
        one: dict[str, Any] = {"role": roles.get(message.role, message.role), "content": message.text}
        if message.role == "assistant" and message.tool_calls:
            one["tool_calls"] = [_called(call) for call in message.tool_calls]
        if message.role == "tool":
            one["tool_call_id"] = message.tool_call_id
        told.append(one)
    return told


def _called(call: CalledTool) -> dict[str, Any]:
    """A call of an earlier answer; its arguments as an object, which is what templates write as JSON."""
    told = call.model_dump()
    with suppress(ValueError, RecursionError):  # else as they were told
        arguments = json.loads(call.function.arguments)
        if isinstance(arguments, dict):
            told["function"]["arguments"] = arguments
    return told


def _calls(request: ChatRequest, choice: ToolChoice) -> str:
    """The grammar of the calls that the answer must be; raises NotTaken."""
    functions = {
        tool.function.name: tool.function for tool in request.tools or () if tool.function.name in choice.names
    }
    schemas = {
        name: {"properties": {}} if one.parameters is None else one.parameters for name, one in functions.items()
    }
    is_strict = any((one.model_extra or {}).get("strict") is True for one in functions.values())
    return call_grammar(schemas, choice.is_several, is_strict)


def _sampling(request: EngineRequest, grammar: str | None) -> Sampling:
    names = (
        "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty", "seed",
    )  # fmt: skip
    chosen = {name: value for name in names if (value := getattr(request, name)) is not None}
    return Sampling(**chosen, grammar=grammar)


def _grammar(wanted: dict[str, Any]) -> str | None:
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": schema, **more}}:
            return grammar_of(schema, is_strict=more.get("strict") is True)
        case {"type": "json_object"}:
            return grammar_of()
    return None


def _own(batcher: Batcher) -> None:
    try:
        batcher.run()
    except BaseException:  # whatever it is: who waits for a reply would wait for ever
        traceback.print_exc()
        os._exit(1)


def build_app(writer: Writer, settings: LlmSettings, key: str) -> FastAPI:
    """The routes around one writer."""
    running: list[tuple[Batcher, BatchAnswers]] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with writer.writing() as pair:
            running.append(pair)
            yield

    def check(authorization: Annotated[str, Header()] = "") -> None:
        if not secrets.compare_digest(authorization.encode(), f"Bearer {key}".encode()):
            raise KeyRefused("The key is missing or wrong.")

    app = create_app("Parley: batches of llama.cpp", Readiness({}), lifespan)

    @app.post("/v1/chat/completions", response_model=None, dependencies=[Depends(check)])
    async def chat_completions(request: EngineRequest) -> Response:
        return chat_answer(running[0][1], request, settings)

    _add_counting(app, writer, Depends(check))

    @app.get("/slots", dependencies=[Depends(check)])
    async def slots() -> list[dict[str, object]]:
        return [
            {"id": place, "is_processing": state.key is not None, "n_prompt_tokens": state.tokens}
            for place, state in enumerate(running[0][0].states())
        ]

    @app.get("/v1/models", dependencies=[Depends(check)])
    async def models() -> dict[str, object]:
        return {"object": "list", "data": [{"id": settings.public_name, "object": "model", "owned_by": "parley"}]}

    return app


def _add_counting(app: FastAPI, writer: Writer, check: Any) -> None:
    """What a prompt's length is learnt from, as llama.cpp's server tells it."""

    @app.post("/tokenize", dependencies=[check])
    def tokenize(text: Text) -> dict[str, object]:
        return {"tokens": writer.model.tokens(text.content)}

    @app.post("/apply-template", dependencies=[check])
    def apply_template(request: ChatRequest) -> dict[str, object]:
        try:
            return {"prompt": writer.rendered(request)}
        except NotTaken as refusal:
            raise BadRequest(str(refusal)) from None

    @app.get("/props", dependencies=[check])
    def props() -> dict[str, object]:
        return {"default_generation_settings": {"n_ctx": writer.params.slot_tokens}}


def main() -> None:
    """Serve until told to stop."""
    leash.die_with(os.getppid())
    sys.setswitchinterval(_TURN_S)
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # else a failed assertion starts a debugger
    arguments = _arguments()
    slot_tokens = arguments.context // arguments.slots
    params = BatchParams(
        slots=arguments.slots,
        slot_tokens=slot_tokens,
        batch_tokens=max(BatchParams().batch_tokens, arguments.slots),
        waiting=arguments.waiting,
    )
    settings = LlmSettings.model_construct(model_name=arguments.alias)  # the environment is for the service alone
    try:
        writer = Writer(_model(arguments, params), params, arguments.threads)
    except ValueError as problem:
        sys.exit(str(problem))
    app = build_app(writer, settings, os.environ["LLAMA_API_KEY"])
    anyio.run(_serve, app)
    writer.context.close()


def _model(arguments: argparse.Namespace, params: BatchParams) -> Model:
    """The weights and their template; raises ValueError."""
    layers = layers_on_gpu(arguments.model, arguments.gpu_layers, arguments.gpu_memory_share, params)
    template = arguments.chat_template.read_text(encoding="utf-8") if arguments.chat_template else None
    return Model(arguments.model, layers, template)


async def _serve(app: FastAPI) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a kept connection waits 40 ms for each answer
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S)
    server = uvicorn.Server(config)

    def let_go() -> None:
        server.should_exit = True

    leash.hold(let_go)
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve([listener])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--alias", default="local")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--context", type=int, default=1024, help="tokens, of all slots together")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpu-layers", type=int, default=0)
    parser.add_argument("--gpu-memory-share", type=float, help="of the GPU's memory, which layers may fill")
    parser.add_argument("--chat-template", type=Path, help="a Jinja file instead of the model's own template")
    parser.add_argument("--waiting", type=int, default=64, help="prompts that may wait for a slot")
    return parser.parse_args()


if __name__ == "__main__":
    main()
