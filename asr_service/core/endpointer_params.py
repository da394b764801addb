"""The settings of the endpointer, in milliseconds and shares; checked when they are made."""

from dataclasses import dataclass, field
from math import inf

from asr_service.core.noise_floor import NoiseFloorParams


@dataclass(frozen=True, slots=True)
class EndpointerParams:
    """Settings of a stream; ValueError names the field that is out of bounds."""

    frame_samples: int = 320
    sample_rate: int = 16_000  # Hz
    end_silence_ms: int = 800
    short_pause_ms: int = 300
    complete_pause_ms: int = 440  # 0 turns the rule off
    stable_nochange_ms: int = 1_500
    silence_rms: float = 0.005  # full scale is 1
    onset_ms: int = 60  # speech that confirms a start or a resumption
    candidate_ms: int = 140  # pause after which a candidate is sent
    pre_roll_ms: int = 300
    max_utterance_ms: int = 30_000
    offset_ratio: float = 0.45  # share of the floor's threshold above which speech goes on
    onset_probability: float = 0.5  # a model's probability above which speech begins
    offset_probability: float = 0.35  # and above which it goes on
    calm_share: float = 0.5  # share of the utterance's level under which a frame is calm
    turn_probability: float = 0.5  # a model's probability from which on the turn is over
    noise_floor: NoiseFloorParams = field(default_factory=NoiseFloorParams)

    def __post_init__(self) -> None:
        above_zero = "frame_samples sample_rate end_silence_ms short_pause_ms stable_nochange_ms onset_ms candidate_ms"
        for name in above_zero.split():
            self._check(name, 1, inf)
        self._check("pre_roll_ms", 0, inf)
        self._check("complete_pause_ms", 0, inf)
        self._check("silence_rms", 0.0, 1.0)
        self._check("onset_probability", 0.0, 1.0)
        self._check("offset_probability", 0.0, self.onset_probability)
        self._check("calm_share", 0.0, 1.0)
        self._check("turn_probability", 0.0, 1.0)
        # The confirmed start is within the limit, so that the limit can be kept.
        self._check("max_utterance_ms", self.onset_ms + self.frame_ms, inf)
        # Under 1, steady noise at the floor would keep an utterance going.
        self._check("offset_ratio", 1.0 / self.noise_floor.ratio, 1.0)

    @property
    def frame_ms(self) -> float:
        """Length of a frame."""
        return self.frame_samples * 1000 / self.sample_rate

    @property
    def onset_frames(self) -> int:
        """The fewest frames that last `onset_ms`."""
        return self.frames_under(self.onset_ms) + 1

    def frames_under(self, limit_ms: int) -> int:
        """The most frames that are shorter than `limit_ms`, which is above 0."""
        return (limit_ms * self.sample_rate - 1) // (1000 * self.frame_samples)

    def reaches(self, samples: int, limit_ms: int) -> bool:
        """Whether `samples` last `limit_ms` or longer."""
        return samples * 1000 >= limit_ms * self.sample_rate

    def _check(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not least <= value <= most:
            raise ValueError(f"{name} must be {least:g} to {most:g}, not {value}")
