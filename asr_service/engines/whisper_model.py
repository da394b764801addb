"""A loaded Whisper, from a folder on this machine: what is said in windows of sound, and in which language.

Whisper was made to look at 30 s, and stock code fills a short utterance up to that; here the encoder looks at what was
spoken and a little more, which costs a tenth or less. Windows of one length are read in one call, for little more than
one of them costs.

Calls for one model queue up inside ctranslate2, which runs so many of them at a time as it has workers, one thread
each. Reading is greedy, without chance: the same audio reads the same. No file is ever asked for over the network.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel

from asr_service.core.plausible import Reading, plausible
from asr_service.core.word_tokens import token_words
from asr_service.engines.base import SAMPLE_RATE, Word
from asr_service.engines.sound import Samples, levels

WINDOW_FRAMES = 50  # of 10 ms; windows are whole half seconds
SHORTEST_SAMPLES = SAMPLE_RATE // 10  # nothing can be said in less
LONGEST_SAMPLES = 15 * SAMPLE_RATE  # more is read too slowly to follow a speaker
TOKENS_PER_S = 20  # more than anybody says; a model that has lost the thread is stopped here
MOST_TOKENS = 224  # half of what the model's decoder has positions for: `max_length` counts twice
FILTER_FRAMES = 8
FRAME_SAMPLES = SAMPLE_RATE // 100
PLACE_SAMPLES = SAMPLE_RATE // 50  # the encoder halves the frames, and words are placed in what it made of them
HALF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"  # tokens are bytes, and a guess may end within a character

FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")
OLDER = {"vocabulary.json": "vocabulary.txt"}
FEATURES = "preprocessor_config.json"  # may be absent: 80 bands and 30 s then
TRANSLATES = "translates"  # in FEATURES, of us alone: false in a multilingual model that was not taught to translate
START, TRANSCRIBE, TRANSLATE, NO_TIMES = "<|startoftranscript|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>"
NO_FOLDER = """{folder} is no folder. ASR_MODEL_PATH (or STT_MODEL_NAME) is a folder with {files}; nothing is fetched \
when the service starts. A model that faster-whisper knows by its size is got once, into a folder here, by: \
python -c "import faster_whisper as f; f.download_model('{size}', output_dir='{size}')\""""


class BandFilters:
    """faster-whisper's mel filters, applied to a few frames at a time.

    OpenBLAS spreads one product of all frames over its threads, and these then spin for several times as long as the
    whole of a short reading takes. When this module is imported it is too late to set their number. Small products
    stay on the caller's thread by themselves.
    """

    def __init__(self, filters: Samples) -> None:
        self._filters = filters

    def __matmul__(self, frames: Samples) -> Samples:
        bands = np.empty((len(self._filters), frames.shape[1]), np.float32)
        for start in range(0, frames.shape[1], FILTER_FRAMES):
            few = slice(start, start + FILTER_FRAMES)
            bands[:, few] = self._filters @ np.ascontiguousarray(frames[:, few])
        return bands


@dataclass(frozen=True, slots=True)
class Window:
    """Sound at full scale 1, and how it is to be read: in one of the model's languages, or from it into English."""

    samples: Samples
    language: str
    translate: bool = False


class Whisper:
    """A loaded model, for any number of threads. FileNotFoundError or ValueError names the file that is at fault."""

    def __init__(self, folder: Path, device: str, compute_type: str, pad_ms: int, workers: int) -> None:
        check_folder(folder)
        try:
            self._whisper: Any = WhisperModel(
                str(folder),
                device,
                compute_type=compute_type,
                cpu_threads=1,
                num_workers=workers,
                local_files_only=True,
            )
        except Exception as failure:  # of three libraries, each with errors of its own
            raise ValueError(f"the Whisper model in {folder} cannot be loaded: {failure}") from failure
        self._tokenizer = self._whisper.hf_tokenizer
        self._features = self._whisper.feature_extractor
        if self._whisper.model.n_mels != len(self._features.mel_filters):
            raise ValueError(f"{folder / FEATURES} does not fit the model: feature_size")
        self._features.mel_filters = BandFilters(self._features.mel_filters)
        self._pad_samples = pad_ms * SAMPLE_RATE // 1000
        self._most_frames: int = self._features.nb_max_frames
        self.longest_samples = min(LONGEST_SAMPLES, self._most_frames * SAMPLE_RATE // 100 - self._pad_samples)
        self.detects: bool = self._whisper.model.is_multilingual
        self.languages = self._find_languages(folder)
        self.translates = self.detects and content(folder / FEATURES).get(TRANSLATES, True) is not False

    def read(self, windows: Sequence[Window]) -> list[str]:
        """What is said in each, all of one length in frames; spaced words begin with a space.

        None is longer than `longest_samples`.
        """
        audible = [one for one in windows if len(one.samples) >= SHORTEST_SAMPLES]
        texts = iter(self._generated(audible) if audible else ())
        return [next(texts) if len(one.samples) >= SHORTEST_SAMPLES else "" for one in windows]

    def detected(self, samples: Samples) -> str:
        """The likeliest language of what is said; of a model that detects."""
        token: str = self._whisper.model.detect_language(self._encoded([samples]))[0][0][0]
        return token[2:-2]

    def words(self, window: Window, text: str) -> list[Word]:
        """When each word of its reading was said, in samples of the window; it raises what the library does."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        spoken = token_words(text, [len(self._tokenizer.id_to_token(token)) for token in tokens])  # a sign is a byte
        heard_frames = len(window.samples) // FRAME_SAMPLES
        aligned = self._whisper.model.align(
            self._encoded([window.samples]), self._start(window), [tokens], heard_frames
        )[0]
        places: dict[int, int] = {}
        for token, place in aligned.alignments:
            places.setdefault(token, place * PLACE_SAMPLES)
        return [Word(places[word.first], places[word.end], word.text) for word in spoken]

    def frames(self, samples: int) -> int:
        """Length of the window for so many samples: they and the pad, in whole half seconds."""
        wanted = math.ceil((samples + self._pad_samples) * 100 / SAMPLE_RATE / WINDOW_FRAMES) * WINDOW_FRAMES
        return min(wanted, self._most_frames)

    def _generated(self, windows: Sequence[Window]) -> list[str]:
        frames = self.frames(len(windows[0].samples))
        readings = self._whisper.model.generate(
            self._encoded([window.samples for window in windows]),
            [[*self._start(window), self._id(NO_TIMES)] for window in windows],
            beam_size=1,
            max_length=2 * min(MOST_TOKENS, TOKENS_PER_S * (1 + frames // 100)),
            suppress_blank=False,  # else silence would have to be a word
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [self._believed(reading, window) for reading, window in zip(readings, windows, strict=True)]

    def _believed(self, reading: Any, window: Window) -> str:
        end = self._id("<|endoftext|>")
        text: str = self._tokenizer.decode([token for token in reading.sequences_ids[0] if token < end])
        text = text.replace(HALF_A_CHARACTER, "")
        loudness = max(levels(window.samples))
        return plausible(Reading(text, reading.no_speech_prob, reading.scores[0], loudness))

    def _encoded(self, sounds: Sequence[Samples]) -> Any:
        """The encoder's output for windows of one length, each as long as its sound and its pad."""
        lengths = {self.frames(len(samples)) for samples in sounds}
        if len(lengths) > 1:
            raise ValueError(f"windows of one length can be read at once, not of {sorted(lengths)} frames")
        (frames,) = lengths
        bands = [self._features(samples)[:, :frames] for samples in sounds]
        return self._whisper.encode(np.stack([np.pad(one, ((0, 0), (0, frames - one.shape[1]))) for one in bands]))

    def _start(self, window: Window) -> list[int]:
        """What the decoder is told of a window before it begins to write."""
        words = [f"<|{window.language}|>", TRANSLATE if window.translate else TRANSCRIBE] if self.detects else []
        return [self._id(word) for word in (START, *words)]

    def _id(self, token: str) -> int:
        found: int = self._tokenizer.token_to_id(token)
        return found

    def _find_languages(self, folder: Path) -> tuple[str, ...]:
        """Those that the converter noted; English alone for a model that knows no other."""
        if not self.detects:
            return ("en",)
        ids = content(folder / "config.json").get("lang_ids", [])
        if not ids or self._tokenizer.token_to_id(TRANSCRIBE) is None:
            raise ValueError(f"{folder / 'config.json'} and tokenizer.json name no languages")
        return tuple(self._tokenizer.id_to_token(one)[2:-2] for one in sorted(ids))


def check_folder(folder: Path) -> None:
    """FileNotFoundError or ValueError for the first file that is missing or no JSON.

    Without its tokenizer.json, faster-whisper would ask for another model's over the network.
    """
    if not folder.is_dir():
        raise FileNotFoundError(NO_FOLDER.format(folder=folder, files=", ".join(FILES), size=folder.name))
    for name in FILES:
        if not (folder / name).is_file() and not (folder / OLDER.get(name, name)).is_file():
            raise FileNotFoundError(f"{folder / name} is missing")
    for path in (folder / name for name in (*FILES, FEATURES) if name.endswith(".json")):
        content(path)


def content(path: Path) -> Any:
    """What a JSON file holds, nothing if there is none; ValueError names it if it is damaged."""
    try:
        return json.loads(path.read_bytes() if path.is_file() else b"{}")
    except ValueError as failure:
        raise ValueError(f"{path} is damaged: {failure}") from failure
