"""Silero's voice activity detector, from the file that faster-whisper's wheel carries: how likely a frame is speech.

One session serves every stream; a stream keeps two kilobytes. The model hears 512 samples at a time (32 ms) with the 64
before them, so a frame of 20 ms may bring no new answer; the last one holds then. A call takes a tenth of a
millisecond at most and blocks. The same frames give the same answers, whoever else asks in between.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from faster_whisper.utils import get_assets_path

HOP_SAMPLES = 512
CONTEXT_SAMPLES = 64
STATE_SHAPE = (1, 1, 128)
FULL_SCALE = 32_768
ASSET = "silero_vad_v6.onnx"
INPUTS = ("input", "h", "c")

Numbers = npt.NDArray[np.float32]


class Silero:
    """The loaded detector, for any number of streams and threads."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def load(cls, path: Path | None = None) -> "Silero":
        """From `path`, or else the wheel's own file. FileNotFoundError or ValueError names the file at fault."""
        path = path or Path(get_assets_path()) / ASSET
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; it is Silero's voice activity detector")
        try:
            session = onnxruntime.InferenceSession(str(path), lonely(), providers=["CPUExecutionProvider"])
        except Exception as failure:  # the library has errors of its own
            raise ValueError(f"{path} cannot be loaded: {failure}") from failure
        if tuple(one.name for one in session.get_inputs()) != INPUTS:
            raise ValueError(f"{path} is another model: its inputs are not {', '.join(INPUTS)}")
        return cls(session)

    def open(self) -> "SileroStream":
        """A detector for one more stream."""
        return SileroStream(self._session)


class SileroStream:
    """One stream; it has one caller at a time."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._heard = np.zeros(CONTEXT_SAMPLES, np.float32)  # the context, and what is no whole hop yet
        self._h = self._c = np.zeros(STATE_SHAPE, np.float32)
        self._probability = 0.0

    def probability(self, frame: bytes) -> float:
        """Hear a frame (PCM16, 16 000 Hz, of any length); how likely the latest hop is speech, 0 before the first."""
        samples = np.frombuffer(frame, "<i2").astype(np.float32) / FULL_SCALE
        self._heard = np.concatenate([self._heard, samples])
        while len(self._heard) >= CONTEXT_SAMPLES + HOP_SAMPLES:
            window: Numbers = self._heard[None, : CONTEXT_SAMPLES + HOP_SAMPLES]
            found, self._h, self._c = self._session.run(None, {"input": window, "h": self._h, "c": self._c})
            self._probability = min(1.0, max(0.0, float(np.ravel(found)[0])))
            self._heard = self._heard[HOP_SAMPLES:]
        return self._probability


def lonely() -> onnxruntime.SessionOptions:
    """A session that works on its caller's thread alone and keeps no memory for later."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # what fails is raised
    return options
