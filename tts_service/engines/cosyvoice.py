"""CosyVoice 1, 2 and 3, in processes and an environment of their own (hosted.py; `.venv-cosyvoice`).

CosyVoice 1 may have voices of its own. 2 and 3 have none as they are published: they speak in a voice of one's own
alone, which is thus to be the default voice. A request streams; its speed is left to the service, for the model keeps
to it only when it does not stream. Sentences are given one by one: each block of 2 and 3 costs a pass over all before.
"""

import tempfile
import wave
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tts_service.engines.adapters import OneModel, pcm
from tts_service.engines.base import Capabilities, Reference, SynthesisRequest, Voice
from tts_service.engines.recent import Recent

if TYPE_CHECKING:
    from tts_service.engines.cosyvoice_model import Loaded
    from tts_service.engines.hosted import HostedEngine
    from tts_service.settings import TtsSettings

NAME: Final = "cosyvoice"
MAX_CHARS: Final = 150
SPEAKERS_UNPACKED: Final = 4
WARM_UP: Final = "一。"
_ROOT: Final = Path(__file__).resolve().parents[2]


def load(settings: "TtsSettings") -> "HostedEngine":
    """The engine, not started. Raises EngineFailed when no model is named."""
    from tts_service.engines.hosted import HostedEngine

    if settings.cosyvoice_model is None:
        raise EngineFailed("TTS_COSYVOICE_MODEL must name the folder of a CosyVoice model.", service="tts")
    options = {
        "model": str(settings.cosyvoice_model.absolute()),
        "fp16": str(int(settings.cosyvoice_fp16)),
        "trt": str(int(settings.cosyvoice_trt)),
        "threads": str(settings.cosyvoice_threads),
    }
    if settings.cosyvoice_source:
        options["source"] = str(settings.cosyvoice_source.absolute())
    threads = {"OMP_NUM_THREADS": str(settings.cosyvoice_threads)}
    return HostedEngine(NAME, _ROOT / settings.cosyvoice_python, __name__, options, environment=threads)


def open(options: Mapping[str, str]) -> "CosyVoiceEngine":  # noqa: A001 (the name that every adapter has)
    """Runs in the child."""
    return CosyVoiceEngine(options)


class CosyVoiceEngine(OneModel["CosyVoiceSlot"]):
    """The model of one process."""

    name = NAME

    def __init__(self, options: Mapping[str, str]) -> None:
        self.sample_rate = 0
        self.capabilities = Capabilities((), (), MAX_CHARS, "chunk")
        self._options = options

    def start(self) -> None:
        import sys

        import torch

        from tts_service.engines import cosyvoice_model, cosyvoice_source

        torch.set_num_threads(int(self._options.get("threads", "1")))
        folder = Path(self._options["model"])
        cosyvoice_model.kind_of(folder)  # before what takes long
        classes = cosyvoice_source.classes(Path(self._options.get("source", f"{sys.prefix}/source")))
        is_fp16, is_trt = (bool(int(self._options.get(name, "0"))) for name in ("fp16", "trt"))
        loaded = cosyvoice_model.load(classes, folder, fp16=is_fp16, trt=is_trt)
        self.sample_rate = loaded.cosy.sample_rate
        self._slot = CosyVoiceSlot(loaded)
        self.capabilities = abilities(loaded, self._slot.voices)

    def open_slot(self) -> "CosyVoiceSlot":
        slot = super().open_slot()
        slot.warm_up()
        return slot


def abilities(loaded: "Loaded", voices: tuple[str, ...]) -> Capabilities:
    """What a model can do."""
    from tts_service.engines.cosyvoice_model import LANGUAGES

    return Capabilities(
        languages=LANGUAGES[loaded.kind],
        voices=tuple(Voice(name, "") for name in voices),
        max_chars=MAX_CHARS,
        streaming="chunk",
        can_clone=True,
        has_speed=False,
        has_instruction=loaded.has_instruction,
        reads_numbers=bool(getattr(loaded.cosy.frontend, "text_frontend", "wetext")),
        version=loaded.version,
    )


class CosyVoiceSlot:
    """Makes one request at a time of the one model."""

    def __init__(self, loaded: "Loaded") -> None:
        from tts_service.engines.cosyvoice_guard import Guard

        self._loaded = loaded
        self._cosy: Any = loaded.cosy
        self._guard = Guard(self._cosy.model, self._cosy.sample_rate)
        self._unpacked: Recent[bytes, dict[str, Any]] = Recent(SPEAKERS_UNPACKED)
        self.voices: tuple[str, ...] = tuple(self._cosy.list_available_spks())

    def warm_up(self) -> None:
        """Speak a word, in a voice made up if there is none, so that the first request finds all in its place."""
        from tts_service.engines.base import Speaker

        speaker = None
        if not self.voices:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "voice.wav"
                write_noise(path)
                speaker = Speaker("", self.prepare(Reference("", path, "")))
        for _ in self.synthesise(SynthesisRequest(WARM_UP, "zh", speaker=speaker), StopToken()):
            pass
        self._unpacked = Recent(SPEAKERS_UNPACKED)

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """Blocks of half a second to two, as the model makes them."""
        from tts_service.engines.cosyvoice_speaker import SCRATCH, plain

        text = plain(request.text).strip()
        if not text or stop.is_stopped():
            return
        speak = self._speech(request, text)
        try:
            for sound in self._guard.run(partial(speak, stream=True), stop):
                yield pcm(sound)
        finally:
            self._cosy.frontend.spk2info.pop(SCRATCH, None)

    def prepare(self, reference: Reference) -> bytes:
        from tts_service.engines.cosyvoice_speaker import described, packed

        try:
            return packed(described(self._loaded, reference.path, reference.transcript))
        except EngineFailed:
            raise
        except Exception as failure:  # the classes raise anything at a file that they cannot read
            raise EngineFailed("CosyVoice cannot use this recording.", service="tts") from failure

    def close(self) -> None:
        """The model goes with its process."""

    def _speech(self, request: SynthesisRequest, text: str) -> "partial[Iterator[dict[str, Any]]]":
        """The call of the classes that speaks a request. Raises Unsupported, EngineFailed."""
        from tts_service.engines.cosyvoice_speaker import SCRATCH, instructed, unpacked

        cosy, stored = self._cosy, self._cosy.frontend.spk2info
        if request.speaker:
            prepared = request.speaker.prepared
            entry = self._unpacked.get(prepared) or self._unpacked.put(
                prepared, unpacked(prepared, cosy.frontend.device)
            )
        elif not self.voices:
            raise Unsupported(
                "This model has no voice: a voice of one's own must be set as default.", service="tts", param="voice"
            )
        else:
            entry = stored[request.voice or self.voices[0]]
        if "embedding" in entry:  # a voice of its own
            return self._speech_of_its_own(request, text)
        if request.instruction:
            if self._loaded.kind == 1:
                raise Unsupported("CosyVoice 1 takes instructions for its own voices alone.", service="tts")
            entry = instructed(entry, self._loaded, request.instruction)
        stored[SCRATCH] = dict(entry)
        return partial(cosy.inference_zero_shot, text, "", "", zero_shot_spk_id=SCRATCH)

    def _speech_of_its_own(self, request: SynthesisRequest, text: str) -> "partial[Iterator[dict[str, Any]]]":
        voice = request.voice or self.voices[0]
        if not request.instruction:
            return partial(self._cosy.inference_sft, text, voice)
        if self._loaded.kind > 1 or not self._loaded.has_instruction:
            raise Unsupported("This voice takes no instructions.", service="tts", param="instruction")
        from tts_service.engines.cosyvoice_speaker import plain

        return partial(self._cosy.inference_instruct, text, voice, plain(request.instruction))


def write_noise(path: Path, seconds: int = 4, rate: int = 16_000) -> None:
    """A recording of nobody."""
    import torch

    noise = torch.randn(1, seconds * rate, generator=torch.Generator().manual_seed(0)) / 10
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(pcm(noise))
