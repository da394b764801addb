"""The engine that asks a server elsewhere, in front of a real one: Parley's own service with its small Whisper."""

from collections.abc import Iterator

import pytest

from asr_service import engines
from asr_service.engines.base import Engine, Task
from asr_service.engines.openai_upstream import UpstreamEngine
from asr_service.settings import AsrSettings
from tests.contract import test_asr_engines as contract
from tests.contract.test_asr_engines import Case
from tests.support import own_service
from tests.support.speech import silence, speech

pytestmark = pytest.mark.contract

SENTENCES = {
    "jintian_tianqi_zenmeyang": "今天天气怎么样",
    "nihao": "你好",
    "gei_wo_jiang_ge_gushi": "给我讲个故事",
}
MS = 16  # samples


@pytest.fixture(scope="module")
def case() -> Case:
    return Case("openai", *contract.CHINESE)


@pytest.fixture(scope="module")
def engine(case: Case) -> Iterator[Engine]:
    with own_service.ready("asr_service", "ASR", ASR_ENGINE="faster-whisper", ASR_LANGUAGE="zh") as url:
        made = engines.load(case.engine, AsrSettings(upstream_url=url, upstream_key="sk-nobody-asks-for-it"))
        assert isinstance(made, UpstreamEngine)
        yield made
        made.close()


# The contract itself, with the engine and the case of this file.
globals().update(
    {
        name: thing
        for name, thing in vars(contract).items()
        if name in ("pair", "recogniser", "expected") or (name.startswith("test_") and "pocketsphinx" not in name)
    }
)


@pytest.mark.parametrize("name", SENTENCES)
def test_the_other_service_is_understood(engine: Engine, name: str) -> None:
    recogniser = engine.open()
    recogniser.start(Task("zh"))
    recogniser.hear(silence(500) + speech(name))
    assert recogniser.read().text, "there was a text before the end"
    recogniser.hear(silence(300))
    result = recogniser.finish()

    assert result.text == SENTENCES[name]
    (span,) = result.spans
    assert 100 * MS < span.start_samples < span.end_samples <= 800 * MS + len(speech(name)) // 2


def test_a_stretch_that_was_finished_may_go_on(engine: Engine) -> None:
    recogniser = engine.open()
    recogniser.start(Task("zh"))
    recogniser.hear(silence(300) + speech("nihao") + silence(300))
    assert recogniser.finish().text == "你好"
    recogniser.hear(silence(1_000) + speech("gei_wo_jiang_ge_gushi") + silence(300))
    result = recogniser.finish()

    assert result.text == "你好给我讲个故事"
    assert [span.text for span in result.spans] == ["你好", "给我讲个故事"]
