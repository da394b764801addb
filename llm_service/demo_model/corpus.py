"""Small talk in English and Chinese from our own templates: every conversation the demo model learns from.

`Corpus(seed).sample()` gives one conversation in ChatML roles. The data stands in corpus*.json, what can be asked in
intents.py; here is how a conversation is put together. Same seed, same texts: the order of random calls is part of the
corpus. No outside text goes in.
Run: python -m llm_service.demo_model.corpus NUMBER SEED
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from llm_service.demo_model.intents import FOCUS, VALUE, WEIGHTS, Intents, Turn
from llm_service.demo_model.noise import Recogniser, typed

TURNS = (1, 2, 3, 4, 5, 6, 7)
OPENING_SHARE = 0.2  # conversations that begin with the persona's opening line
SWITCH_SHARE = 0.06  # intents before which the person changes the language
UNHEARD_SHARE = 0.03  # questions whose answer was not heard at all, so that none stands in the history
BROKEN_SHARE = 0.08  # replies that were interrupted
TYPED_SHARE = 0.22  # questions that were typed, not spoken
# How often a persona is spoken to in Chinese.
CHINESE_SHARE = {"sun_wukong": 0.7, "assistant": 0.45, "other": 0.5, "harry_potter": 0.35, "iron_man": 0.35}


class Corpus(Intents):
    """A seeded, endless source of conversations."""

    def __init__(self, seed: int, focused: bool = False) -> None:
        super().__init__(seed)
        self.weights = FOCUS if focused else WEIGHTS
        self.values = VALUE if focused else {}
        for strangers in self.strangers.values():
            strangers.mixed = focused
        self.recognisers = {
            lang: Recogniser(text, self.strangers[lang].slips, self.random) for lang, text in self.texts.items()
        }

    def sample(self) -> list[dict[str, Any]]:
        """Messages of one conversation: role, content, and `cut` where a reply broke off and is not to be learnt."""
        self.begin()
        messages: list[dict[str, Any]] = self.system()
        if self.random.random() < OPENING_SHARE:
            messages.append({"role": "assistant", "content": self.random.choice(self.persona["opening"]), "cut": True})
        for _ in range(self.random.choice(TURNS)):
            if self.random.random() < SWITCH_SHARE:
                self.switch()
            intent, turns = self.turns()
            value = {"value": self.values[intent]} if intent in self.values else {}
            for asked, said, *cut in turns:
                if self.random.random() < UNHEARD_SHARE:
                    messages.append({"role": "user", "content": self.heard(self.strangers[self.lang].question())})
                messages += [
                    {"role": "user", "content": self.heard(asked)},
                    {"role": "assistant", "content": said} | ({"cut": True} if cut else value),
                ]
            if self.random.random() < BROKEN_SHARE:
                self.break_off(messages[-1])
        return messages

    def begin(self) -> None:
        personas = self.base["personas"]
        self.persona = self.random.choices(personas, [p["weight"] for p in personas])[0]
        self.lang = "zh" if self.random.random() < CHINESE_SHARE[self.persona["id"]] else "en"
        self.other = self.random.choice(self.base["others"][f"{self.lang}_names"])
        self.known = {}
        self.name_me()

    def name_me(self) -> None:
        self.me = self.persona[f"{self.lang}_name"] or self.other

    def switch(self) -> None:
        if self.persona["id"] != "other":
            self.lang = "en" if self.lang == "zh" else "zh"
            self.known = {}
            self.name_me()

    def system(self) -> list[dict[str, Any]]:
        draw = self.random.random()
        if self.persona["id"] == "assistant" and draw > 0.92:
            return []
        prompt = self.persona["prompt"]
        if self.persona["id"] == "other":
            prompt = self.pick(self.base["others"][self.lang], me=self.me).strip()
        elif draw > 0.65:
            prompt = self.random.choice(self.persona["paraphrases"])
        if self.random.random() < 0.12:
            prompt += self.random.choice(self.base["added"]["en" if prompt.isascii() else "zh"])
        return [{"role": "system", "content": prompt}]

    def turns(self) -> tuple[str, list[Turn]]:
        simple = self.texts[self.lang]["intents"]
        names = [*simple, *self.special]
        weights = [simple[n]["weight"] if n in simple else self.weights[n] for n in names]
        chosen = self.random.choices(names, weights)[0]
        return chosen, self.special[chosen]() if chosen in self.special else self.simple(chosen)

    def heard(self, asked: str) -> str:
        zh = self.lang == "zh"
        if self.random.random() < TYPED_SHARE:
            return typed(asked, zh, self.random)
        ear = self.recognisers[self.lang]
        return ear.signs(asked) if zh else ear.words(asked.lower())

    def break_off(self, message: dict[str, Any]) -> None:
        text = message["content"]
        if len(text) > 12:
            message["content"] = text[: self.random.randrange(5, len(text) - 3)].rstrip()
            message["cut"] = True


def samples(seed: int, focused: bool = False) -> Iterator[list[dict[str, Any]]]:
    corpus = Corpus(seed, focused)
    while True:
        yield corpus.sample()


if __name__ == "__main__":
    source = samples(int(sys.argv[2]))
    for _ in range(int(sys.argv[1])):
        print(json.dumps(next(source), ensure_ascii=False))
