"""These tests need PyTorch and what is built on it; they run in an environment of their own, by `make test-torch`."""

from importlib.util import find_spec
from pathlib import Path

import pytest

collect_ignore_glob = [] if find_spec("torch") and find_spec("funasr") else ["test_*"]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny folders of each kind, which are not to be changed: streaming, paraformer, sense-voice, punctuation."""
    from asr_service.demo_model import tiny_funasr
    from asr_service.engines.funasr_models import prepare

    prepare("cpu", 1.0)
    out = tmp_path_factory.mktemp("funasr")
    tiny_funasr.write(out)
    return out
