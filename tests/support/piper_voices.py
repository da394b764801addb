"""Tiny stand-ins for Piper's voices, which its real code loads: a tone for each phoneme instead of a neural network."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PHONEME_SAMPLES = 1_024
LOUDNESS = 0.3
TONES = 256
HERTZ = 110, 6  # of the first tone, and from each to the next


def write(folder: Path, name: str, rate: int = 22_050, espeak: str = "en-us", speakers: tuple[str, ...] = ()) -> Path:
    """A voice `name`; its speakers differ by the height of their tones."""
    path = folder / f"{name}.onnx"
    onnx.save(model(rate, has_speakers=bool(speakers)), path)
    description = {
        "audio": {"sample_rate": rate},
        "espeak": {"voice": espeak},
        "phoneme_type": "espeak",
        "num_symbols": TONES,
        "num_speakers": max(1, len(speakers)),
        "speaker_id_map": {speaker: number for number, speaker in enumerate(speakers)},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": import_module("piper.phoneme_ids").DEFAULT_PHONEME_ID_MAP,
    }
    path.with_name(f"{path.name}.json").write_text(json.dumps(description))
    return path


def model(rate: int, *, has_speakers: bool) -> onnx.ModelProto:
    """ids [1, n] → sound [1, 1, 1, 1024 n · length_scale], by slower or faster steps through the tones of the ids."""
    seconds = np.arange(PHONEME_SAMPLES) / rate
    heights = HERTZ[0] + HERTZ[1] * np.arange(TONES)[:, None]
    tones = (LOUDNESS * np.sin(2 * np.pi * heights * seconds)).astype(np.float32)
    tones[0] = 0
    node = helper.make_node
    nodes = [
        node("Add", ["input", "sid"], ["ids"]) if has_speakers else node("Identity", ["input"], ["ids"]),
        node("Gather", ["tones", "ids"], ["said"]),
        node("Reshape", ["said", "line"], ["samples"]),
        node("Size", ["samples"], ["count"]),
        node("Cast", ["count"], ["end"], to=TensorProto.FLOAT),
        node("Gather", ["scales", "second"], ["scale"]),
        node("Div", ["unit", "scale"], ["step"]),
        node("Range", ["start", "end", "step"], ["places"]),
        node("Cast", ["places"], ["indices"], to=TensorProto.INT64),
        node("Gather", ["samples", "indices"], ["sound"]),
        node("Cast", ["input_lengths"], ["length"], to=TensorProto.FLOAT),
        node("Mul", ["length", "start"], ["nothing"]),  # an input that nothing uses would be refused
        node("Add", ["sound", "nothing"], ["sum"]),
        node("Reshape", ["sum", "shape"], ["output"]),
    ]
    constants = {
        "tones": tones,
        "line": np.array([-1]),
        "second": np.array(1),
        "unit": np.array(1, np.float32),
        "start": np.array(0, np.float32),
        "shape": np.array([1, 1, 1, -1]),
    }
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "m"])]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "voice", inputs(has_speakers=has_speakers), outputs, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def inputs(*, has_speakers: bool) -> list[onnx.ValueInfoProto]:
    """What Piper gives to a voice."""
    made = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, "n"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if has_speakers:
        made.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
    return made
