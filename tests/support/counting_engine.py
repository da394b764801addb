"""An engine of scripts that also counts tokens, as llama.cpp's server does: one token for each word."""

import re
from typing import Any

from llm_service.engines.base import Manner
from llm_service.engines.fake import Canned, Exchange, FakeEngine

MARKER = "<|end|>"
MESSAGE_TOKENS, FIXED_TOKENS = 3, 2
_TOKEN = re.compile(r"<\|end\|>|[^\s<]+|<")


class CountingEngine(FakeEngine):
    """Refuses prompts above its context. `asked` holds each body, `tokenised` the texts that were counted."""

    def __init__(
        self, context_tokens: int, *, counts_tokens: bool = True, markers: tuple[str, ...] = ("a b", MARKER)
    ) -> None:
        super().__init__(self._script, Manner(model=None, markers=markers, counts_tokens=counts_tokens))
        self._context_tokens = context_tokens
        self.asked: list[dict[str, Any]] = []
        self.tokenised: list[str] = []
        self.refusal: tuple[int, object] | None = None

    def messages(self) -> list[dict[str, str]]:
        """The messages of the last prompt."""
        found: list[dict[str, str]] = self.asked[-1]["messages"]
        return found

    async def _script(self, exchange: Exchange) -> None:
        body = dict(exchange.body)
        if "stream" in body:
            self.asked.append(body)
            tokens = sum(_length(message["content"]) + MESSAGE_TOKENS for message in body["messages"])
            is_over = tokens + FIXED_TOKENS > self._context_tokens
            await Canned(context_tokens=0 if is_over else 1_000_000)(exchange)
        elif self.refusal:
            await exchange.tell(*self.refusal)
        elif "content" in body:
            self.tokenised.append(body["content"])
            found = [0 if word == MARKER else 1 + len(word) for word in _TOKEN.findall(body["content"])]
            await exchange.tell(200, {"tokens": found})
        else:
            said = [f"{'turn ' * MESSAGE_TOKENS}{message['content']} " for message in body["messages"]]
            await exchange.tell(200, {"prompt": "".join(said) + "open " * FIXED_TOKENS})


def _length(text: str) -> int:
    return len(_TOKEN.findall(text))
