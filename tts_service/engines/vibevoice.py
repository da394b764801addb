"""VibeVoice-Realtime: streams English, and some more languages as an experiment (its source, hosted.py).

It has no cloning: a voice is a file in which the model's state after hearing that voice was kept. Such a file is a
pickle, which may do anything as it is read; here only what such a state consists of is read, and a file with anything
else in it is refused. Texts of up to three words are spoken unsteadily by this model; nothing is added to them, but how
long they may become is limited, as with every text.
"""

import copy
import queue
import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.errors import EngineFailed
from shared.threads import StopToken
from tts_service.engines.adapters import OneModel, Stopped, device, existing, interpreter, library, pcm
from tts_service.engines.base import Capabilities, ClonesNothing, SynthesisRequest, Voice
from tts_service.engines.recent import Recent

if TYPE_CHECKING:
    from tts_service.engines.hosted import HostedEngine
    from tts_service.settings import TtsSettings

NAME: Final = "vibevoice"
SAMPLE_RATE: Final = 24_000
MAX_CHARS: Final = 500
VOICES_HELD: Final = 4
PARTS: Final = ("lm", "tts_lm", "neg_lm", "neg_tts_lm")  # of a voice
LANGUAGES: Final = {"in": "en", "jp": "ja", "kr": "ko", "sp": "es"}  # of voices named by a country
FRAMES_A_SECOND: Final = 7.5
SPARE_S, LONGEST_CHAR_S = 6.0, 0.6  # speech that any text may have, and what each character may add
BLOCKS_AHEAD: Final = 4  # 133 ms each
TICK_S: Final = 0.05  # how often the model's thread looks at the stop token while nobody reads
MODELS: Final = "vibevoice.modular.modeling_vibevoice_streaming_inference"
INPUTS: Final = "vibevoice.processor.vibevoice_streaming_processor"
TOKENIZERS: Final = "vibevoice.modular.modular_vibevoice_text_tokenizer"
OUTPUTS: Final = ("transformers.modeling_outputs.BaseModelOutputWithPast", f"{MODELS}.VibeVoiceCausalLMOutputWithPast")
CACHES: Final = ("DynamicCache", "DynamicLayer")  # the latter of later versions


def load(settings: "TtsSettings") -> "HostedEngine":
    """The engine, not started. Raises EngineFailed when a setting is wrong."""
    from tts_service.engines.hosted import HostedEngine

    options = {
        "folder": existing(settings.vibevoice_model, "TTS_VIBEVOICE_MODEL", "the folder of a VibeVoice-Realtime"),
        "voices": existing(settings.vibevoice_voices, "TTS_VIBEVOICE_VOICES", "a folder of its voices, ….pt"),
        "scale": str(settings.vibevoice_scale),
        "steps": str(settings.vibevoice_steps),
        "device": settings.engine_device,
    }
    return HostedEngine(NAME, interpreter(settings), __name__, options)


def open(options: Mapping[str, str]) -> "VibeEngine":  # noqa: A001 (the name that every adapter has)
    """Runs in the child."""
    return VibeEngine(options)


class VibeEngine(OneModel["VibeSlot"]):
    """The model of one process."""

    name = NAME
    sample_rate = SAMPLE_RATE

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self.capabilities = Capabilities((), (), MAX_CHARS, "chunk")

    def start(self) -> None:
        """Raises EngineFailed."""
        files = {path.stem: path for path in sorted(Path(self._options["voices"]).glob("*.pt"))}
        if not files:
            raise EngineFailed("The folder of TTS_VIBEVOICE_VOICES holds no voice.", service="tts")
        if not (Path(self._options["folder"]) / "config.json").is_file():  # it would be fetched by its name
            raise EngineFailed("The folder of TTS_VIBEVOICE_MODEL holds no model.", service="tts")
        place = device(self._options["device"])
        model, processor = loaded(self._options["folder"], place, int(self._options["steps"]))
        self._slot = VibeSlot(model, processor, files, place, float(self._options["scale"]))
        self._slot.state(next(iter(files)))  # a voice that cannot be read is told now
        voices = tuple(Voice(name, language_of(name)) for name in files)
        self.capabilities = Capabilities(
            languages=tuple(dict.fromkeys(voice.language for voice in voices)),
            voices=voices,
            max_chars=MAX_CHARS,
            streaming="chunk",
            has_speed=False,
        )


class VibeSlot(ClonesNothing):
    """Makes one request at a time: the model on a thread of its own, its sound through a short queue."""

    def __init__(self, model: Any, processor: Any, files: Mapping[str, Path], place: str, scale: float) -> None:
        self._model = model
        self._processor = processor
        self._files = files
        self._place = place
        self._scale = scale
        self._states: Recent[str, dict[str, Any]] = Recent(VOICES_HELD)

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """Blocks of 133 ms; a stop comes between two of them."""
        if stop.is_stopped():
            return
        state = self.state(request.voice or self._of_language(request.language))
        left = StopToken()  # set when nobody reads any more
        sink = Sink(stop, left)
        failures: list[Exception] = []
        thread = threading.Thread(target=self._generate, args=(request.text, state, sink, failures))
        thread.start()
        try:
            for sound in sink:
                yield pcm(sound)
        finally:
            left.stop()
            thread.join()
        if failures:
            raise failures[0]

    def state(self, name: str) -> dict[str, Any]:
        """A voice, read when it is first asked for. Raises EngineFailed."""
        return self._states.get(name) or self._states.put(name, read_voice(self._files[name], self._place))

    def close(self) -> None:
        """The model goes with its process."""

    def _of_language(self, language: str) -> str:
        """The first voice of a language, else the first of all."""
        wanted = language.lower().replace("_", "-").partition("-")[0]
        return next((name for name in self._files if language_of(name) == wanted), next(iter(self._files)))

    def _generate(self, text: str, state: dict[str, Any], sink: "Sink", failures: list[Exception]) -> None:
        """Runs on the model's thread."""
        try:
            told = self._processor.process_input_with_cached_prompt(
                text=text.replace("’", "'").strip(),
                cached_prompt=state,
                padding=True,
                return_tensors="pt",
                return_attention_mask=True,
            )
            inputs = {name: one.to(self._place) if hasattr(one, "to") else one for name, one in told.items()}
            speech = round(FRAMES_A_SECOND * (SPARE_S + LONGEST_CHAR_S * len(text)))
            self._model.generate(
                **inputs,
                max_new_tokens=int(inputs["tts_text_ids"].shape[1]) + speech,
                cfg_scale=self._scale,
                tokenizer=self._processor.tokenizer,
                generation_config={"do_sample": False, "temperature": 1.0, "top_p": 1.0},
                audio_streamer=sink,
                stop_check_fn=sink.is_stopped,
                verbose=False,
                show_progress_bar=False,
                return_speech=False,
                all_prefilled_outputs=copy.deepcopy(state),  # it is written to
            )
        except Stopped:
            pass
        except Exception as failure:  # a model raises anything; the reader's thread raises it again
            failures.append(failure)
        finally:
            sink.end()


class Sink:
    """Takes a model's sound as its streamer does, and hands it out; a model that nobody listens to is left."""

    def __init__(self, *stops: StopToken) -> None:
        self._stops = stops
        self._queue: queue.Queue[Any] = queue.Queue(BLOCKS_AHEAD)
        self._has_ended = threading.Event()

    def is_stopped(self) -> bool:
        return any(stop.is_stopped() for stop in self._stops)

    def put(self, chunks: Any, indices: Any) -> None:
        """The sound of one step of the one sample. Raises Stopped inside the model."""
        while not self.is_stopped():
            try:
                return self._queue.put(chunks[0], timeout=TICK_S)
            except queue.Full:
                pass
        raise Stopped

    def end(self, indices: Any = None) -> None:
        """No more comes."""
        self._has_ended.set()

    def __iter__(self) -> Iterator[Any]:
        while not self.is_stopped():
            try:
                yield self._queue.get(timeout=TICK_S)
            except queue.Empty:
                if self._has_ended.is_set() and self._queue.empty():
                    return


def language_of(name: str) -> str:
    """Of a voice, whose name begins with it: `en-Carter_man`; some of the published ones begin with a country."""
    prefix = name.partition("-")[0].lower()
    return LANGUAGES.get(prefix, prefix)


def loaded(folder: str, place: str, steps: int) -> tuple[Any, Any]:
    """The model and what makes its inputs. Raises EngineFailed."""
    torch, models = library("torch", "VibeVoice"), library(MODELS, "VibeVoice")
    processor = processor_of(Path(folder))
    is_gpu = place.startswith("cuda")
    model = models.VibeVoiceStreamingForConditionalGenerationInference.from_pretrained(
        folder,
        torch_dtype=torch.bfloat16 if is_gpu else torch.float32,
        device_map=place,
        attn_implementation="flash_attention_2" if is_gpu and find_spec("flash_attn") else "sdpa",
    )
    model.eval()
    scheduler = model.model.noise_scheduler
    model.model.noise_scheduler = scheduler.from_config(
        scheduler.config, algorithm_type="sde-dpmsolver++", beta_schedule="squaredcos_cap_v2"
    )
    model.set_ddpm_inference_steps(num_steps=steps)
    return model, processor


def processor_of(folder: Path) -> Any:
    """What makes the model's inputs; its tokenizer is that of Qwen2.5. Raises EngineFailed."""
    processors, tokenizers = library(INPUTS, "VibeVoice"), library(TOKENIZERS, "VibeVoice")
    if (folder / "tokenizer.json").is_file():
        tokenizer = tokenizers.VibeVoiceTextTokenizerFast.from_pretrained(str(folder))
        return processors.VibeVoiceStreamingProcessor(tokenizer=tokenizer, db_normalize=False)
    try:  # it may lie in the cache of the environment, under the name by which it would be fetched
        return processors.VibeVoiceStreamingProcessor.from_pretrained(str(folder))
    except OSError:
        raise EngineFailed(
            "VibeVoice needs the tokenizer.json of Qwen2.5-0.5B in the folder of TTS_VIBEVOICE_MODEL.", service="tts"
        ) from None


def read_voice(path: Path, place: str) -> dict[str, Any]:
    """The state of a voice, read without running anything that the file may hold. Raises EngineFailed."""
    import torch
    from transformers import cache_utils
    from transformers.modeling_outputs import BaseModelOutputWithPast

    caches = [getattr(cache_utils, name) for name in CACHES if hasattr(cache_utils, name)]
    allowed = [*caches, *((_entry, name) for name in OUTPUTS)]
    try:
        with torch.serialization.safe_globals(allowed):
            read = torch.load(path, map_location=place, weights_only=True)
        return {
            part: BaseModelOutputWithPast(
                last_hidden_state=read[part]["last_hidden_state"], past_key_values=read[part]["past_key_values"]
            )
            for part in PARTS
        }
    except Exception:  # what does not belong there is told in many ways, and quoted
        raise EngineFailed(f"{path.name} holds something else than a voice of VibeVoice.", service="tts") from None


def _entry(*_: object) -> "OrderedDict[str, Any]":
    """Stands for an output of the model while a voice is read; its entries follow."""
    return OrderedDict()
