"""These tests need PyTorch and the classes of CosyVoice; they run in an environment of their own, by
`make test-cosyvoice`. TTS_COSYVOICE_SOURCE names other classes than those that lie in it.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("TTS_COSYVOICE_SOURCE") or Path(sys.prefix) / "source")
IS_HERE = bool(find_spec("torch") and find_spec("hyperpyyaml") and (SOURCE / "cosyvoice").is_dir())
collect_ignore_glob = [] if IS_HERE else ["test_tts_cosyvoice*"]
STORED = "我"  # the voice that a folder of CosyVoice 2 holds when one was saved there


@pytest.fixture(scope="session")
def source() -> Path:
    return SOURCE


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny folders, which are not to be changed: `one`, `two` without any voice, and `voiced`, which is 2 with one."""
    import shutil

    import torch

    from tests.support import cosyvoice_models
    from tts_service.engines import cosyvoice_model, cosyvoice_source
    from tts_service.engines.cosyvoice import write_noise
    from tts_service.engines.cosyvoice_speaker import described

    torch.set_num_threads(1)
    classes = cosyvoice_source.classes(SOURCE)
    out = tmp_path_factory.mktemp("cosyvoice")
    cosyvoice_models.write(1, out / "one")
    cosyvoice_models.write(2, out / "two")
    shutil.copytree(out / "two", out / "voiced")
    write_noise(out / "noise.wav")
    loaded = cosyvoice_model.load(classes, out / "two")
    torch.save({STORED: described(loaded, out / "noise.wav", "你好")}, out / "voiced" / "spk2info.pt")
    return out


@pytest.fixture(scope="session")
def recording(folders: Path) -> Path:
    """Four seconds of noise."""
    return folders / "noise.wav"
