"""When the stages of a turn were reached, in milliseconds from the moment at which the person stopped speaking."""

from shared import metrics

STAGES = ("endpoint", "final", "first_token", "first_audio", "last_token", "done")
ANSWER_STAGES = ("first_token", "first_audio", "last_token")


class TurnTimings:
    """The first time that each stage of one turn was reached, on the event loop's clock."""

    def __init__(self, speech_ended_s: float) -> None:
        self._zero_s = speech_ended_s
        self._reached_s: dict[str, float] = {}

    def set_zero(self, speech_ended_s: float) -> None:
        """The person stopped speaking at another moment than was thought."""
        self._zero_s = speech_ended_s

    def reach(self, stage: str, now_s: float) -> None:
        """Note a stage; only its first time counts. An answer prepared early reaches some before the endpoint."""
        assert stage in STAGES, stage
        self._reached_s.setdefault(stage, now_s)

    def forget_answer(self) -> None:
        """Another answer is made: the stages that the one before reached do not count."""
        for stage in ANSWER_STAGES:
            self._reached_s.pop(stage, None)

    def as_ms(self) -> dict[str, int]:
        """Stage → milliseconds, in the order of STAGES."""
        return {
            stage: round((self._reached_s[stage] - self._zero_s) * 1000) for stage in STAGES if stage in self._reached_s
        }

    def publish(self) -> None:
        """Add this turn to the histograms."""
        for stage, milliseconds in self.as_ms().items():
            metrics.STAGE_SECONDS.labels(stage).observe(max(0, milliseconds) / 1000)
