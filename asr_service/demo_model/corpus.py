"""What the demo recogniser learns to hear: sentences and templates of corpus.json, and pieces of them.

Pure: randomness comes from the caller. One template sentence in eight is held out, by a checksum of its text: training
never says it whole, so that the evaluation can ask for sentences nobody taught.
Run: python -m asr_service.demo_model.corpus
"""

import itertools
import json
import re
import zlib
from pathlib import Path
from random import Random
from typing import Any

LANGUAGES = ("zh", "ko", "en")
HELD_OUT_ONE_IN = 8
FIXED_SHARE = 0.55
# Shares of what a training text is; the rest are whole sentences. A stream hears beginnings all the time.
PREFIX_SHARE, SUFFIX_SHARE, SPLICE_SHARE = 0.17, 0.05, 0.13


class Language:
    """Everything that is said in one language."""

    def __init__(self, code: str, texts: dict[str, Any]) -> None:
        self.code = code
        self.glue = "" if code == "zh" else " "
        self.fixed: list[str] = [text for line in texts["fixed"] for text in line.split("|")]
        slots = {name: values.split("|") for name, values in texts["slots"].items()}
        self.weights: list[int] = [weight for weight, _ in texts["templates"]]
        every = [expand(template, slots) for _, template in texts["templates"]]
        known = set(self.fixed)
        self.taught = [[text for text in texts if text in known or not is_held_out(text)] for texts in every]
        self.held_out = sorted({text for texts in every for text in texts if is_held_out(text)} - known)
        self.secret = set(self.held_out)

    def known(self, random: Random) -> str:
        """A whole sentence from what is taught."""
        if random.random() < FIXED_SHARE:
            return random.choice(self.fixed)
        return random.choice(random.choices(self.taught, self.weights)[0])

    def sample(self, random: Random) -> str:
        """A training text: a sentence, a part of one, or two spliced; never a held-out sentence."""
        while (text := self.piece(random)) in self.secret:
            pass
        return text

    def piece(self, random: Random) -> str:
        draw, words = random.random(), self.words(self.known(random))
        if draw < PREFIX_SHARE:
            words = words[: random.randint(1, len(words))]
        elif draw < PREFIX_SHARE + SUFFIX_SHARE:
            words = words[random.randrange(len(words)) :]
        elif draw < PREFIX_SHARE + SUFFIX_SHARE + SPLICE_SHARE:
            other = self.words(self.known(random))
            words = words[: random.randint(1, len(words))] + other[random.randrange(len(other)) :]
        return self.glue.join(words)

    def words(self, text: str) -> list[str]:
        """What errors are counted in: characters in Mandarin, words elsewhere."""
        return list(text) if self.code == "zh" else text.split()

    def spelt(self, text: str) -> str:
        """As the tokeniser sees it: with a leading space where words are spaced."""
        return self.glue + text


def expand(template: str, slots: dict[str, list[str]]) -> list[str]:
    """Every sentence of a template."""
    names = re.findall(r"\{(\w+)\}", template)
    return [
        template.format(**dict(zip(names, values, strict=True)))
        for values in itertools.product(*(slots[name] for name in names))
    ]


def is_held_out(text: str) -> bool:
    return zlib.crc32(text.encode()) % HELD_OUT_ONE_IN == 0


def languages() -> dict[str, Language]:
    texts = json.loads(Path(__file__).with_name("corpus.json").read_text(encoding="utf-8"))
    return {code: Language(code, texts[code]) for code in LANGUAGES}


if __name__ == "__main__":
    for language in languages().values():
        taught = sum(len(texts) for texts in language.taught)
        print(language.code, len(language.fixed), "fixed", taught, "from templates", len(language.held_out), "held out")
