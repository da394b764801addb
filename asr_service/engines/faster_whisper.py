"""Whisper through faster-whisper: one loaded model that every recogniser reads with, from a folder on this machine.

Whisper was made to look at 30 s, and stock code fills a short utterance up to that; here the encoder looks at what was
spoken and a little more, which costs a tenth or less. A recogniser keeps its utterance's audio and reads it again as it
grows, at places that `Rhythm` counts in audio. What is longer than one reading may be is cut where it is quietest.

Calls for one model queue up inside ctranslate2, which runs `ASR_WHISPER_WORKERS` of them at a time, one thread each.
Reading is greedy, without chance: the same audio reads the same. No file is ever asked for over the network.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel

from asr_service.core.plausible import Reading, plausible
from asr_service.core.quietest import quietest
from asr_service.core.rhythm import Rhythm
from asr_service.engines.base import Engine, Recogniser, Result, Span
from asr_service.settings import AsrSettings

SAMPLE_RATE = 16_000  # Hz
SAMPLE_BYTES = 2
QUANTUM = np.float32(1 / 32_768)  # of PCM16, full scale 1
LEVEL_SAMPLES = SAMPLE_RATE // 50  # loudness is looked at by 20 ms
WINDOW_FRAMES = 50  # of 10 ms; windows are whole half seconds
SHORTEST_SAMPLES = SAMPLE_RATE // 10  # nothing can be said in less
LONGEST_SAMPLES = 15 * SAMPLE_RATE  # more is read too slowly to follow a speaker
CUT_LEVELS = 150  # a cut falls into the last three seconds of what one reading may hold,
PAUSE_LEVELS = 5  # into the quietest 100 ms
DETECTION_SAMPLES = SAMPLE_RATE * 13 // 10  # of speech tell its language
SOUND_SHARE = 0.1  # of the loudest moment: what is 20 dB below it is no speech
TOKENS_PER_S = 20  # more than anybody says; a model that has lost the thread is stopped here
MOST_TOKENS = 224  # half of what the model's decoder has positions for: `max_length` counts twice
FILTER_FRAMES = 8
HALF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"  # tokens are bytes, and a guess may end within a character

FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")
OLDER = {"vocabulary.json": "vocabulary.txt"}
FEATURES = "preprocessor_config.json"  # may be absent: 80 bands and 30 s then
TASK = ("<|transcribe|>", "<|notimestamps|>")

Samples = npt.NDArray[np.float32]


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
        self.languages = self._find_languages(folder)

    def read(self, samples: Samples, language: str) -> str:
        """What is said in at most `longest_samples`, in one of `languages`; spaced words begin with a space."""
        if len(samples) < SHORTEST_SAMPLES:
            return ""
        tokens = min(MOST_TOKENS, TOKENS_PER_S * (1 + len(samples) // SAMPLE_RATE))
        read = self._whisper.model.generate(
            self._encoded(samples),
            [self._prompt(language)],
            beam_size=1,
            max_length=2 * tokens,
            suppress_blank=False,  # else silence would have to be a word
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        end = self._id("<|endoftext|>")
        text: str = self._tokenizer.decode([token for token in read.sequences_ids[0] if token < end])
        text = text.replace(HALF_A_CHARACTER, "")
        return plausible(Reading(text, read.no_speech_prob, read.scores[0], max(levels(samples))))

    def detected(self, samples: Samples) -> str:
        """The likeliest language of what is said."""
        if not self._whisper.model.is_multilingual or len(samples) < SHORTEST_SAMPLES:
            return self.languages[0]
        token: str = self._whisper.model.detect_language(self._encoded(samples))[0][0][0]
        return token[2:-2]

    def _encoded(self, samples: Samples) -> Any:
        """The encoder's output for a window as long as the sound and its pad."""
        wanted = math.ceil((len(samples) + self._pad_samples) * 100 / SAMPLE_RATE / WINDOW_FRAMES) * WINDOW_FRAMES
        window = min(wanted, self._most_frames)
        frames = self._features(samples)[:, :window]
        return self._whisper.encode(np.pad(frames, ((0, 0), (0, window - frames.shape[1]))))

    def _prompt(self, language: str) -> list[int]:
        is_multilingual = self._whisper.model.is_multilingual
        words = (f"<|{language}|>", *TASK) if is_multilingual else TASK[1:]
        return [self._id(word) for word in ("<|startoftranscript|>", *words)]

    def _id(self, token: str) -> int:
        found: int = self._tokenizer.token_to_id(token)
        return found

    def _find_languages(self, folder: Path) -> tuple[str, ...]:
        """Those that the converter noted; English alone for a model that knows no other."""
        if not self._whisper.model.is_multilingual:
            return ("en",)
        ids = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("lang_ids", [])
        if not ids or self._tokenizer.token_to_id(TASK[1]) is None:
            raise ValueError(f"{folder / 'config.json'} and tokenizer.json name no languages")
        return tuple(self._tokenizer.id_to_token(one)[2:-2] for one in sorted(ids))


@dataclass(slots=True)
class Stretch:
    """What was heard since `start`, as far as it is still needed, and what of it was read for good."""

    language: str  # "" until it is known
    piece: bytearray
    from_samples: int = 0  # where the piece begins
    read_samples: int = 0  # up to where `text` goes
    fixed: str = ""
    text: str = ""
    spans: tuple[Span, ...] = ()

    @property
    def heard_samples(self) -> int:
        return self.from_samples + len(self.piece) // SAMPLE_BYTES

    def samples(self, until_samples: int) -> Samples:
        """The piece up to a place of the stretch, full scale 1."""
        count = until_samples - self.from_samples
        return np.frombuffer(bytes(self.piece[: count * SAMPLE_BYTES]), "<i2").astype(np.float32) * QUANTUM


class WhisperRecogniser:
    """The audio of one stretch, at most a piece and a step: a megabyte. A language that the model lacks is detected."""

    def __init__(self, whisper: Whisper) -> None:
        self._whisper = whisper
        self.start("")

    def start(self, language: str) -> None:
        primary = language.split("-")[0].lower()
        self._stretch = Stretch(primary if primary in self._whisper.languages else "", bytearray())
        self._rhythm = Rhythm()

    def accept(self, pcm: bytes) -> str | None:
        stretch = self._stretch
        stretch.piece += pcm
        due_samples = self._rhythm.due(stretch.heard_samples)
        if due_samples is None or not (stretch.language or due_samples >= DETECTION_SAMPLES):
            return None
        self._read(due_samples)
        return stretch.text.strip()

    def finish(self) -> Result:
        stretch = self._stretch
        if stretch.read_samples < stretch.heard_samples:
            self._read(stretch.heard_samples)
        spans = (*stretch.spans, *self._spans(stretch.text[len(stretch.fixed) :], stretch.read_samples))
        self.start("")
        return Result(stretch.text.strip(), spans)

    def close(self) -> None:
        self.start("")

    def _read(self, until_samples: int) -> None:
        """Read the stretch up to there, of what was read for good only the text."""
        stretch, whisper = self._stretch, self._whisper
        if not stretch.language:
            stretch.language = whisper.detected(stretch.samples(min(until_samples, DETECTION_SAMPLES)))
        while until_samples - stretch.from_samples > whisper.longest_samples:
            self._fix()
        stretch.text = stretch.fixed + whisper.read(stretch.samples(until_samples), stretch.language)
        stretch.read_samples = until_samples

    def _fix(self) -> None:
        """Read the beginning of too long a piece for good, up to where it is quietest."""
        stretch, whisper = self._stretch, self._whisper
        whole = levels(stretch.samples(stretch.from_samples + whisper.longest_samples))
        cut_samples = stretch.from_samples + quietest(whole, len(whole) - CUT_LEVELS, PAUSE_LEVELS) * LEVEL_SAMPLES
        text = whisper.read(stretch.samples(cut_samples), stretch.language)
        stretch.spans += self._spans(text, cut_samples)
        stretch.fixed += text
        del stretch.piece[: (cut_samples - stretch.from_samples) * SAMPLE_BYTES]
        stretch.from_samples = cut_samples

    def _spans(self, text: str, until_samples: int) -> tuple[Span, ...]:
        """One span from the first sound of the piece to the last; its words have no times of their own."""
        if not text.strip():
            return ()
        loudness = levels(self._stretch.samples(until_samples))
        loud = [place for place, level in enumerate(loudness) if level >= SOUND_SHARE * max(loudness)]
        start, end = (self._stretch.from_samples + place * LEVEL_SAMPLES for place in (loud[0], loud[-1] + 1))
        return (Span(start, min(end, until_samples), text.strip()),)


def levels(samples: Samples) -> list[float]:
    """RMS of each 20 ms, full scale 1; what is left over at the end counts as a whole one."""
    whole = np.pad(samples, (0, -len(samples) % LEVEL_SAMPLES)).reshape(-1, LEVEL_SAMPLES)
    found: list[float] = np.sqrt(np.mean(whole * whole, axis=1)).tolist()
    return found


def check_folder(folder: Path) -> None:
    """FileNotFoundError or ValueError for the first file that is missing or no JSON.

    Without its tokenizer.json, faster-whisper would ask for another model's over the network.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; a Whisper model is a folder with {', '.join(FILES)}")
    for name in FILES:
        if not (folder / name).is_file() and not (folder / OLDER.get(name, name)).is_file():
            raise FileNotFoundError(f"{folder / name} is missing")
    for path in (folder / name for name in (*FILES, FEATURES) if name.endswith(".json")):
        try:
            json.loads(path.read_bytes() if path.is_file() else b"{}")
        except ValueError as failure:
            raise ValueError(f"{path} is damaged: {failure}") from failure


class WhisperEngine:
    """Recognisers that share one model."""

    name = "faster-whisper"

    def __init__(self, whisper: Whisper) -> None:
        self.languages = whisper.languages
        self._whisper = whisper

    def open(self) -> Recogniser:
        return WhisperRecogniser(self._whisper)


def load() -> Engine:
    """The engine with the model that the environment names, loaded. FileNotFoundError or ValueError names the file."""
    s = AsrSettings()
    return WhisperEngine(
        Whisper(s.model_path, s.whisper_device, s.whisper_compute_type, s.whisper_pad_ms, s.whisper_workers)
    )
