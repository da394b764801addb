"""The recogniser's benchmarks run and say what they promise; their figures are for a person to read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import ctranslate2
import numpy as np
import pytest

from asr_service.settings import DEMO_MODEL
from shared import threads
from shared.clock import now_s
from tests.bench import skipped_idle, whisper_weights
from tests.bench.asr_audio import dialogue, script
from tests.bench.asr_meter import Meter, metering

pytestmark = pytest.mark.service

TOP = Path(__file__).parents[2]
START_OF_TRANSCRIPT, PROMPT = 50_258, [50_258, 50_259, 50_359, 50_363]


def last_line(*command: str) -> dict[str, Any]:
    """The last line that a benchmark prints, as JSON."""
    ran = subprocess.run([sys.executable, "-m", *command], cwd=TOP, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    line: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return line


def encoded(model: ctranslate2.models.Whisper, frames: int) -> Any:
    mel = np.random.default_rng(1).normal(0, 0.5, (1, 80, frames)).astype(np.float32)
    return model.encode(ctranslate2.StorageView.from_array(mel))


def loaded(folder: Path) -> ctranslate2.models.Whisper:
    return ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="int8", intra_threads=1)


def test_weights_are_written_as_they_were_read(tmp_path: Path) -> None:
    whisper_weights.write(whisper_weights.read(DEMO_MODEL / "model.bin"), tmp_path / "model.bin")

    assert (tmp_path / "model.bin").read_bytes() == (DEMO_MODEL / "model.bin").read_bytes()


def test_the_stretched_model_hears_as_the_demo_model_and_takes_thirty_seconds(tmp_path: Path) -> None:
    demo, stretched = loaded(DEMO_MODEL), loaded(whisper_weights.stretched(tmp_path))

    assert np.array_equal(np.array(encoded(demo, 300)), np.array(encoded(stretched, 300)))
    assert encoded(stretched, 3_000).shape == [1, 1_500, 128]


def test_the_random_model_has_whisper_tiny_s_sizes_and_decodes_as_long_as_it_is_told(tmp_path: Path) -> None:
    meter = Meter()
    with metering(meter, tokens=4):
        model = loaded(whisper_weights.random_tiny(tmp_path))

    heard = encoded(model, 200)
    read = model.generate(heard, [PROMPT])[0]

    words = json.loads((tmp_path / "vocabulary.json").read_text())
    assert (model.is_multilingual, model.num_languages, model.n_mels) == (True, 99, 80)
    assert (len(words), words[START_OF_TRANSCRIPT]) == (51_865, "<|startoftranscript|>")
    assert heard.shape == [1, 100, 384]
    assert len(read.sequences_ids[0]) == 4
    assert (meter.encodes, meter.decodes, meter.tokens, meter.positions) == (1, 1, 4, 100)


def test_a_dialogue_is_the_same_each_time_and_says_where_its_turns_are() -> None:
    once, again = dialogue(20), dialogue(20)

    assert np.array_equal(once.samples, again.samples)
    assert [turn.language for turn in once.turns][:3] == ["en", "zh", "ko"]
    assert once.language_at(once.turns[1].end_samples) == "zh"
    assert b"".join(part for part in script(once, 320) if isinstance(part, bytes)) == once.samples.tobytes()


def test_skipped_idle_time_passes_on_the_clock_alone_and_threads_are_waited_for() -> None:
    async def hours() -> tuple[float, str]:
        began_s = now_s()
        await anyio.sleep_until(began_s + 7_200)
        return now_s() - began_s, await threads.call(str, "done")

    slept_s, said = skipped_idle.run(hours)

    assert slept_s >= 7_200
    assert said == "done"


def test_the_cost_benchmark_ends_with_what_hearing_costs_beside_the_plain_ways() -> None:
    line = last_line("tests.bench.asr_cost", "--seconds", "1", "--trained-only")

    assert line["model"] == "whisper-demo"
    assert line["audio_s"] > 1
    assert line["naive_decodes"] == line["audio_s"] // 0.25
    assert line["stock_decodes"] == line["utterances"] > 0
    assert line["cost_vs_naive"] == pytest.approx(line["ours_cpu_s_per_s"] / line["naive_cpu_s_per_s"], rel=0.01)
    assert line["cost_vs_stock"] == pytest.approx(line["ours_cpu_s_per_s"] / line["stock_cpu_s_per_s"], rel=0.01)


def test_the_streams_benchmark_ends_with_delays_and_memory() -> None:
    line = last_line("tests.bench.asr_streams", "--streams", "1", "--seconds", "1")

    assert (line["engine"], line["model_loads"]) == ("faster-whisper", 1)
    run = line["runs"][0]
    assert run["streams"] == 1
    assert run["utterances"] >= 1
    assert 0 < run["partial_p50_ms"] <= run["partial_p95_ms"]
    assert 0 <= run["candidate_was_final"] <= 1
    assert {"final_p95_ms", "final_p95_ms_if_candidate", "cpu_share", "memory_mib", "stale_dropped"} <= set(run)
