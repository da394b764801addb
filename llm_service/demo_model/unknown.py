"""Questions that the demo model must refuse: real topics, put-together topics, nonsense words, rambling.

Pure: randomness comes from the caller. Topics and shapes (in corpus_en.json and corpus_zh.json) are many on purpose,
since the refusal must not hang on a wording.
"""

import re
from random import Random
from typing import Any

MIXED_SHARE = 0.45


class Strangers:
    """Makes questions nobody prepared an answer for, in one language."""

    def __init__(self, lang: str, texts: dict[str, Any], random: Random) -> None:
        self.lang, self.random = lang, random
        self.topics: list[str] = texts["topics"].split("|")
        self.near: list[str] = texts["near"]
        self.parts: dict[str, Any] = texts["strangers"]
        self.mixed = False  # whether words that the model knows shall stand in strange questions
        self.space = "" if lang == "zh" else " "

    @property
    def slips(self) -> list[str]:
        """Words that slip into what a recogniser hears."""
        if self.lang == "zh":
            return []
        return [*self.parts["nouns"], *self.parts["verbs"], *self.parts["slips"]]

    def pick(self, kind: str) -> str:
        return str(self.random.choice(self.parts[kind]))

    def word(self) -> str:
        """A word that does not exist, or meaningless characters."""
        if self.lang == "zh":
            return "".join(self.pick("signs") for _ in range(self.random.choice([2, 2, 3, 4])))
        syllables = self.random.choice([1, 2, 2, 3])
        return "".join(self.pick("onsets") + self.pick("vowels") for _ in range(syllables)) + self.pick("codas")

    def words(self, number: int) -> list[str]:
        if self.lang == "zh":
            return [self.random.choice([self.word(), self.random.choice(self.topics)]) for _ in range(min(number, 2))]
        return [self.random.choice([self.word(), self.pick("nouns"), self.pick("verbs")]) for _ in range(number)]

    def topic(self) -> str:
        draw = self.random.random()
        if self.lang == "zh":
            topic = self.random.choice(self.topics)
            if draw < 0.15:
                return self.word()
            return topic + self.random.choice(self.topics) if draw < 0.3 else topic
        noun, adjective = self.pick("nouns"), self.pick("adjectives")
        if draw < 0.45:
            return self.random.choice(self.topics)
        if draw < 0.6:
            return f"{adjective} {noun}s"
        if draw < 0.72:
            return f"the {noun} of the {self.pick('nouns')}"
        if draw < 0.82:
            return f"{noun}s in {self.pick('places')}"
        return f"the {adjective} {noun}" if draw < 0.9 else self.word()

    def hero(self) -> str:
        """Somebody a story can be about though no template knows them."""
        if self.lang == "zh":
            return self.word() if self.random.random() < 0.5 else self.random.choice(self.topics)
        return self.random.choice(
            [self.word(), self.pick("nouns"), f"{self.pick('adjectives')} {self.pick('nouns')}"],
        )

    def fill(self, shape: str) -> str:
        """A shape with its slots filled: {t} topic, {w} strange word, {n} noun, {v} verb, {p} place, {k} known word."""
        name = self.word
        if self.lang == "en":
            name = self.random.choice([self.word, lambda: self.pick("places")])
        makers = {
            "t": self.topic,
            "w": name,
            "n": lambda: self.pick("nouns"),
            "v": lambda: self.pick("verbs"),
            "p": lambda: self.pick("places"),
            "k": lambda: self.pick("keywords"),
        }
        return re.sub(r"\{(\w)\}", lambda match: makers[match[1]](), shape)

    def salad(self) -> str:
        """Words without any sense."""
        if self.lang == "zh":
            return "".join(self.pick("signs") for _ in range(self.random.randint(3, 12)))
        return " ".join(
            self.random.choice([self.pick("small"), self.pick("nouns"), self.pick("verbs"), self.word()])
            for _ in range(self.random.randint(3, 12))
        )

    def question(self) -> str:
        """One question, clean; the caller adds the recogniser's errors."""
        if self.mixed and self.random.random() < MIXED_SHARE:
            return self.fill(self.pick("mixed"))
        draw = self.random.random()
        asked = self.fill(self.pick("shapes"))
        if draw < 0.1:
            return self.salad()
        if draw > 0.8:
            return self.fill(self.random.choice(self.near))
        if draw < 0.2:
            return self.pick("rambles") + self.space + asked + self.space + self.fill(self.pick("shapes"))
        return asked
