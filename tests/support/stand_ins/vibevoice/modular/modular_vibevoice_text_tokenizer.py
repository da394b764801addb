"""VibeVoice's tokenizer: it keeps the words that it was given last."""


class VibeVoiceTextTokenizerFast:
    def __init__(self) -> None:
        self.words: list[str] = []

    @classmethod
    def from_pretrained(cls, folder: str) -> "VibeVoiceTextTokenizerFast":
        return cls()
