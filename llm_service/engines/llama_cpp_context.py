"""llama.cpp's context behind the batcher: one memory with a stretch for each slot, filled a batch at a time.

All calls belong to one thread, but for `break_off`. It works on a CPU only: a GPU finishes the step that it has begun.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp

from llm_service.core.batching import BatchParams, Run
from llm_service.engines.llama_cpp_batch import Outcome
from llm_service.engines.llama_cpp_model import Model

_OUTCOMES = {0: Outcome.DONE, 1: Outcome.NO_ROOM, 2: Outcome.BROKEN_OFF}  # by what llama_decode returns

# llama.cpp asks between the operations of a step whether to go on, hundreds of times. A callback in Python would wait
# each time for its turn among our threads; the C library's own `strlen` does not, and is true for a text that is not
# empty. Both references must live as long as the context: C keeps the pointers.
_IS_SET = ctypes.cast(ctypes.CDLL(None).strlen, llama_cpp.ggml_abort_callback)


class LlamaContext:
    """A memory for `slots` replies of `slot_tokens` each; raises ValueError when it cannot be had."""

    def __init__(self, model: Model, params: BatchParams, threads: int) -> None:
        self._model = model
        self._flag = ctypes.create_string_buffer(2)
        chosen = llama_cpp.llama_context_default_params()
        chosen.n_ctx = params.slots * params.slot_tokens  # of all slots together
        chosen.n_seq_max = params.slots
        chosen.n_batch = chosen.n_ubatch = params.batch_tokens
        chosen.n_threads = chosen.n_threads_batch = threads  # else prompts are read with every core of the machine
        chosen.kv_unified = False
        chosen.abort_callback = _IS_SET
        chosen.abort_callback_data = ctypes.addressof(self._flag)
        self.handle = llama_cpp.llama_init_from_model(model.handle, chosen)
        if not self.handle:
            raise ValueError("llama.cpp cannot make a context of this size")
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._batch = _Batch(params.batch_tokens)

    def close(self) -> None:
        """Give everything back; to be called last."""
        self._batch.free()
        llama_cpp.llama_free(self.handle)

    def cut(self, slot: int, kept: int) -> bool:
        """Keep only the slot's first tokens; False: that cannot be done, and the slot is empty now."""
        if llama_cpp.llama_memory_seq_rm(self._memory, slot, kept, -1):
            return True
        llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)
        return False

    def allow(self) -> None:
        """The next step is not broken off by an older `break_off`."""
        self._flag[0] = b"\0"

    def break_off(self) -> None:
        """End the `decode` that runs, as soon as the device can."""
        self._flag[0] = b"\1"

    def decode(self, runs: Sequence[Run]) -> Outcome:
        """Put the tokens into the memory; raises RuntimeError when nothing can be done with it any more."""
        self._batch.fill(runs)
        status = llama_cpp.llama_decode(self.handle, self._batch.handle)  # other threads run meanwhile
        if status not in _OUTCOMES:
            raise RuntimeError(f"llama_decode returned {status}")
        return _OUTCOMES[status]

    def text(self, token: int) -> bytes:
        """What a token writes; nothing for a control token."""
        return self._model.text(token)

    def is_end(self, token: int) -> bool:
        """Whether the model ends its reply with this token."""
        return self._model.is_end(token)


class _Batch:
    """llama.cpp's batch, each of its arrays written in stretches."""

    def __init__(self, size: int) -> None:
        self.handle = llama_cpp.llama_batch_init(size, 0, 1)
        self._tokens = _array(self.handle.token, ctypes.c_int32, size)
        self._positions = _array(self.handle.pos, ctypes.c_int32, size)
        self._is_wanted = _array(self.handle.logits, ctypes.c_int8, size)
        for place in range(size):
            self.handle.n_seq_id[place] = 1

    def fill(self, runs: Sequence[Run]) -> None:
        """Hold these runs, one after the other."""
        end = 0
        for run in runs:
            begin, end = end, end + len(run.tokens)
            self._tokens[begin:end] = run.tokens
            self._positions[begin:end] = range(run.start, run.start + len(run.tokens))
            self._is_wanted[begin:end] = bytes(len(run.tokens))
            self._is_wanted[end - 1] = run.is_sampled
            for place in range(begin, end):
                self.handle.seq_id[place][0] = run.slot
        self.handle.n_tokens = end

    def free(self) -> None:
        """Give the arrays back."""
        llama_cpp.llama_batch_free(self.handle)


def _array(pointer: Any, kind: Any, size: int) -> Any:
    """The memory behind a pointer, as an array that takes slices."""
    return ctypes.cast(pointer, ctypes.POINTER(kind * size)).contents
