"""A room with a loudspeaker and a microphone that hears it: what a client without an echo canceller sends back.

Its time is that of the microphone: each tick is a frame of it, in which as much is played as there is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.support.speech import RATE, speech

PLAYED_RATE = 24_000
PLAYED_DB = -22.0  # RMS of full scale, where there is sound
NOISE_DB = -60.0
FRAME_MS = 20
FRAME_SAMPLES = RATE * FRAME_MS // 1000
FRAME_BYTES = PLAYED_RATE * FRAME_MS // 1000 * 2
TAIL_MS = 200  # in which the room's own echo falls by 60 dB
PAUSE_MS = 250  # between sentences
REPLY = ("can_you_hear_me", "hello_how_are_you_today", "what_is_the_capital_of_france", "tell_me_a_story")
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """From the loudspeaker to what the gateway gets of the microphone."""

    gain_db: float
    delay_ms: int


WAYS = [Way(-6.0, 0), Way(-6.0, 280), Way(-12.0, 120), Way(-12.0, 400), Way(-20.0, 60), Way(-20.0, 280)]


def samples_of(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32_768)


def pcm_of(samples: Samples) -> bytes:
    return (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()


def at_rate(samples: Samples, before: int, after: int) -> Samples:
    """The same at another rate, as a cheap sound card does it."""
    places = np.arange(len(samples) * after // before) * (before / after)
    return np.asarray(np.interp(places, np.arange(len(samples)), samples), np.float32)


def level_db(samples: Samples) -> float:
    """RMS of the frames in which there is sound."""
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    powers = np.mean(frames * frames, axis=1)
    return float(10 * np.log10(np.mean(powers[powers > 1e-3 * powers.max()])))


def said(name: str, db: float) -> Samples:
    """A recording of tests/cases/speech at that level, without the silence around it."""
    sound = samples_of(speech(name))
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    sound = sound[loud[0] : loud[-1]]
    return np.asarray(sound * 10 ** ((db - level_db(sound)) / 20), np.float32)


def reply(sentences: int = 2 * len(REPLY)) -> bytes:
    """PCM16 at `PLAYED_RATE`: what Parley says."""
    pause = np.zeros(RATE * PAUSE_MS // 1000, np.float32)
    parts = [part for at in range(sentences) for part in (said(REPLY[at % len(REPLY)], PLAYED_DB), pause)]
    sound = np.concatenate(parts)
    return pcm_of(at_rate(sound, RATE, PLAYED_RATE))


class EchoRoom:
    """What is put into its player comes back by the microphone, beside noise and what somebody says."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._random = np.random.default_rng(7)
        self._player = bytearray()
        self._response = self._made_response()
        self._coming = np.zeros(len(self._response) + RATE, np.float32)
        self._speech = np.zeros(0, np.float32)
        self.is_paused = False
        self.played_samples = 0

    @property
    def left_ms(self) -> int:
        """What the player has still to play."""
        return len(self._player) * 1000 // (2 * PLAYED_RATE)

    def put(self, pcm: bytes) -> None:
        """The client got this to play."""
        self._player += pcm

    def drop(self) -> None:
        """The client was told to drop what it has."""
        self._player.clear()
        self.is_paused = False

    def speak(self, name: str, above_echo_db: float) -> None:
        """Somebody begins to say it now, so much louder than the echo."""
        self._speech = said(name, PLAYED_DB + self._way.gain_db + above_echo_db)

    def tick(self) -> bytes:
        """20 ms go by: what the microphone hears in them, PCM16 at 16 000 Hz."""
        self._sound()
        heard = self._coming[:FRAME_SAMPLES] + self._noise()
        self._coming = np.append(self._coming[FRAME_SAMPLES:], np.zeros(FRAME_SAMPLES, np.float32))
        spoken, self._speech = self._speech[:FRAME_SAMPLES], self._speech[FRAME_SAMPLES:]
        heard[: len(spoken)] += spoken
        return pcm_of(heard)

    def _sound(self) -> None:
        """The next frame leaves the loudspeaker; its echo is on the way."""
        frame = b"" if self.is_paused else bytes(self._player[:FRAME_BYTES])
        del self._player[: len(frame)]
        self.played_samples += len(frame) // 2
        sound = at_rate(samples_of(frame.ljust(FRAME_BYTES, b"\0")), PLAYED_RATE, RATE)
        back = np.convolve(np.tanh(2 * sound) / 2, self._response)
        at = RATE * self._way.delay_ms // 1000
        self._coming[at : at + len(back)] += back.astype(np.float32)

    def _noise(self) -> Samples:
        return (10 ** (NOISE_DB / 20) * self._random.standard_normal(FRAME_SAMPLES)).astype(np.float32)

    def _made_response(self) -> Samples:
        """What comes straight, and a tail that dies away; as loud as the way lets it be."""
        times_s = np.arange(RATE * TAIL_MS // 1000) / RATE
        tail = self._random.standard_normal(len(times_s)) * 10 ** (-3 * times_s * 1000 / TAIL_MS)
        tail *= 0.5 / np.sqrt(np.sum(tail * tail))
        tail[: RATE // 200] = 0
        tail[0] = 1.0
        tail *= 10 ** (self._way.gain_db / 20) / np.sqrt(np.sum(tail * tail))
        return np.asarray(tail, np.float32)
