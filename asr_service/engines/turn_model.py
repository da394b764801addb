"""A learnt turn detector from an ONNX file: how likely the speaker is done, by the sound of the last eight seconds.

The file has the form of Smart Turn version 3, which hears melody and pace in 23 languages: its input `input_features`
is the log-mel spectrogram of Whisper, 80 bands by 800 frames of 10 ms, of a window that ends now, with silence in front
where there was less sound, brought to mean 0 and variance 1; its output is one probability. Nothing is downloaded here.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from faster_whisper.feature_extractor import FeatureExtractor

SAMPLE_RATE = 16_000  # Hz
WINDOW_S = 8
BANDS, FRAMES = 80, 800
INPUT = "input_features"
LEAST_VARIANCE = 1e-7  # of the scaling: digital silence has none
FULL_SCALE = 32_768

Numbers = npt.NDArray[np.float32]


class TurnModel:
    """The loaded model, for any number of streams and threads."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._features: Any = FeatureExtractor(feature_size=BANDS, chunk_length=WINDOW_S)

    @classmethod
    def load(cls, path: Path) -> "TurnModel":
        """FileNotFoundError where there is no file; ValueError for one that is no such model; both name it."""
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; it is to be the ONNX file of a turn detector")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # what fails is raised
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as failure:  # the library has errors of its own
            raise ValueError(f"{path} cannot be loaded: {failure}") from failure
        model = cls(session)
        try:
            probability = model.probability(b"")
        except Exception as failure:  # the library's, or an output that is no number
            raise ValueError(
                f"{path} is no turn detector: {INPUT} of 1 x {BANDS} x {FRAMES} gives no probability"
            ) from failure
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"{path} is no turn detector: it answers {probability}, which is no probability")
        return model

    def probability(self, pcm: bytes) -> float:
        """How likely the speaker is done at the end of `pcm` (PCM16, 16 000 Hz); what is older than 8 s is not heard.

        Blocks for some ten milliseconds; any thread may call.
        """
        answer = self._session.run(None, {INPUT: self._spectrogram(pcm)})[0]
        return float(np.asarray(answer).reshape(()))

    def _spectrogram(self, pcm: bytes) -> Numbers:
        heard = np.frombuffer(pcm, "<i2").astype(np.float32)[-WINDOW_S * SAMPLE_RATE :] / FULL_SCALE
        window = np.pad(heard, (WINDOW_S * SAMPLE_RATE - len(heard), 0))
        scaled = (window - window.mean()) / np.sqrt(window.var() + LEAST_VARIANCE)
        found: Numbers = self._features(scaled.astype(np.float32), padding=0)[None, :, :FRAMES].astype(np.float32)
        return found
