"""A voice of VibeVoice is read by the real PyTorch, and nothing in its file is run."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.errors import EngineFailed
from tts_service.engines.vibevoice import PARTS, read_voice

pytestmark = pytest.mark.contract


def output(length: int) -> Any:
    from transformers.cache_utils import DynamicCache
    from transformers.modeling_outputs import BaseModelOutputWithPast

    cache = DynamicCache()
    cache.update(torch.randn(1, 2, length, 4), torch.randn(1, 2, length, 4), 0)
    return BaseModelOutputWithPast(last_hidden_state=torch.randn(1, length, 8), past_key_values=cache)


def test_a_voice_is_read_as_it_was_written(tmp_path: Path) -> None:
    voice = {part: output(length) for length, part in enumerate(PARTS, 3)}
    torch.save(voice, tmp_path / "en-Carter_man.pt")
    read = read_voice(tmp_path / "en-Carter_man.pt", "cpu")
    assert list(read) == list(PARTS)
    for part in PARTS:
        assert type(read[part]) is type(voice[part])
        assert torch.equal(read[part].last_hidden_state, voice[part].last_hidden_state)
        assert read[part].past_key_values.get_seq_length() == voice[part].past_key_values.get_seq_length()


class Mallory:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("was-run",)


def test_a_file_that_would_run_something_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**{part: output(3) for part in PARTS}, "more": Mallory()}, tmp_path / "en-Mallory.pt")
    with pytest.raises(EngineFailed, match="holds something else than a voice"):
        read_voice(tmp_path / "en-Mallory.pt", "cpu")
    assert not (tmp_path / "was-run").exists()
