"""How one server wants to be asked, found out by asking, and remembered for a while.

Chat completions come first, with `stream_options` unless the server refused them. Where that path is missing, and not
just a model, llama.cpp's older `/completion` is asked, with the chat template applied by the server if it can and in
ChatML if not. What was found out is forgotten after some minutes: a server may be replaced by a newer one.
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from llm_service.core.answer import AnswerReader, lacks_route, refuses_stream_options
from llm_service.core.older import CompletionReader, chatml, completion_body, plain_messages
from llm_service.engines.base import Target
from llm_service.exchange import SERVICE, Refusal, read_all, send
from llm_service.upstream_specs import Kind
from shared.clock import now_s
from shared.errors import Unsupported

REMEMBERED_S = 300.0
_PROMPT_LIMIT_BYTES = 16 * 1024 * 1024


class Known:
    """Something that is so until it may have changed."""

    def __init__(self, is_forever: bool = False) -> None:
        self._until_s = float("inf") if is_forever else float("-inf")

    def __bool__(self) -> bool:
        return now_s() < self._until_s

    def remember(self) -> None:
        """It is so, for some minutes from now on at least."""
        self._until_s = max(self._until_s, now_s() + REMEMBERED_S)

    def forget(self) -> None:
        """It is not so any more."""
        self._until_s = float("-inf")


class Dialect:
    """What is known of one server's manners."""

    def __init__(self, kind: Kind = "auto") -> None:
        self._kind = kind
        self._is_older = Known(is_forever=kind == "completion")
        self._has_no_options = Known()
        self._has_no_template = Known()

    async def ask(
        self, client: httpx.AsyncClient, target: Target, body: Mapping[str, Any], limit: int
    ) -> tuple[httpx.Response, AnswerReader]:
        """An accepted answer, to be read by that reader and closed; raises the error of a refusal, or httpx's."""
        if self._is_older:
            older = await self._ask_older(client, target, body)
            if isinstance(older, httpx.Response):
                return older, CompletionReader(limit)
            if not self._may_change(older):
                raise older.error()
            self._is_older.forget()
        answer = await self._ask_chat(client, target, {**body, "stream": True})
        if isinstance(answer, httpx.Response):
            return answer, AnswerReader(limit)
        if not self._may_change(answer):
            raise answer.error()
        older = await self._ask_older(client, target, body)
        if isinstance(older, Refusal):
            raise older.error()
        self._is_older.remember()
        return older, CompletionReader(limit)

    def _may_change(self, refused: Refusal) -> bool:
        """Whether the other path may be there where this one is missing."""
        return self._kind == "auto" and lacks_route(refused.status, refused.body)

    async def _ask_chat(
        self, client: httpx.AsyncClient, target: Target, body: Mapping[str, Any]
    ) -> httpx.Response | Refusal:
        address = f"{target.address}/chat/completions"
        if not self._has_no_options:
            answer = await send(client, target, address, {**body, "stream_options": {"include_usage": True}})
            if isinstance(answer, httpx.Response) or not refuses_stream_options(answer.status, answer.body):
                return answer
        answer = await send(client, target, address, body)
        if isinstance(answer, httpx.Response):
            self._has_no_options.remember()
        return answer

    async def _ask_older(
        self, client: httpx.AsyncClient, target: Target, body: Mapping[str, Any]
    ) -> httpx.Response | Refusal:
        if body.get("tools"):
            raise Unsupported("The model's server takes no tools.", service=SERVICE, param="tools")
        root = target.address.removesuffix("/v1")
        prompt = await self._prompt(client, target, root, plain_messages(body["messages"]))
        return await send(client, target, f"{root}/completion", completion_body(body, prompt))

    async def _prompt(
        self, client: httpx.AsyncClient, target: Target, root: str, messages: list[dict[str, str]]
    ) -> str:
        """The messages in the server's own template, or in ChatML."""
        if not self._has_no_template:
            answer = await send(client, target, f"{root}/apply-template", {"messages": messages})
            prompt = "" if isinstance(answer, Refusal) else _rendered(await read_all(answer, _PROMPT_LIMIT_BYTES))
            if prompt:
                return prompt
            self._has_no_template.remember()
        return chatml(messages)


def _rendered(body: bytes) -> str:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    prompt = found.get("prompt") if isinstance(found, dict) else None
    return prompt if isinstance(prompt, str) else ""
