"""What is news of an utterance: only that its recogniser has read it again."""

from itertools import pairwise

import pytest

from asr_service.engines.fake import DEFAULT_SCRIPT, FakeEngine, FakeRecogniser
from asr_service.utterance import Utterance
from tests.support.asr import running
from tests.support.speech import tone

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


class RareRecogniser(FakeRecogniser):
    """Reads again every third time."""

    accepted = 0

    def accept(self, pcm: bytes) -> str | None:  # type: ignore[override]
        text = super().accept(pcm)
        self.accepted += 1
        return None if self.accepted % 3 else text


class RareEngine(FakeEngine):
    def open(self) -> FakeRecogniser:
        return RareRecogniser(DEFAULT_SCRIPT, lambda: None)


async def test_a_step_without_a_reading_is_no_news_and_keeps_the_text() -> None:
    async with running(RareEngine()) as recognisers:
        utterance = Utterance(recognisers, "en", 0)
        steps = []
        for _ in range(9):
            utterance.add([tone(100)])
            steps.append((await utterance.read(), utterance.text))
        utterance.release()

    news = [place for place, (is_news, _) in enumerate(steps) if is_news]
    assert [later - earlier for earlier, later in pairwise(news)] == [3, 3]
    assert [text for _, text in steps][news[1] : news[2] + 1] == [steps[news[1]][1]] * 3 + [steps[news[2]][1]]
    assert steps[news[1]][1] != steps[news[2]][1]
    assert utterance.heard_until_samples == 9 * 1_600
