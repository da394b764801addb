"""A meter in ctranslate2's Whisper: counts what it is asked for, and can make every decode equally long."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from time import process_time
from typing import Any

import ctranslate2

POSITIONS_A_TOKEN = 12  # of 20 ms: made-up words come four in a second
FIRST_WORD = 1_400  # of the made-up words in a random model's vocabulary
FEWEST_TOKENS = 3  # fewer cannot be asked for


@dataclass
class Meter:
    """What models were asked to do, and their CPU time in seconds."""

    encodes: int = 0
    decodes: int = 0
    tokens: int = 0
    positions: int = 0  # of 20 ms, that encoders looked at
    encode_s: float = 0.0
    decode_s: float = 0.0

    @contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Add the CPU time of the whole process within to a field."""
        began_s = process_time()
        try:
            yield
        finally:
            setattr(self, what, getattr(self, what) + process_time() - began_s)

    def reset(self) -> None:
        """Begin again from nothing."""
        for one in fields(self):
            setattr(self, one.name, one.default)


@dataclass(frozen=True)
class Made:
    """The result of a decode whose tokens were counted and thrown away."""

    sequences_ids: list[list[int]]
    scores: list[float] = field(default_factory=lambda: [-0.2])
    no_speech_prob: float = 0.01


@contextmanager
def metering(meter: Meter, tokens: int | None = None) -> Iterator[None]:
    """Models that are loaded within are metered. With `tokens`, every decode takes exactly so many, greedily, and
    reads made-up words, more of them the longer the window is.
    """
    plain = ctranslate2.models.Whisper
    ctranslate2.models.Whisper = _metered(plain, meter, tokens)
    try:
        yield
    finally:
        ctranslate2.models.Whisper = plain


def _metered(plain: Any, meter: Meter, tokens: int | None) -> Any:
    class Metered(plain):  # type: ignore[misc]
        def encode(self, *args: Any, **options: Any) -> Any:
            with meter.timing("encode_s"):
                encoded = super().encode(*args, **options)
            meter.encodes += encoded.shape[0]
            meter.positions += encoded.shape[0] * encoded.shape[1]
            return encoded

        def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> Any:
            if tokens is not None:
                options |= exactly(tokens, prompts[0])
            with meter.timing("decode_s"):
                results = super().generate(encoded, prompts, **options)
            lengths = [len(result.sequences_ids[0]) for result in results]
            meter.decodes += len(lengths)
            meter.tokens += sum(lengths)
            if tokens is None:
                return results
            assert set(lengths) == {tokens}, f"decodes of {lengths} tokens, not {tokens}"
            read = min(tokens, encoded.shape[1] // POSITIONS_A_TOKEN)
            return [Made([list(range(FIRST_WORD, FIRST_WORD + read))]) for _ in lengths]

    return Metered


def exactly(tokens: int, prompt: list[int]) -> dict[str, Any]:
    """Options for decodes of so many tokens: half of `max_length` come out at most, and the end of the text never.

    The prompt begins with the token after it.
    """
    assert tokens >= FEWEST_TOKENS
    longest = max(2 * tokens, tokens + len(prompt) - 1)
    return {"max_length": longest, "suppress_tokens": [prompt[0] - 1], "beam_size": 1}
