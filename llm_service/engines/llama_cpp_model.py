"""A GGUF model as llama.cpp has loaded it: its chat template, its tokens and their texts. Never its context.

What people wrote never becomes a control token: each marker in it is cut in two before the template is applied, and the
halves are tokenised apart. Only reads what is fixed once the model is loaded, so any thread may ask.
"""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from llm_service.core.markers import MarkerBreaker
from llm_service.engines.gguf import control_markers
from llm_service.engines.llama_cpp_batch import NotTaken

_ERROR = 4  # of llama.cpp's levels of logging
_GAP = "\ufdd0"  # never a character of a text, says Unicode
_LONGEST_PIECE_BYTES = 512
_CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)


def _tell_errors(level: int, text: bytes, _: object) -> None:
    if level == _ERROR:
        sys.stderr.write(text.decode("utf-8", "replace"))


_LOG = llama_cpp.llama_log_callback(_tell_errors)  # C keeps the pointer: this reference must live as long


class Model:
    """The weights; raises ValueError when the file cannot be loaded."""

    def __init__(self, path: Path, gpu_layers: int) -> None:
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
        template = llama_cpp.llama_model_chat_template(self.handle, None)
        self._template = Jinja2ChatFormatter(
            template.decode() if template else _CHATML,
            eos_token=self._marker(llama_cpp.llama_vocab_eos(self.vocab)),
            bos_token=self._marker(self._bos),
        )

    @property
    def trained_tokens(self) -> int:
        """The longest context that the model was made for."""
        return int(llama_cpp.llama_model_n_ctx_train(self.handle))

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens of a conversation up to where the reply begins; raises NotTaken."""
        tokens = [token for piece in self._rendered(messages).split(_GAP) for token in self.tokens(piece)]
        if self._begins_with_bos and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        return tokens

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        """A conversation as the chat template writes it; raises NotTaken."""
        return self._rendered(messages).replace(_GAP, "")

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text; markers in it become control tokens."""
        encoded = text.encode("utf-8", "replace")
        count = -len(encoded) - 1  # none is shorter than a byte; below 0: how much room it wants
        while count < 0:
            room = (llama_cpp.llama_token * -count)()
            count = llama_cpp.llama_tokenize(self.vocab, encoded, len(encoded), room, len(room), False, True)
        return list(room[:count])

    def text(self, token: int) -> bytes:
        """What a token writes; nothing for a control token."""
        return self._piece(token, shows_control=False)

    def is_end(self, token: int) -> bool:
        """Whether the model ends its reply with this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def _rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        broken = [{**message, "content": self._broken(message["content"])} for message in messages]
        try:
            return str(self._template(messages=broken).prompt)  # type: ignore[arg-type,unused-ignore]
        except Exception as fault:  # a template is a program that came with the model
            raise NotTaken("The model's chat template does not take these messages.") from fault

    def _broken(self, text: str) -> str:
        return self._breaker.broken(text.replace(_GAP, ""))

    def _marker(self, token: int) -> str:
        return self._piece(token, shows_control=True).decode("utf-8", "replace") if token >= 0 else ""

    def _piece(self, token: int, shows_control: bool) -> bytes:
        room = ctypes.create_string_buffer(_LONGEST_PIECE_BYTES)
        count = llama_cpp.llama_token_to_piece(self.vocab, token, room, len(room), 0, shows_control)
        return room.raw[: max(count, 0)]
