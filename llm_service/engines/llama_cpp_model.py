"""A GGUF model as llama.cpp has loaded it: its chat template, its tokens and their texts. Never its context.

What people wrote never becomes a control token: each marker in it, in what describes tools and in their results too, is
cut in two before the template is applied, and the halves are tokenised apart. Only reads what is fixed once the model
is loaded, so any thread may ask.
"""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from llm_service.core.markers import MarkerBreaker
from llm_service.core.tool_markup import CLOSE, OPEN
from llm_service.engines.gguf import control_markers
from llm_service.engines.llama_cpp_batch import NotTaken

_ERROR = 4  # of llama.cpp's levels of logging
_GAP = "\ufdd0"  # never a character of a text, says Unicode
_LONGEST_PIECE_BYTES = 512
_PROBE = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}
_CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)


def _tell_errors(level: int, text: bytes, _: object) -> None:
    if level == _ERROR:
        sys.stderr.write(text.decode("utf-8", "replace"))


_LOG = llama_cpp.llama_log_callback(_tell_errors)  # C keeps the pointer: this reference must live as long


class Model:
    """The weights; raises ValueError when the file cannot be loaded. `template`: in place of the file's own."""

    def __init__(self, path: Path, gpu_layers: int, template: str | None = None) -> None:
        llama_cpp.llama_log_set(_LOG, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        self.handle = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise ValueError("llama.cpp cannot load the model file")
        self.vocab = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocab_size: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self._breaker = MarkerBreaker(control_markers(path), gap=_GAP)
        self._bos: int = llama_cpp.llama_vocab_bos(self.vocab)
        self._begins_with_bos: bool = llama_cpp.llama_vocab_get_add_bos(self.vocab)
        self._template = self._formatter(template or self._own_template())
        self.knows_tools = self._says(None) != self._says([_PROBE])
        self._shown = {tokens[0] for marker in (OPEN, CLOSE) if len(tokens := self.tokens(marker)) == 1}

    @property
    def trained_tokens(self) -> int:
        """The longest context that the model was made for."""
        return int(llama_cpp.llama_model_n_ctx_train(self.handle))

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """The tokens of a conversation, and of tools, up to where the reply begins; raises NotTaken."""
        tokens = [token for piece in self._rendered(messages, tools).split(_GAP) for token in self.tokens(piece)]
        if self._begins_with_bos and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        return tokens

    def rendered(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """A conversation as the chat template writes it; raises NotTaken."""
        return self._rendered(messages, tools).replace(_GAP, "")

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text; markers in it become control tokens."""
        encoded = text.encode("utf-8", "replace")
        count = -len(encoded) - 1  # none is shorter than a byte; below 0: how much room it wants
        while count < 0:
            room = (llama_cpp.llama_token * -count)()
            count = llama_cpp.llama_tokenize(self.vocab, encoded, len(encoded), room, len(room), False, True)
        return list(room[:count])

    def text(self, token: int) -> bytes:
        """What a token writes; nothing for a control token, but for one that marks a tool call."""
        return self._piece(token, shows_control=token in self._shown)

    def is_end(self, token: int) -> bool:
        """Whether the model ends its reply with this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def _own_template(self) -> str:
        template = llama_cpp.llama_model_chat_template(self.handle, None)
        return template.decode() if template else _CHATML

    def _formatter(self, template: str) -> Jinja2ChatFormatter:
        eos, bos = self._marker(llama_cpp.llama_vocab_eos(self.vocab)), self._marker(self._bos)
        try:
            return Jinja2ChatFormatter(template, eos_token=eos, bos_token=bos)
        except Exception as fault:  # whatever its language finds wrong with it
            raise ValueError(f"the chat template cannot be read: {fault}") from None

    def _says(self, tools: list[Any] | None) -> str | None:
        """What the template makes of a small conversation; None: it does not take it."""
        try:
            return self._filled([{"role": "user", "content": "a"}], tools)
        except NotTaken:
            return None

    def _rendered(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> str:
        return self._filled(self._broken(list(messages)), self._broken(list(tools)) or None)

    def _filled(self, messages: list[Any], tools: list[Any] | None) -> str:
        try:
            return str(self._template(messages=messages, tools=tools).prompt)
        except Exception as fault:  # a template is a program that came with the model
            raise NotTaken("The model's chat template does not take these messages.") from fault

    def _broken(self, value: Any) -> Any:
        """The same, with no marker in any text of it."""
        match value:
            case str():
                return self._breaker.broken(value.replace(_GAP, ""))
            case list():
                return [self._broken(one) for one in value]
            case Mapping():
                return {self._broken(name): self._broken(one) for name, one in value.items()}
        return value

    def _marker(self, token: int) -> str:
        return self._piece(token, shows_control=True).decode("utf-8", "replace") if token >= 0 else ""

    def _piece(self, token: int, shows_control: bool) -> bytes:
        room = ctypes.create_string_buffer(_LONGEST_PIECE_BYTES)
        count = llama_cpp.llama_token_to_piece(self.vocab, token, room, len(room), 0, shows_control)
        return room.raw[: max(count, 0)]
