"""The turn detector: what it is shown, and the files that it refuses, on a model of a few numbers made here."""

from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import pytest
from onnx import TensorProto

from asr_service.engines.turn_model import TurnModel
from tests.support.speech import noise, silence, speech, tone

pytestmark = pytest.mark.contract

BANDS, FRAMES = 80, 800
RATE = 16_000


def write(path: Path, weights: np.ndarray, name: str = "input_features", *, squashed: bool = True) -> Path:
    """A model whose probability is the squashed sum of its input, weighted by band and frame."""
    make = onnx.helper
    shape = list(weights.shape)
    nodes = [
        make.make_node("Mul", [name, "weights"], ["weighted"]),
        make.make_node("ReduceSum", ["weighted"], ["sum"], keepdims=0),
        make.make_node("Sigmoid" if squashed else "Identity", ["sum"], ["answer"]),
        make.make_node("Reshape", ["answer", "form"], ["logits"]),
    ]
    graph = make.make_graph(
        nodes,
        "turn",
        [make.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape[1:]])],
        [make.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1])],
        [
            onnx.numpy_helper.from_array(weights.astype(np.float32), "weights"),
            onnx.numpy_helper.from_array(np.array([1, 1], np.int64), "form"),
        ],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def weights_of(first_frame: int, last_frame: int) -> np.ndarray:
    """The mean of those frames."""
    weights = np.zeros((1, BANDS, FRAMES))
    weights[..., first_frame:last_frame] = 1.0 / (BANDS * (last_frame - first_frame))
    return weights


@pytest.fixture(scope="module")
def end(tmp_path_factory: pytest.TempPathFactory) -> TurnModel:
    """Answers by how loud the last half second is beside the rest."""
    weights = weights_of(FRAMES - 50, FRAMES) - weights_of(0, FRAMES - 50)
    return TurnModel.load(write(tmp_path_factory.mktemp("turn") / "end.onnx", weights * 8))


def test_the_window_ends_with_the_sound_and_silence_fills_its_front(end: TurnModel) -> None:
    assert end.probability(tone(500)) > 0.8
    assert end.probability(tone(500) + silence(600)) < 0.5


def test_what_is_older_than_the_window_is_not_heard(end: TurnModel) -> None:
    recent = speech("can_you_hear_me") + silence(8_000)

    assert end.probability(noise(3_000) + recent[-16 * RATE :]) == end.probability(recent)


def test_the_same_sound_is_judged_the_same_at_any_loudness(end: TurnModel) -> None:
    sound = np.frombuffer(noise(8_000), "<i2")

    assert end.probability((sound // 4 * 4).tobytes()) == pytest.approx(
        end.probability((sound // 4).tobytes()), abs=1e-3
    )


def test_nothing_and_digital_silence_are_judged_alike(end: TurnModel) -> None:
    assert end.probability(b"") == end.probability(silence(8_000)) == end.probability(silence(9_000))


def test_the_spectrogram_is_whispers(tmp_path: Path) -> None:
    """A tone is loud in its own band alone; elsewhere is the floor, 80 dB below, and 40 dB are one."""
    weights = np.zeros((1, BANDS, FRAMES))
    weights[0, 70, 400] = 1.0
    far = TurnModel.load(write(tmp_path / "far.onnx", weights)).probability(tone(8_000))
    weights = np.zeros((1, BANDS, FRAMES))
    weights[0, 7, 400] = 1.0  # 300 Hz lies there
    near = TurnModel.load(write(tmp_path / "near.onnx", weights)).probability(tone(8_000))

    def logit(p: float) -> float:
        return float(np.log(p / (1 - p)))

    assert logit(near) - logit(far) == pytest.approx(2.0, abs=0.15)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"turn\.onnx"):
        TurnModel.load(tmp_path / "turn.onnx")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "turn.onnx"
    path.write_bytes(b"no model")

    with pytest.raises(ValueError, match=r"turn\.onnx cannot be loaded"):
        TurnModel.load(path)


@pytest.mark.parametrize(
    ("shape", "name", "squashed"),
    [
        ((1, BANDS, FRAMES), "audio", True),
        ((1, 128, FRAMES), "input_features", True),
        ((1, BANDS, 3_000), "input_features", True),
        ((1, BANDS, FRAMES), "input_features", False),
    ],
)
def test_another_model_is_refused_by_the_name_of_its_file(
    shape: tuple[int, ...], name: str, squashed: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / "odd.onnx", np.full(shape, 0.5), name, squashed=squashed)

    with pytest.raises(ValueError, match=r"odd\.onnx is no turn detector"):
        TurnModel.load(path)
