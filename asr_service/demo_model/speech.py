"""Synthetic speech for the demo recogniser: what espeak-ng 1.52 makes of the corpus, at 16 kHz.

Held-out voices, pitches and rates are never trained on. espeak-ng keeps one global state, so a speaker is a process of
its own. The same text and voice give slightly different samples at every call.
Run: python -m asr_service.demo_model.speech (taught|known|new) NUMBER SPEECH.npz
"""

import ctypes
import os
import sys
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path
from random import Random
from typing import Any

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly

from asr_service.demo_model.corpus import Language, languages
from asr_service.demo_model.recordings import SAMPLE_RATE, Samples, Utterance, save

PROCESSES = 2
VOICES = {"zh": ["cmn"], "ko": ["ko"], "en": ["en-us", "en-us", "en"]}
NAMES = "m1 m2 m3 m4 m6 m7 f1 f2 f4 f5 Andy Alicia edward linda max klatt michel aunty Denis Gene Jacky Lee Mario rob"
VARIANTS = NAMES.split()
HELD_OUT_VARIANTS = ["m5", "f3", "Annie", "steph", "caleb"]
HELD_OUT_PITCHES, HELD_OUT_RATES = [20, 35, 50, 65, 88], [115, 140, 165, 190, 220]
PLAIN_SHARE = 0.2  # the voice without a variant, which is the one of the speech service
LANGUAGE_SHARES = {"taught": [0.56, 0.27, 0.17], "known": [0.5, 0.25, 0.25], "new": [0.5, 0.25, 0.25]}
FIRST_SEEDS = {"taught": 0, "known": 1_000_000, "new": 2_000_000}
SHORTEST_SAMPLES, LONGEST_SAMPLES = SAMPLE_RATE // 10, SAMPLE_RATE * 13 // 2
QUIET = 0.008  # of full scale; less at the edges is cut off
EDGE_SAMPLES = SAMPLE_RATE // 100
SYNCHRONOUS, UTF8, RATE, PITCH, IPA = 2, 1, 1, 3, 2
UNSPOKEN = set(" ˈˌ͡\u200d-_")  # stress, ties and gaps in espeak-ng's phonemes

Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speaker:
    """espeak-ng in this process."""

    def __init__(self) -> None:
        self.espeak: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self.espeak.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        self.espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self.rate_hz = self.espeak.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(espeakng_loader.get_data_path()), 0)
        self.blocks: list[Samples] = []
        self.listener: Callable[..., int] = Heard(self.hear)  # kept, or the library would call freed memory
        self.espeak.espeak_SetSynthCallback(self.listener)

    def hear(self, samples: Any, number: int, _events: object) -> int:
        if samples and number > 0:
            self.blocks.append(np.ctypeslib.as_array(samples, shape=(number,)).copy())
        return 0

    def turn_to(self, voice: str) -> None:
        if self.espeak.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice!r}")

    def say(self, text: str, voice: str, pitch: int, rate: int) -> Samples:
        """PCM16 at 16 kHz, quiet edges cut off; peaks at nine tenths of what the voice gives."""
        self.turn_to(voice)
        self.espeak.espeak_SetParameter(RATE, rate, 0)
        self.espeak.espeak_SetParameter(PITCH, pitch, 0)
        self.blocks.clear()
        raw = text.encode() + b"\0"
        self.espeak.espeak_Synth(raw, ctypes.c_size_t(len(raw)), 0, 0, 0, UTF8, None, None)
        self.espeak.espeak_Synchronize()
        whole = np.concatenate([*self.blocks, np.zeros(1, np.int16)]).astype(np.float32) / 32768
        sound = resample_poly(whole, SAMPLE_RATE // 50, self.rate_hz // 50)
        loud = np.flatnonzero(np.abs(sound) > QUIET)
        if not len(loud):
            return np.zeros(0, np.int16)
        sound = sound[max(0, loud[0] - EDGE_SAMPLES) : loud[-1] + EDGE_SAMPLES]
        return np.clip(sound * 0.9 * 32767, -32768, 32767).astype(np.int16)

    def phonemes(self, text: str, language: str) -> str:
        """What the text sounds like; Mandarin tones are digits."""
        self.turn_to(VOICES[language][0])
        rest, spoken = ctypes.c_char_p(text.encode()), []
        while rest.value:
            spoken.append((self.espeak.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, IPA) or b"").decode())
        return "".join(sign for sign in "".join(spoken) if sign not in UNSPOKEN)


class Studio:
    """Draws texts and voices for one kind of set."""

    def __init__(self, kind: str) -> None:
        self.kind, self.languages, self.speaker = kind, languages(), Speaker()

    def text(self, language: Language, random: Random) -> str:
        if self.kind == "taught":
            return language.sample(random)
        return language.known(random) if self.kind == "known" else random.choice(language.held_out)

    def utterance(self, seed: int) -> Utterance | None:
        """None where the text has no usable sound."""
        random = Random(FIRST_SEEDS[self.kind] + seed)
        language = self.languages[random.choices(list(VOICES), LANGUAGE_SHARES[self.kind])[0]]
        text, voice = self.text(language, random), random.choice(VOICES[language.code])
        if self.kind == "taught":
            voice += "" if random.random() < PLAIN_SHARE else "+" + random.choice(VARIANTS)
            pitch, rate = random.randint(25, 80), random.randint(120, 215)
        else:
            voice += "+" + random.choice(HELD_OUT_VARIANTS)
            pitch, rate = random.choice(HELD_OUT_PITCHES), random.choice(HELD_OUT_RATES)
        pcm = self.speaker.say(text, voice, pitch, rate)
        if not SHORTEST_SAMPLES <= len(pcm) <= LONGEST_SAMPLES:
            return None
        return Utterance(language.code, text, self.speaker.phonemes(text, language.code), voice, pcm)


_studio: list[Studio] = []  # one per worker process


def _open(kind: str) -> None:
    _studio[:] = [Studio(kind)]


def _utter(seed: int) -> Utterance | None:
    return _studio[0].utterance(seed)


def main(kind: str, number: int, path: Path) -> None:
    with Pool(PROCESSES, _open, (kind,)) as pool:
        utterances = [made for made in pool.imap(_utter, range(number), chunksize=32) if made]
    save(path, utterances)
    hours = sum(len(made.pcm) for made in utterances) / SAMPLE_RATE / 3600
    print(f"{kind}: {len(utterances)} utterances, {hours:.2f} h")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
