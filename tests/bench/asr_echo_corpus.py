"""Rooms where Parley is heard through a loudspeaker, for measuring the echo guard: synthetic, the same for a seed.

Somebody asks, and replies are played: spoken by another voice, bent a little by a loudspeaker, laid through a made room
and a delay, and heard beside noise; the one who asked may speak over them. espeak-ng gives a few samples more or fewer
from call to call.
"""

from dataclasses import dataclass
from random import Random

import numpy as np

from tests.bench.endpointing_corpus import FLITE, PITCHES, RATES, Samples, Speaker, drawn_words, trimmed
from tests.support.speech import RATE, speech

PLAYED_DB = -22.0  # RMS of what is played, full scale 0
ASKED_DB = -26.0  # and of the question before it
PLAYED_VOICES = ("en-us+steph", "en-us+Annie", "en", "cmn+f3", "en-us+m5")
USER_VOICES = ("en-us", "en-us+caleb", "en-us+f2", "en-us+m3")
LEAD_S, GAP_S, TAIL_S = 2.0, 1.5, 1.5  # before the question, before each reply, after the last one
REPLY_S = (5.0, 10.0)
DRIFT_MS = 20  # the delay differs so much from reply to reply
REVERB_S = (0.1, 0.35)  # time in which a room's echo falls by 60 dB
RECORDED_SHARE = 0.5  # of what users say
FALLBACK_GAIN_DB = -12.0  # what levels are measured by where nothing comes back


@dataclass(frozen=True)
class Room:
    """How what is played comes back."""

    delay_ms: int
    gain_db: float | None  # None: a headset, nothing comes back
    noise: str  # white, babble


@dataclass(frozen=True)
class Scene:
    """One stream: what the microphone hears, what is played meanwhile, and what somebody says over it."""

    heard: Samples
    played: Samples
    unechoed: Samples  # the same without the echo
    replies_samples: int  # where the first reply begins
    start_samples: int = 0  # where somebody begins to speak over it, and
    end_samples: int = 0  # ends; 0 and 0 where nobody does
    text: str = ""


def loudness(room: Room) -> float:
    """What comes back, in dB of what is played."""
    return FALLBACK_GAIN_DB if room.gain_db is None else room.gain_db


def level(sound: Samples) -> float:
    """RMS of the 20 ms in which there is any sound."""
    blocks = sound[: len(sound) // 320 * 320].reshape(-1, 320)
    powers = np.mean(blocks * blocks, axis=1)
    return float(np.sqrt(np.mean(powers[powers > 1e-3 * powers.max()])))


def scaled(sound: Samples, db: float) -> Samples:
    """The sound at that level below full scale."""
    return np.asarray(sound * (10 ** (db / 20) / level(sound)), np.float32)


class Stage:
    """Makes scenes."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._numbers = np.random.default_rng(seed)
        self._speaker = Speaker()
        self._babble = self._many()

    def reply(self, voice: str, seconds: float) -> Samples:
        """Whole sentences with the pauses between them."""
        language = "zh" if voice.startswith("cmn") else "en"
        parts: list[Samples] = []
        while sum(map(len, parts)) < seconds * RATE:
            words = ("" if language == "zh" else " ").join(drawn_words(language, True, self._random))
            parts.append(self._speaker.say(words, voice, self._random.choice(PITCHES), self._random.choice(RATES)))
            parts.append(np.zeros(RATE * self._random.randint(150, 450) // 1000, np.float32))
        return scaled(np.concatenate(parts), PLAYED_DB)

    def echo_alone(self, room: Room, replies: int = 3) -> Scene:
        """Several replies, and nobody says a word while they are played."""
        voice = self._random.choice(PLAYED_VOICES)
        pieces = [self.reply(voice, self._random.uniform(*REPLY_S)) for _ in range(replies)]
        asked, first = self._asked()
        played, echo = self._laid(pieces, room, first)
        others = self._noise(len(echo), room)
        others[: len(asked)] += asked
        return Scene((echo + others).clip(-1, 1), played, others, first)

    def overlap(self, room: Room, user_db: float, since_s: tuple[float, float], *, is_recorded: bool = False) -> Scene:
        """Somebody speaks over the second reply, so long after it began; `user_db` is above the echo's level.

        `is_recorded`: by the synthesiser that a recogniser of English understands best.
        """
        voice = self._random.choice(PLAYED_VOICES)
        pieces = [self.reply(voice, 5.0), self.reply(voice, since_s[1] + 5.0)]
        asked, first = self._asked()
        played, echo = self._laid(pieces, room, first)
        said, text = self._said(1.0 if is_recorded else RECORDED_SHARE)
        start = first + len(pieces[0]) + round((GAP_S + self._random.uniform(*since_s)) * RATE)
        others = self._noise(len(echo), room)
        others[: len(asked)] += asked
        others[start : start + len(said)] += scaled(said, PLAYED_DB + loudness(room) + user_db)
        return Scene((echo + others).clip(-1, 1), played, others, first, start, start + len(said), text)

    def _asked(self) -> tuple[Samples, int]:
        """A question, and where the answer begins."""
        said, _ = self._said()
        asked = np.concatenate([np.zeros(round(LEAD_S * RATE), np.float32), scaled(said, ASKED_DB)])
        return asked, len(asked) + round(GAP_S * RATE)

    def _said(self, recorded_share: float = RECORDED_SHARE) -> tuple[Samples, str]:
        if self._random.random() < recorded_share:
            name, text = self._random.choice(list(FLITE.items()))
            return trimmed(np.frombuffer(speech(name), "<i2").astype(np.float32) / 32_768), text
        text = " ".join(drawn_words("en", True, self._random))
        pitch, speed = self._random.choice(PITCHES), self._random.choice(RATES)
        return self._speaker.say(text, self._random.choice(USER_VOICES), pitch, speed), text

    def _laid(self, pieces: list[Samples], room: Room, at: int) -> tuple[Samples, Samples]:
        total = at + round((TAIL_S + GAP_S * (len(pieces) - 1)) * RATE) + sum(map(len, pieces))
        played, echo = np.zeros(total, np.float32), np.zeros(total + 2 * RATE, np.float32)
        response = self._response()
        for piece in pieces:
            played[at : at + len(piece)] = piece
            drift_ms = self._random.uniform(-1, 1) * min(DRIFT_MS, room.delay_ms)
            back_at = at + round((room.delay_ms + drift_ms) * RATE / 1000)
            back = np.convolve(np.tanh(2.0 * piece) / 2.0, response)
            if room.gain_db is not None:
                loud = scaled(np.asarray(back, np.float32), PLAYED_DB + room.gain_db)
                echo[back_at : back_at + len(loud)] += loud[: len(echo) - back_at]
            at += len(piece) + round(GAP_S * RATE)
        return played, echo[:total]

    def _response(self) -> Samples:
        """A loudspeaker without bass, some early reflections, and a tail that dies away."""
        seconds = self._random.uniform(*REVERB_S)
        times_s = np.arange(int(seconds * RATE)) / RATE
        tail = self._numbers.standard_normal(len(times_s)) * 10 ** (-3 * times_s / seconds)
        tail *= 10 ** (-self._random.uniform(0, 8) / 20) / np.sqrt(np.sum(tail * tail))
        tail[: RATE // 400] = 0
        tail[0] = 1.0
        for _ in range(5):
            tail[self._random.randrange(20, RATE // 60)] += self._random.uniform(-0.5, 0.5)
        spectrum = np.fft.rfft(tail, 2 * len(tail))
        hz = np.fft.rfftfreq(2 * len(tail), 1 / RATE)
        spectrum *= (hz / 250) ** 2 / (1 + (hz / 250) ** 2)
        return np.asarray(np.fft.irfft(spectrum)[: len(tail) + RATE // 50], np.float32)

    def _noise(self, samples: int, room: Room) -> Samples:
        """20 dB below the echo."""
        noise = self._numbers.standard_normal(samples).astype(np.float32)
        if room.noise == "babble":
            noise = np.resize(np.roll(self._babble, int(self._numbers.integers(len(self._babble)))), samples)
        return np.asarray(noise * 10 ** ((PLAYED_DB + loudness(room) - 20.0) / 20), np.float32)

    def _many(self, seconds: int = 20, voices: int = 8) -> Samples:
        whole = np.zeros(seconds * RATE, np.float32)
        for number in range(voices):
            said = self.reply(USER_VOICES[number % len(USER_VOICES)], seconds)[: len(whole)]
            whole[: len(said)] += np.roll(said, int(self._numbers.integers(len(said))))
        return whole / np.float32(np.sqrt(np.mean(whole * whole)))


def pcm_of(sound: Samples) -> bytes:
    return (np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes()
