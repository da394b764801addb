"""FunASR's models, loaded from folders that were checked: sound to text, and text to text with punctuation.

The library is asked for its models alone, never for its `AutoModel`: that looks for folders on the network, keeps the
options of one call for the next, and prints. What is loaded is held against the model, tensor by tensor, since the
library fills what a file lacks with random numbers.

The library adds noise to sound that is never the same twice. Here the same faint noise is added wherever a stretch is,
so the same audio reads the same, and digital silence still looks like a quiet room. A model may be called by several
threads at a time: what a call changes is its caller's. Speech and texts are never logged or printed.
"""

import copy
import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from asr_service.engines.funasr_folder import SENSE_VOICE, ModelFolder
from asr_service.engines.sound import QUANTUM, Samples

CHUNK_SAMPLES = 9_600  # 600 ms: what the streaming model takes at a time
AHEAD_SAMPLES = 4_800  # of which it writes the last half only with the next
CHUNKS = {"chunk_size": [0, 10, 5], "encoder_chunk_look_back": 4, "decoder_chunk_look_back": 1}
SHORTEST_SAMPLES = 1_600  # nothing can be said in less than 100 ms
SOUND = 32  # of 32 768: what never gets louder is silence, -60 dB
NOISE = np.random.default_rng(0).normal(0, 1, CHUNK_SAMPLES).astype(np.float32) * QUANTUM

PACKAGES = {"torch": "torch==2.13.0", "funasr": "funasr==1.4.16", "kaldi_native_fbank": "kaldi-native-fbank"}
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "MODELSCOPE_OFFLINE")
STATES = ("state_dict", "model_state_dict", "model")  # under which trainers save what they trained


class TokenNotes:
    """The model's tokeniser, which notes the tokens that it is asked to write."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.tokens: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def ids2tokens(self, ids: Any) -> Any:
        found = self._tokenizer.ids2tokens(ids)
        self.tokens += found
        return found


class Model:
    """A loaded model. ValueError names the file that does not fit it."""

    def __init__(self, folder: ModelFolder, device: str) -> None:
        self.folder = folder
        check_pieces(folder.pieces)
        build = import_module("funasr.auto.auto_model").AutoModel.build_model
        asked = {"device": device, "ncpu": 1, "disable_log": True, "init_param": None, "output_dir": None}
        with quiet():
            try:
                self._module, self._options = build(**copy.deepcopy(folder.config) | asked)
            except Exception as failure:  # of several libraries, each with errors of its own
                raise ValueError(f"the FunASR model in {folder.path} cannot be built: {failure}") from failure
            fill(self._module, folder.weights)
        self._tokenizer = self._options.pop("tokenizer")

    def run(self, data: Samples | str, tokenizer: Any = None, **options: Any) -> dict[str, Any]:
        """What the library makes of one piece of data; nothing for nothing."""
        torch = import_module("torch")
        with torch.no_grad():
            found = self._module.inference(
                data_in=[data],
                key=["stretch"],
                **{**self._options, **options, "tokenizer": tokenizer or self._tokenizer},
            )
        results = found[0] if found else []  # some models tell how long it took beside it
        return dict(results[0]) if results else {}

    def notes(self) -> TokenNotes:
        return TokenNotes(self._tokenizer)


class StreamingModel(Model):
    """Paraformer that reads 600 ms at a time. A `memory` belongs to one stretch and is {} at its beginning."""

    def tokens(self, memory: dict[str, Any], samples: Samples, is_end: bool = False) -> list[str]:
        """What is new with the next CHUNK_SAMPLES; with those that are left when it ends."""
        notes = self.notes()
        self.run(noisy(samples), notes, cache=memory, is_final=is_end, **CHUNKS)
        return notes.tokens


class WindowModel(Model):
    """A model that reads a stretch whole: SenseVoice, or an offline Paraformer."""

    @property
    def detects(self) -> bool:
        """It finds out the language, and writes punctuation; its text is the library's, tags in front."""
        return self.folder.model == SENSE_VOICE

    def text(self, samples: Samples, language: str) -> str:
        """What is said, in one of its languages or, with "", in whichever is spoken."""
        if self.detects:
            found: str = self.run(noisy(samples), language=language or "auto", use_itn=True).get("text", "")
            return found
        notes = self.notes()
        result = self.run(noisy(samples), notes)
        return str(result.get("text", "")) if self.folder.pieces else written(notes.tokens)


class PunctuationModel(Model):
    """CT-Transformer."""

    def punctuated(self, text: str) -> str:
        """The text with punctuation, which always ends it."""
        if text.startswith(("http://", "https://")):  # the library would fetch the page
            return text
        return str(self.run(text).get("text", text)).strip() if text else ""


def written(tokens: list[str]) -> str:
    """Tokens as a text: syllables without spaces, words with, pieces of words joined."""
    text: str = import_module("funasr.utils.postprocess_utils").sentence_postprocess(tokens)[0] if tokens else ""
    return text.strip()


def noisy(samples: Samples) -> Samples:
    """With the faint noise that models were taught on."""
    return samples + np.resize(NOISE, len(samples))


def is_sound(pcm: bytes) -> bool:
    """Whether anything in it is louder than silence."""
    samples = np.frombuffer(pcm, "<i2")
    return bool(len(samples) and (samples.max() > SOUND or samples.min() < -SOUND))


def hiss() -> bytes:
    """A noise that is loud enough to be looked at, 1.2 s of it."""
    return bytes((NOISE * (1_000 / QUANTUM)).astype("<i2").tobytes() * 2)


def prepare(wanted: str, share: float) -> str:
    """Import the library, quietly and offline; where it computes, of the `device` and `gpu_share` that are set.

    ImportError says how to install what is missing, ValueError that there is no such device.
    """
    missing = [package for name, package in PACKAGES.items() if find_spec(name) is None]
    if missing:
        names = " ".join(PACKAGES.values())
        raise ImportError(f"the engine funasr needs {', '.join(missing)}: python -m pip install {names}")
    for name in OFFLINE:
        os.environ.setdefault(name, "1")
    root = logging.getLogger()
    if not any(isinstance(one, NotOfLibrary) for one in root.filters):
        root.addFilter(NotOfLibrary())
    logging.getLogger("jieba").setLevel(logging.ERROR)
    with quiet():
        import_module("funasr")
    torch = import_module("torch")
    device = chosen(torch, wanted)
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(share)
    return device


def chosen(torch: Any, wanted: str) -> str:
    """The device by its name in the library; for `auto` the best that there is."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, is_there in there.items() if is_there)
    if not there[wanted]:
        raise ValueError(f"ASR_DEVICE is {wanted}, and PyTorch finds no such device here")
    return wanted


class NotOfLibrary(logging.Filter):
    """Drops what the library logs. It logs with the root logger itself, whose filters see nobody else's lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "funasr" not in Path(record.pathname).parent.parts


@contextmanager
def quiet() -> Iterator[None]:
    """Without what libraries print while they are loaded."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_pieces(path: Path | None) -> None:
    """ValueError when SentencePiece cannot read its file."""
    if path is None:
        return
    try:
        import_module("sentencepiece").SentencePieceProcessor(model_file=str(path))
    except Exception as failure:  # whatever the library raises for a file that is no model
        raise ValueError(f"{path} is damaged: {failure}") from failure


def fill(module: Any, path: Path) -> None:
    """Put the file's weights into the model, all of them."""
    try:
        state = import_module("torch").load(path, map_location="cpu", weights_only=True)
    except Exception as failure:  # pickle, zip and PyTorch each have errors of their own
        raise ValueError(f"{path} is damaged: {failure}") from failure
    for name in STATES:
        state = state.get(name, state) if isinstance(state, dict) else {}
    state = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    needed = dict(module.named_parameters())
    missing = [name for name in needed if name not in state]
    if missing:
        raise ValueError(f"{path} is not whole: it lacks {len(missing)} of {len(needed)} tensors, {missing[0]} first")
    wrong = [name for name, own in module.state_dict().items() if name in state and state[name].shape != own.shape]
    if wrong:
        raise ValueError(f"{path} does not fit config.yaml and the tokens: {wrong[0]} has another shape")
    module.load_state_dict(state, strict=False)
