"""How many layers go to a GPU of given memory, and that nothing changes where there is none, as here."""

from pathlib import Path

import pytest

from llm_service.core.batching import BatchParams
from llm_service.engines.llama_cpp import load
from llm_service.engines.llama_cpp_gpu import Device, Needs, gpus, layers_on_gpu, layers_within, needs_of
from llm_service.settings import DEMO_MODEL, LlmSettings

pytestmark = [pytest.mark.contract, pytest.mark.anyio]

PARAMS = BatchParams(slots=2, slot_tokens=512, batch_tokens=100)
NEEDS = Needs(layers=10, model_bytes=10_000, bytes_per_layer_token=1, score_bytes=4)  # 1000 + 1024 a layer
no_gpu = pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")


def test_what_a_model_needs_is_read_from_its_file() -> None:
    needs = needs_of(DEMO_MODEL)

    assert (needs.layers, needs.model_bytes) == (4, DEMO_MODEL.stat().st_size)
    assert needs.bytes_per_layer_token == 4 * 2 * 64 * 2  # heads, keys and values, the width of a head, bytes
    assert needs.score_bytes > 4 * 256


@pytest.mark.parametrize(
    ("devices", "share", "expected"),
    [
        ([Device(40_000, 40_000)], 1, 11),
        ([Device(40_000, 40_000)], 0.5, 9),
        ([Device(5_000, 40_000)], 0.5, 2),  # others have taken the rest
        ([Device(10_000, 10_000), Device(10_000, 10_000)], 0.5, 4),
        ([Device(40_000, 40_000)], 0.01, 0),
    ],
)
def test_layers_are_counted_with_their_context_and_the_work_of_a_step(
    devices: list[Device], share: float, expected: int
) -> None:
    assert layers_within(NEEDS, devices, share, PARAMS) == expected


@no_gpu
def test_without_a_gpu_nothing_changes() -> None:
    assert [layers_on_gpu(DEMO_MODEL, wanted, 0.5, PARAMS) for wanted in (0, 3)] == [0, 3]
    assert layers_on_gpu(Path("none.gguf"), 3, None, PARAMS) == 3


@no_gpu
async def test_the_engine_serves_with_a_share_where_there_is_no_gpu() -> None:
    engine = load(LlmSettings(engine="llama_cpp", gpu_memory_share=0.25))
    async with engine.running():
        assert await engine.target(30) is not None
