"""A BERT sentence encoder as an ONNX graph over the weights that lie in a safetensors file.

The graph is made in memory and holds no weights: it names where each one lies in the file, so that the runtime maps
them from there. Speaks of the architecture alone, never of tokens or of pooling.
Inputs `input_ids` and `attention_mask` (batch, tokens); output `last_hidden_state` (batch, tokens, width).
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from llm_service.engines.embedding_folder import CONFIG, WEIGHTS, BadModel

_HEADER_LIMIT_BYTES = 16 * 1024 * 1024
_OPSET = 20  # the first with Gelu
_IR_VERSION = 9  # the one of that opset
_BLIND = -1e9  # added to the score of what is only padding


@dataclass(frozen=True, slots=True)
class Shape:
    """The figures of one encoder."""

    layers: int
    heads: int
    width: int
    positions: int
    epsilon: float


def graph_bytes(folder: Path) -> bytes:
    """The model for the folder's files; raises BadModel, OSError."""
    config = read_config(folder)
    weights = _Weights(*_read_header(folder / WEIGHTS))
    graph = _Graph(weights)
    _encode(graph, _shape(config))
    return bytes(graph.model().SerializeToString())


def read_config(folder: Path) -> Mapping[str, Any]:
    """What `config.json` says; raises BadModel, OSError."""
    try:
        found = json.loads((folder / CONFIG).read_bytes())
    except ValueError:
        raise BadModel(f"{CONFIG} is not JSON") from None
    if not isinstance(found, dict) or found.get("model_type") != "bert":
        raise BadModel(f"{CONFIG} names no BERT")
    return found


def _shape(config: Mapping[str, Any]) -> Shape:
    if (config.get("hidden_act"), config.get("position_embedding_type", "absolute")) != ("gelu", "absolute"):
        raise BadModel("it is no BERT of the usual form")
    try:
        return Shape(
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            width=int(config["hidden_size"]),
            positions=int(config["max_position_embeddings"]),
            epsilon=float(config["layer_norm_eps"]),
        )
    except (KeyError, TypeError, ValueError):
        raise BadModel(f"{CONFIG} is not complete") from None


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """What the file holds, and where its data begins."""
    try:
        with path.open("rb") as file:
            length_bytes = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length_bytes) if length_bytes <= _HEADER_LIMIT_BYTES else b"")
        tensors = {name: one for name, one in header.items() if name != "__metadata__"}
        end_bytes = max(int(one["data_offsets"][1]) for one in tensors.values())
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise BadModel(f"{WEIGHTS} is no safetensors file") from None
    if path.stat().st_size < 8 + length_bytes + end_bytes:
        raise BadModel(f"{WEIGHTS} is cut short")
    return tensors, 8 + length_bytes


class _Weights:
    """Where each weight lies."""

    def __init__(self, tensors: Mapping[str, Any], begin_bytes: int) -> None:
        self._tensors = tensors
        self._begin_bytes = begin_bytes
        self._prefix = "bert." if "bert.embeddings.word_embeddings.weight" in tensors else ""

    def tensor(self, name: str) -> TensorProto:
        """The weight as a tensor whose data is elsewhere."""
        found = self._tensors.get(self._prefix + name)
        if found is None or found["dtype"] != "F32":
            raise BadModel(f"{WEIGHTS} has no {name} of 32-bit floats")
        begin, end = found["data_offsets"]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=found["shape"])
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": WEIGHTS, "offset": str(self._begin_bytes + begin), "length": str(end - begin)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=value)
        return tensor


class _Graph:
    """Nodes and constants as they are added; each node's output is named by its number."""

    def __init__(self, weights: _Weights) -> None:
        self._weights = weights
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """One node; the name of what it makes."""
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, name: str) -> str:
        """A weight of the file."""
        self._constants.setdefault(name, self._weights.tensor(name))
        return name

    def whole(self, *numbers: int) -> str:
        """A list of whole numbers."""
        name = f"whole_{'_'.join(map(str, numbers))}"
        self._constants[name] = helper.make_tensor(name, TensorProto.INT64, [len(numbers)], numbers)
        return name

    def real(self, number: float) -> str:
        """A number."""
        name = f"real_{number}"
        self._constants[name] = helper.make_tensor(name, TensorProto.FLOAT, [], [number])
        return name

    def linear(self, x: str, name: str) -> str:
        """x · weightᵀ + bias, x of two dimensions."""
        return self.add("Gemm", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), transB=1)

    def normed(self, x: str, name: str, epsilon: float) -> str:
        """Layer normalisation over the last dimension."""
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    def model(self) -> ModelProto:
        """All of it."""
        graph = GraphProto(name="bert", node=self._nodes, initializer=self._constants.values())
        for name in ("input_ids", "attention_mask"):
            graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]))
        floats = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", "width"])
        graph.output.append(floats)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


def _encode(graph: _Graph, shape: Shape) -> None:
    sizes = graph.add("Shape", "input_ids")
    x = _embeddings(graph, shape, sizes)
    x = graph.add("Reshape", x, graph.whole(-1, shape.width))  # the rows of all texts
    blind = _blindness(graph)
    by_head = _joined(graph, sizes, shape.heads, shape.width // shape.heads)
    for layer in range(shape.layers):
        name = f"encoder.layer.{layer}"
        seen = graph.add("Reshape", _attention(graph, x, blind, by_head, shape, name), graph.whole(-1, shape.width))
        dense = graph.linear(seen, f"{name}.attention.output.dense")
        x = graph.normed(graph.add("Add", x, dense), f"{name}.attention.output.LayerNorm", shape.epsilon)
        wide = graph.add("Gelu", graph.linear(x, f"{name}.intermediate.dense"))
        dense = graph.linear(wide, f"{name}.output.dense")
        x = graph.normed(graph.add("Add", x, dense), f"{name}.output.LayerNorm", shape.epsilon)
    graph.add("Reshape", x, _joined(graph, sizes, shape.width), output="last_hidden_state")


def _joined(graph: _Graph, sizes: str, *numbers: int) -> str:
    """The shape (batch, tokens, *numbers)."""
    return graph.add("Concat", sizes, graph.whole(*numbers), axis=0)


def _embeddings(graph: _Graph, shape: Shape, sizes: str) -> str:
    """Words, places and the one kind of text, added and normalised: (batch, tokens, width)."""
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    tokens = graph.add("Gather", sizes, graph.whole(1))
    places = graph.add("Slice", graph.weight("embeddings.position_embeddings.weight"), graph.whole(0), tokens)
    kind = graph.add("Gather", graph.weight("embeddings.token_type_embeddings.weight"), graph.whole(0))
    both = graph.add("Add", graph.add("Add", words, places), kind)
    return graph.normed(both, "embeddings.LayerNorm", shape.epsilon)


def _blindness(graph: _Graph) -> str:
    """What is added to each score: nothing for a token, much for padding; (batch, 1, 1, tokens)."""
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    padding = graph.add("Sub", graph.real(1.0), mask)
    return graph.add("Unsqueeze", graph.add("Mul", padding, graph.real(_BLIND)), graph.whole(1, 2))


def _attention(graph: _Graph, x: str, blind: str, by_head: str, shape: Shape, name: str) -> str:
    """What each token takes from the others: (batch, tokens, heads, width of a head)."""

    def head(part: str, order: Sequence[int]) -> str:
        made = graph.linear(x, f"{name}.attention.self.{part}")
        return graph.add("Transpose", graph.add("Reshape", made, by_head), perm=order)

    query, key, value = head("query", (0, 2, 1, 3)), head("key", (0, 2, 3, 1)), head("value", (0, 2, 1, 3))
    scale = graph.real(1 / math.sqrt(shape.width // shape.heads))
    scores = graph.add("Add", graph.add("Mul", graph.add("MatMul", query, key), scale), blind)
    seen = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    return graph.add("Transpose", seen, perm=(0, 2, 1, 3))
