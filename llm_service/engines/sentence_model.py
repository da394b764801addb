"""A sentence model on this processor: tokens by `tokenizers`, one pass by onnxruntime, their mean, length 1.

Reads a folder with `tokenizer.json` and either `model.onnx` or a BERT's `model.safetensors` and `config.json`, as such
models are given out. Any thread may call it, several at once too; a call works on its caller's thread alone.
A text longer than the model takes is refused, never cut: the end of it would be lost in silence.
"""

import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from llm_service.core.embedding_answer import Embedded
from llm_service.core.embedding_steps import steps
from llm_service.engines.bert import graph_bytes
from llm_service.engines.embedding_folder import CONFIG, GRAPH, POOLING, TOKENIZER, BadModel, TooLong

_STEP_TEXTS = 32
_STEP_TOKENS = 1024  # about 0.2 s of work
_DEFAULT_LIMIT = 512  # tokens, where no file tells
_FOLDER = "session.model_external_initializers_file_folder_path"

Vectors = npt.NDArray[np.float32]


class SentenceModel:
    """A loaded model."""

    def __init__(self, folder: Path) -> None:
        """Loads for some tenths of a second; raises BadModel, OSError."""
        _check_pooling(folder)
        self._tokenizer = _tokenizer(folder)
        self._session = _session(folder)
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._limit = _tokens_limit(folder)

    def prepare(self, texts: Sequence[str]) -> "Job":
        """Read the texts as tokens; raises TooLong."""
        encoded = [self._tokenizer.encode(text).ids for text in texts]
        for index, ids in enumerate(encoded):
            if len(ids) > self._limit:
                raise TooLong(index, len(ids), self._limit)
        return Job(self, encoded)

    def vectors(self, encoded: Sequence[Sequence[int]]) -> Vectors:
        """Unit vectors, shape (texts, width)."""
        shape = (len(encoded), max(map(len, encoded)))
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        summed: Vectors = np.einsum("bth,bt->bh", hidden, mask.astype(np.float32))  # a mean but for its length
        lengths = np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)
        unit: Vectors = (summed / lengths).astype(np.float32)
        return unit


class Job:
    """The texts of one request on their way; perform every step, in any order, then ask for the result."""

    def __init__(self, model: SentenceModel, encoded: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._encoded = encoded
        self._vectors = [array("f")] * len(encoded)
        self.steps = steps([len(ids) for ids in encoded], _STEP_TEXTS, _STEP_TOKENS)

    def perform(self, step: Sequence[int]) -> None:
        """Make the vectors of one step."""
        found = self._model.vectors([self._encoded[index] for index in step])
        for index, vector in zip(step, found, strict=True):
            self._vectors[index] = array("f", vector.tobytes())

    def result(self) -> Embedded:
        """All vectors, in the order of the texts."""
        return Embedded(tuple(self._vectors), sum(map(len, self._encoded)))


def _tokenizer(folder: Path) -> Any:
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as failure:  # the library raises nothing narrower
        raise BadModel(f"{TOKENIZER} cannot be read: {failure}") from None
    tokenizer.no_truncation()  # files carry their maker's own limits
    tokenizer.no_padding()
    return tokenizer


def _session(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised
    options.enable_cpu_mem_arena = False  # a long text's memory is given back
    path = folder / GRAPH
    try:
        if not path.is_file():
            options.add_session_config_entry(_FOLDER, str(folder))
        graph = str(path) if path.is_file() else graph_bytes(folder)
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except BadModel:
        raise
    except Exception as failure:  # the library has errors of its own
        raise BadModel(f"the model cannot be loaded: {failure}") from None
    inputs = {one.name for one in session.get_inputs()}
    if not {"input_ids", "attention_mask"} <= inputs <= {"input_ids", "attention_mask", "token_type_ids"}:
        raise BadModel(f"it is no sentence model: its inputs are {', '.join(sorted(inputs))}")
    if len(session.get_outputs()[0].shape) != 3:
        raise BadModel("it is no sentence model: its first output is not a vector for each token")
    return session


def _check_pooling(folder: Path) -> None:
    """A model that was made for another summary than the mean would give poor vectors."""
    if _read(folder / POOLING).get("pooling_mode_mean_tokens", True) is not True:
        raise BadModel("it wants another pooling than the mean of its tokens")


def _tokens_limit(folder: Path) -> int:
    config = _read(folder / CONFIG)
    places = config.get("max_position_embeddings", _DEFAULT_LIMIT)
    taken = 2 if "roberta" in str(config.get("model_type")) else 0  # there, counting begins after the padding's place
    return int(places) - taken


def _read(path: Path) -> dict[str, Any]:
    """The JSON object of a file that need not be there."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        raise BadModel(f"{path.name} is not JSON") from None
    return found if isinstance(found, dict) else {}
