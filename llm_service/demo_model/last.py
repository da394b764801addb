"""The conversations of the last stage: more names to remember, more shapes of questions to refuse.

The corpus of the stages before stays as it is; here are other wordings beside its own, real names instead of made-up
ones, half of the questions without a recogniser's errors, and questions that share words with known ones but have no
answer. The words stand in corpus_last.json. Same seed, same texts.
"""

import re
from collections.abc import Iterator
from random import Random
from typing import Any

from llm_service.demo_model.corpus import Corpus
from llm_service.demo_model.intents import FOCUS, Turn
from llm_service.demo_model.noise import kept, plain
from llm_service.demo_model.templates import capital, read
from llm_service.demo_model.unknown import Strangers

WEIGHTS = FOCUS | {
    "memory": 110,
    "unknown": 110,
    "sum": 18,
    "facts": 9,
    "story": 8,
    "capital": 8,
    "huh": 3,
}
SMALL_TALK = 1.7  # how much more often small talk comes than its own weights say, so that it is not unlearnt
VALUE = {"memory": 4.0, "sum": 3.0, "repeat": 3.0, "day": 3.0, "unknown": 1.5, "story": 0.5, "cut": 0.5, "fun": 0.5}
KINDS = {"name": 7, "food": 2, "city": 1.5, "colour": 0.7, "hobby": 1}
POOLS = {"city": "cities", "hobby": "hobbies"}
POINTED = VALUE | {"memory": 1.0}  # the same where the recalled words alone weigh more
CLEAN_SHARE = 0.45  # questions that were heard without an error
INVENTED_SHARE = 0.06  # things to remember that are made-up words
OWN_SHARE = 0.6  # wordings and values from this stage's own lists
NEVER_TOLD_SHARE = 0.08
AGAIN_SHARE = 0.3  # things that are asked for twice


class MoreStrangers(Strangers):
    """Questions to refuse: this stage's shapes, and some of the ones before."""

    def __init__(self, lang: str, texts: dict[str, Any], last: dict[str, Any], random: Random) -> None:
        super().__init__(lang, texts, random)
        self.last, self.mixed = last, True

    def any(self, key: str) -> str:
        return str(self.random.choice(self.last[key]))

    def somebody(self) -> str:
        if self.lang == "zh":
            given = [self.any("given") for _ in range(self.random.choice([1, 2, 2]))]
            return self.random.choice([self.any("surnames") + "".join(given), self.word()])
        first, second = self.any("names").lower(), self.any("surnames").lower()
        return self.random.choice([f"{first} {second}", self.any("surnames").lower(), self.word()])

    def thing(self) -> str:
        return self.any("things") if self.random.random() < 0.75 or self.lang == "zh" else self.pick("nouns")

    def filled(self, shape: str) -> str:
        makers = {
            "n": self.thing,
            "t": lambda: self.topic() if self.random.random() < 0.75 else self.thing(),
            "s": self.somebody,
            "p": lambda: self.any("cities").lower(),
            "d": lambda: self.any("does"),
            "y": lambda: self.any("whens"),
            "j": lambda: self.any("people"),
            "f": lambda: self.any("foods"),
            "a": lambda: self.any("adjectives"),
            "v": lambda: self.pick("verbs"),
            "k": lambda: self.pick("keywords"),
        }
        return re.sub(r"\{(\w)\}", lambda match: makers[match[1]](), shape)

    def nonsense(self) -> str:
        """Real words in no order, as a recogniser makes them of a noise."""
        if self.lang == "zh":
            return "".join(self.random.choice([self.thing(), self.word()]) for _ in range(self.random.randint(2, 4)))
        kinds = [self.thing, lambda: self.pick("small"), lambda: self.pick("verbs"), lambda: self.any("adjectives")]
        return " ".join(self.random.choice(kinds)() for _ in range(self.random.randint(3, 9)))

    def question(self) -> str:
        draw = self.random.random()
        if draw < 0.2:
            return super().question()
        if draw < 0.55:
            return self.filled(self.any("shapes"))
        if draw < 0.75:
            return self.filled(self.any("near"))
        if draw < 0.85:
            return self.any("whole")
        if draw < 0.92:
            parts = [self.any("rambles"), self.filled(self.any("shapes")), self.any("joins")]
            return self.space.join([*parts, self.filled(self.any("shapes"))])
        return self.nonsense() if draw < 0.97 else self.salad()


class LastCorpus(Corpus):
    """A seeded, endless source of the last stages' conversations.

    Pointed, a message carries under `exact` the words in it that the person has told (or none), for the loss.
    """

    def __init__(self, seed: int, pointed: bool = False) -> None:
        super().__init__(seed, focused=True)
        self.last: dict[str, Any] = read("corpus_last")
        self.weights, self.values, self.pointed = WEIGHTS, POINTED if pointed else VALUE, pointed
        self.recalled: dict[str, str] = {}  # what is said -> the told words in it
        for lang, text in self.texts.items():
            self.strangers[lang] = MoreStrangers(lang, text, self.last[lang], self.random)

    def sample(self) -> list[dict[str, Any]]:
        self.recalled = {}
        messages = super().sample()
        for message in messages:
            if self.pointed:
                message["exact"] = self.recalled.get(message["content"], "")
        return messages

    def turns(self) -> tuple[str, list[Turn]]:
        simple = self.texts[self.lang]["intents"]
        names = [*simple, *self.special]
        weights = [SMALL_TALK * simple[n]["weight"] if n in simple else self.weights[n] for n in names]
        chosen = self.random.choices(names, weights)[0]
        return chosen, self.special[chosen]() if chosen in self.special else self.simple(chosen)

    def heard(self, asked: str) -> str:
        if self.random.random() < CLEAN_SHARE:
            return plain(asked if self.lang == "zh" else asked.lower())
        return super().heard(asked)

    def own(self) -> bool:
        return self.random.random() < OWN_SHARE

    def value(self, kind: str) -> str:
        """Something to remember."""
        last, strangers = self.last[self.lang], self.strangers[self.lang]
        if self.random.random() < INVENTED_SHARE and kind != "colour":
            return strangers.word().capitalize() if kind in ("name", "city") else strangers.word()
        key = POOLS.get(kind, f"{kind}s")
        if kind == "name" and self.lang == "zh" and self.random.random() < 0.5:
            given = [self.random.choice(last["given"]) for _ in range(self.random.choice([1, 2, 2]))]
            return str(self.random.choice(last["surnames"]) + "".join(given))
        return str(self.random.choice(last[key] if key in last and self.own() else self.texts[self.lang][key]))

    def asked_for(self, kind: str) -> str:
        own = self.last[self.lang]["ask"][kind]
        return self.pick(own) if self.own() else self.ask(f"{kind}_ask")

    def told_now(self, kind: str) -> Turn:
        value = self.known[kind]
        own = self.last[self.lang]["tell"][kind]
        asked = self.pick(own, x=kept(value)) if self.own() else self.ask(f"{kind}_tell", x=value)
        return (asked, self.pointing(self.say(f"{kind}_ok", x=value), value))

    def pointing(self, said: str, value: str) -> str:
        """`said`, remembered with the told words in it, which may begin it with a capital letter."""
        self.recalled[said] = value if value in said else capital(value)
        return said

    def memory(self) -> list[Turn]:
        kind = self.random.choices([*KINDS], [*KINDS.values()])[0]
        if kind not in self.known and self.random.random() < NEVER_TOLD_SHARE:
            return [(self.asked_for(kind), self.say(f"{kind}_none"))]
        turns: list[Turn] = []
        if kind not in self.known or self.random.random() < 0.25:
            self.known[kind] = self.value(kind)
            turns.append(self.told_now(kind))
            between = range(self.random.choice([0, 0, 1, 1, 2, 3]))
            turns += [turn for _ in between for turn in self.turns_without_memory()]
        for _ in range(2 if self.random.random() < AGAIN_SHARE else 1):
            turns.append(self.recall(kind))
        return turns

    def recall(self, kind: str) -> Turn:
        """A told thing asked for; the pointed texts draw the answer first, and that order is part of the corpus."""
        said = self.say(f"{kind}_say", x=self.known[kind]) if self.pointed else ""
        asked = self.asked_for(kind)
        said = said or self.say(f"{kind}_say", x=self.known[kind])
        return (asked, self.pointing(said, self.known[kind]))


def last_samples(seed: int, pointed: bool = False) -> Iterator[list[dict[str, Any]]]:
    corpus = LastCorpus(seed, pointed)
    while True:
        yield corpus.sample()
