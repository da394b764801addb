"""F5-TTS: speaks like a recording, in English and Chinese, a sentence at a time (package `f5-tts`, hosted.py).

Its code is MIT; the weights that its authors publish are CC-BY-NC, so they are not for commercial use: the log says so
whenever it starts. It has no voice of its own. A recording goes into each sentence, with what is said in it; together
with what is to be said they must stay below some 22 s, so longer recordings are refused and longer texts are cut. A
text of a few letters is made slowly, whatever speed is asked for: there its length is told outright.
"""

import logging
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tts_service.engines.adapters import OneModel, device, existing, interpreter, library, pcm, stoppable
from tts_service.engines.base import Capabilities, Reference, Speaker, SynthesisRequest
from tts_service.engines.packed_voice import as_floats, packed, unpacked

if TYPE_CHECKING:
    from tts_service.engines.hosted import HostedEngine
    from tts_service.settings import TtsSettings

NAME: Final = "f5"
LANGUAGES: Final = ("en", "zh")
MAX_CHARS: Final = 150
PACKED: Final = "1"  # how a recording and its text are packed
LONGEST_REFERENCE_S: Final = 15.0
LONGEST_WHOLE_S: Final = 22.0
HOP_SAMPLES: Final = 256
FEW_BYTES, FEW_SPEED = 10, 0.3  # the package makes a text of fewer bytes at this speed
log = logging.getLogger(__name__)


def load(settings: "TtsSettings") -> "HostedEngine":
    """The engine, not started. Raises EngineFailed when a setting is wrong."""
    from tts_service.engines.hosted import HostedEngine, Limits

    folder = existing(settings.f5_model, "TTS_F5_MODEL", "a folder with a checkpoint of F5-TTS and a folder vocos")
    log.warning("the weights of F5-TTS that its authors publish are CC-BY-NC: not for commercial use")
    options = {
        "folder": folder,
        "kind": settings.f5_kind,
        "steps": str(settings.f5_steps),
        "device": settings.engine_device,
    }
    limits = Limits(first_block_s=180.0)  # a whole sentence, on a CPU
    return HostedEngine(NAME, interpreter(settings), __name__, options, limits)


def open(options: Mapping[str, str]) -> "F5Engine":  # noqa: A001 (the name that every adapter has)
    """Runs in the child."""
    return F5Engine(options)


class F5Engine(OneModel["F5Slot"]):
    """The model of one process."""

    name = NAME

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self.sample_rate = 0
        self.capabilities = Capabilities(
            LANGUAGES, (), MAX_CHARS, "whole", can_clone=True, has_speed=True, version=PACKED
        )

    def start(self) -> None:
        """Raises EngineFailed."""
        folder = Path(self._options["folder"])
        checkpoints = sorted(path for path in folder.glob("*") if path.suffix in (".safetensors", ".pt"))
        if len(checkpoints) != 1 or not (folder / "vocos" / "config.yaml").is_file():
            raise EngineFailed("The folder of TTS_F5_MODEL needs one checkpoint, and a folder vocos.", service="tts")
        package = library("f5_tts.api", "F5-TTS")
        vocabulary = folder / "vocab.txt"
        model = package.F5TTS(
            model=self._options["kind"],
            ckpt_file=str(checkpoints[0]),
            vocab_file=str(vocabulary) if vocabulary.is_file() else "",
            vocoder_local_path=str(folder / "vocos"),
            device=device(self._options["device"]),
        )
        self.sample_rate = int(model.target_sample_rate)
        self._slot = F5Slot(model, library("f5_tts.infer.utils_infer", "F5-TTS"), int(self._options["steps"]))


class F5Slot:
    """Makes one request at a time."""

    def __init__(self, model: Any, calls: Any, steps: int) -> None:
        self._model = model
        self._calls = calls  # the package's functions
        self._steps = steps

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """A block for each piece of the text; a stop comes between two of the model's steps."""
        if stop.is_stopped():
            return
        if request.speaker is None:
            raise Unsupported(
                "F5-TTS has no voice: a voice of one's own must be set as default.", service="tts", param="voice"
            )
        voice = Voice(request.speaker)
        for text in self._calls.chunk_text(request.text, max_chars=voice.most_bytes(request.speed)):
            sound = self._made(voice, text, request.speed, stop)
            if sound is None or stop.is_stopped():
                return
            yield pcm(sound)

    def prepare(self, reference: Reference) -> bytes:
        """The recording and what is said in it. Raises Unsupported."""
        if not reference.transcript.strip():
            raise Unsupported("F5-TTS must know what is said in the recording.", service="tts", param="voice")
        recording = reference.path.read_bytes()
        sound, rate = as_floats(recording)
        if len(sound) > LONGEST_REFERENCE_S * rate:
            most_s = round(LONGEST_REFERENCE_S)
            raise Unsupported(f"F5-TTS takes recordings of at most {most_s} s.", service="tts", param="voice")
        return packed(recording, reference.transcript)

    def close(self) -> None:
        """The model goes with its process."""

    def _made(self, voice: "Voice", text: str, speed: float, stop: StopToken) -> Any:
        """The samples of one text; None when it was stopped."""
        import torch

        model = self._model
        with stoppable(model.ema_model.transformer, stop):
            sound, _, _ = next(
                self._calls.infer_batch_process(
                    (torch.from_numpy(voice.sound[None]), voice.rate),
                    voice.said,
                    [text],
                    model.ema_model,
                    model.vocoder,
                    mel_spec_type=model.mel_spec_type,
                    progress=None,
                    nfe_step=self._steps,
                    speed=speed,
                    fix_duration=voice.fixed_s(text, speed, int(model.target_sample_rate)),
                    device=model.device,
                )
            )
            return sound
        return None


class Voice:
    """A recording as F5-TTS takes it; what is said in it ends as a sentence does."""

    def __init__(self, speaker: Speaker) -> None:
        recording, transcript = unpacked(speaker.prepared)
        self.sound, self.rate = as_floats(recording)
        said = transcript.strip()
        self.said = said if said.endswith("。") else f"{said.removesuffix('.')}. "

    @property
    def seconds(self) -> float:
        return len(self.sound) / self.rate

    def most_bytes(self, speed: float) -> int:
        """How long a text may be for both to stay below the limit, if it is spoken as the recording is."""
        per_second = len(self.said.encode()) / self.seconds
        return max(FEW_BYTES, int(per_second * (LONGEST_WHOLE_S - self.seconds) * speed))

    def fixed_s(self, text: str, speed: float, rate: int) -> float | None:
        """How long the recording and a text of a few letters are together; None when the package finds out itself."""
        count = len(text.encode())
        if count >= FEW_BYTES or speed == 1.0:
            return None
        frames = int(self.seconds * rate) // HOP_SAMPLES
        more = int(frames / len(self.said.encode()) * count / (FEW_SPEED * speed))
        return (frames + more + 0.5) * HOP_SAMPLES / rate
