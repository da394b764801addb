"""Speak llama.cpp's own `/completion`, for servers without chat completions: what is sent, and what the events mean.

The messages become one prompt, in ChatML unless the server renders its own template. The end markers that stand in the
prompt are sent as stops, and none that a person typed is left in it. Reads both tongues of the last event: `stop_type`,
and the `stopped_*` booleans of 2023 and 2024. Never asks for anything, and never raises for what a server sent. The
laws are those of the other reader (answer), and an answer is complete exactly when an event says `"stop": true`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_service.core.answer import AnswerReader, Delta, Failed, Failure, Finished, Part, Usage, is_count, kind_of
from llm_service.core.markers import MarkerBreaker

_ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<|endoftext|>", "<end_of_turn>", "</s>", "<|eom_id|>")
_STARTS = (
    "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<start_of_turn>", "<s>",
    "<|system|>", "<|user|>", "<|assistant|>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>",
)  # fmt: skip
_SAME = (
    "temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "repeat_penalty",
)  # fmt: skip
_MARKERS = MarkerBreaker((*_ENDS, *_STARTS))


def plain_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The messages as every template takes them: a role and a text that holds no control marker."""
    known = {"developer": "system"}
    return [
        {"role": known.get(message["role"], message["role"]), "content": _MARKERS.broken(message.get("content") or "")}
        for message in messages
    ]


def chatml(messages: Sequence[Mapping[str, str]]) -> str:
    """Plain messages as one prompt, up to where the assistant begins."""
    told = [f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages]
    return "".join(told) + "<|im_start|>assistant\n"


def completion_body(body: Mapping[str, Any], prompt: str) -> dict[str, object]:
    """The request for `/completion` that a request for chat completions becomes, with its prompt."""
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else list(stop)
    same = {name: body[name] for name in _SAME if name in body}
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return {
        **same,
        **({"n_predict": limit} if limit else {}),
        **_shape(body.get("response_format")),
        "prompt": prompt,
        "stop": list(dict.fromkeys([*stops, *(end for end in _ENDS if end in prompt)])),
        "cache_prompt": True,
        "stream": True,
    }


def _shape(wanted: Any) -> dict[str, object]:
    """The shape of the answer, as a JSON schema."""
    if not wanted:
        return {}
    return {"json_schema": wanted.get("json_schema", {}).get("schema", {"type": "object"})}


class CompletionReader(AnswerReader):
    """Payloads of `/completion` in, parts out."""

    def _read_object(self, event: dict[str, Any] | None) -> list[Part]:
        if event is None:
            return [Failed(Failure.GARBLED)]
        if event.get("error"):
            return [Failed(kind_of(event))]
        text, has_ended = event.get("content"), event.get("stop") is True
        if not isinstance(text, str) and not has_ended:
            return [Failed(Failure.GARBLED)]
        parts: list[Part] = [Delta(text)] if isinstance(text, str) and text else []
        if not has_ended:
            return parts
        self.usage = _counts(event)
        self.is_finished = self.is_done = True
        is_long = event.get("stop_type") == "limit" or event.get("stopped_limit") is True
        return [*parts, Finished("length" if is_long else "stop")]


def _counts(event: Mapping[str, Any]) -> Usage | None:
    prompt, completion = event.get("tokens_evaluated"), event.get("tokens_predicted")
    return Usage(prompt, completion) if is_count(prompt) and is_count(completion) else None
