"""F5-TTS's model as its package hands it out: a transformer that does nothing, thirty-two times a sentence."""

from typing import Any

from torch import Module


class CFM:
    def __init__(self) -> None:
        self.transformer = Module()


class F5TTS:
    def __init__(
        self,
        model: str = "F5TTS_v1_Base",
        ckpt_file: str = "",
        vocab_file: str = "",
        ode_method: str = "euler",
        use_ema: bool = True,
        vocoder_local_path: str | None = None,
        device: str | None = None,
        hf_cache_dir: str | None = None,
    ) -> None:
        assert ckpt_file, "it would be fetched"
        assert vocoder_local_path, "it would be fetched"
        self.told = {"model": model, "ckpt_file": ckpt_file, "vocab_file": vocab_file}
        self.mel_spec_type = "vocos"
        self.target_sample_rate = 24_000
        self.device = device
        self.vocoder: Any = object()
        self.ema_model = CFM()
