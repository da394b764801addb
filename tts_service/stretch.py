"""Speech made faster or slower with its pitch kept, for an engine that speaks at one speed only, or not slowly enough.

Laws: the result does not depend on how the samples were cut into blocks; it is as long as the samples divided by the
speed, to within a tenth of a second; nothing of the end is lost; some 80 ms of what comes in, 200 ms at four times the
speed, are held back until more comes.
"""

import math
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph

from tts_service.frames import Cutter, Samples, frame_of, samples_of

FRAME_MS: Final = 20
TAIL_MS: Final = 60  # of silence after the end, so that the filter's last window is silence and not speech
MOST_A_STEP: Final = 2.0  # beyond it the filter leaves samples out instead of blending them
SLOWEST_OF_AN_ENGINE: Final = 0.5  # no engine is asked to speak slower; few sound well so, and espeak cannot


def shared_out(speed: float, *, has_speed: bool) -> tuple[float, float]:
    """The speed that an engine is asked for, and the one by which its speech is changed after it."""
    own = max(speed, SLOWEST_OF_AN_ENGINE) if has_speed else 1.0
    return own, speed / own


class Stretcher:
    """One segment, from its engine's speed to another."""

    def __init__(self, sample_rate: int, speed: float) -> None:
        """`speed` is 2.0 for half as long."""
        self._rate = sample_rate
        self._graph = None if speed == 1.0 else _graph(sample_rate, speed)
        self._cutter = Cutter(FRAME_MS * sample_rate // 1000)
        self._at_samples = 0

    def accept(self, samples: Samples) -> Samples:
        return samples if self._graph is None else self._through(self._graph, samples)

    def finish(self, samples: Samples) -> Samples:
        """The last samples, and what was held back."""
        if self._graph is None:
            return samples
        made = self._through(self._graph, np.concatenate((samples, np.zeros(TAIL_MS * self._rate // 1000, np.int16))))
        rest = self._cutter.finish()
        if rest.size:
            self._push(self._graph, rest)
        self._graph.push(None)
        return np.concatenate((made, *_pulled(self._graph)))

    def _through(self, graph: Graph, samples: Samples) -> Samples:
        made = [np.zeros(0, np.int16)]
        for frame in self._cutter.accept(samples):
            self._push(graph, frame)
            made += _pulled(graph)
        return np.concatenate(made)

    def _push(self, graph: Graph, samples: Samples) -> None:
        graph.push(frame_of(samples, self._rate, self._at_samples))
        self._at_samples += samples.size


def _graph(sample_rate: int, speed: float) -> Graph:
    """As many equal steps as keep each of them within half and double speed."""
    steps = math.ceil(abs(math.log(speed, MOST_A_STEP)) - 1e-9)
    graph = Graph()
    graph.threads = 1  # else it starts as many as the machine has cores, for nothing
    last = graph.add_abuffer(sample_rate=sample_rate, format="s16", layout="mono", time_base=Fraction(1, sample_rate))
    for _ in range(max(1, steps)):
        step = graph.add("atempo", f"{speed ** (1 / max(1, steps)):.6f}")
        last.link_to(step)
        last = step
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: Graph) -> list[Samples]:
    """What is ready."""
    ready: list[Samples] = []
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return ready
        assert isinstance(frame, AudioFrame)
        ready.append(samples_of(frame))
