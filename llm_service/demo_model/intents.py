"""What the demo model can be asked, each intent with the answer it shall learn.

Every intent gives turns: what the person asks, what the model says, and "cut" where its saying was broken off. The
words stand in corpus_en.json, corpus_zh.json and corpus_story.json. The order of random calls is part of the corpus.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Any

from llm_service.demo_model.noise import kept
from llm_service.demo_model.templates import capital, expand, read, with_articles
from llm_service.demo_model.unknown import Strangers

Turn = tuple[str, ...]

# How often an intent is chosen, beside the weights that small talk carries in the JSON.
WEIGHTS = {
    "capital": 5,
    "colour": 2,
    "sound": 2,
    "opposite": 1,
    "translate": 2,
    "facts": 4,
    "only": 3,
    "day": 2,
    "sum": 6,
    "big": 1,
    "count": 2,
    "repeat": 3,
    "joke": 4,
    "riddle": 3,
    "fun": 1,
    "story": 6,
    "memory": 12,
    "huh": 1,
    "unknown": 40,
    "offer": 5,
    "cut": 3,
}

# The second stage of the training: more of what must be taken from the person's own words.
FOCUS = WEIGHTS | {
    "memory": 45,
    "sum": 24,
    "repeat": 14,
    "story": 12,
    "day": 8,
    "count": 6,
    "riddle": 5,
    "colour": 5,
    "sound": 5,
    "opposite": 3,
    "cut": 2,
    "unknown": 80,
    "only": 5,
}
# What an answer of these intents weighs in the loss of the second stage; long texts of free choice weigh less.
VALUE = {"memory": 3.0, "sum": 3.0, "repeat": 3.0, "day": 3.0, "count": 2.0, "story": 0.6, "cut": 0.5, "riddle": 2.0}


class Intents:
    """One persona, one language and what is known of the person, and the turns that follow from them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.base = read("corpus")
        self.texts = {"en": read("corpus_en"), "zh": read("corpus_zh")}
        self.stories = read("corpus_story")
        self.strangers = {lang: Strangers(lang, text, self.random) for lang, text in self.texts.items()}
        self.persona: dict[str, Any] = {}
        self.lang = "en"
        self.me = self.other = ""
        self.known: dict[str, str] = {}
        self.special = self.specials()

    def specials(self) -> dict[str, Callable[[], list[Turn]]]:
        """Every intent that needs more than a list of answers."""
        return {
            "capital": lambda: self.paired("capital"),
            "colour": lambda: self.paired("colour"),
            "sound": lambda: self.paired("sound"),
            "opposite": lambda: self.paired("opposite"),
            "translate": lambda: self.paired("translate"),
            "facts": self.fact,
            "only": self.only,
            "day": self.day,
            "sum": self.sum,
            "big": self.big,
            "count": self.count,
            "repeat": self.repeat,
            "joke": self.joke,
            "riddle": self.riddle,
            "fun": self.fun,
            "story": self.story,
            "memory": self.memory,
            "huh": self.huh,
            "unknown": self.unknown,
            "offer": self.offer,
            "cut": self.cut,
        }

    def pick(self, templates: list[str], **slots: str) -> str:
        return expand(self.random.choice(templates), self.random, **{"me": self.me, **slots})

    def ask(self, key: str, **slots: str) -> str:
        return self.pick(self.texts[self.lang][key], **{name: kept(value) for name, value in slots.items()})

    def say(self, key: str, **slots: str) -> str:
        upper = {"X": capital(slots["x"])} if "x" in slots else {}
        return with_articles(self.pick(self.texts[self.lang][key], **slots, **upper))

    def styled(self, text: str) -> str:
        """The same answer in the persona's manner, now and then."""
        style, draw = self.persona[self.lang], self.random.random()
        if draw < 0.15:
            return str(self.random.choice(style["pre"])) + text
        return text + str(self.random.choice(style["post"])) if draw < 0.3 else text

    def simple(self, name: str) -> list[Turn]:
        intent = self.texts[self.lang]["intents"][name]
        own = intent.get(self.persona["id"])
        says = own if own and self.random.random() < 0.85 else intent["say"]
        slots = {"city": kept(self.random.choice(self.texts[self.lang]["cities"])), "thing": self.thing()}
        return [(self.pick(intent["ask"], **slots), self.refusal() if intent.get("refuse") else self.pick(says))]

    def thing(self) -> str:
        text = self.texts[self.lang]
        pool = self.random.choice([text["foods"], text["hobbies"], text["topics"].split("|"), text["cities"]])
        return str(self.random.choice(pool))

    def led(self, question: str) -> str:
        """A question with a polite or wandering beginning, now and then."""
        lead = self.random.choice(self.texts[self.lang]["leads"])
        return lead + ("" if self.lang == "zh" else " ") + question if self.random.random() < 0.12 else question

    def only(self) -> list[Turn]:
        rows = self.texts[self.lang]["only"].get(self.persona["id"])
        if not rows:
            return self.unknown()
        ask, says = self.random.choice(rows)
        return [(self.pick([ask]), self.pick(says))]

    def paired(self, key: str) -> list[Turn]:
        table = self.texts[self.lang][key]
        a, b = self.random.choice(table["rows"])
        asked = self.pick(table["ask"], a=kept(a if self.lang == "zh" else a.lower()))
        return [(self.led(asked), self.styled(self.pick(table["say"], a=a, b=b, A=capital(a))))]

    def fact(self) -> list[Turn]:
        ask, said = self.random.choice(self.texts[self.lang]["facts"])
        if said.startswith(self.me.split("·")[0]) or self.me in said:
            return self.simple("who")
        return [(self.led(self.pick([ask])), self.styled(said))]

    def day(self) -> list[Turn]:
        text, index, side = self.texts[self.lang], self.random.randrange(7), self.random.choice(["after", "before"])
        a, b = text["days"][index], text["days"][(index + (1 if side == "after" else -1)) % 7]
        return [
            (self.pick(text["day_ask"][side], a=kept(a)), self.styled(self.pick([text["day_say"][side]], a=a, b=b)))
        ]

    def number(self, value: int) -> str:
        return str(value) if self.random.random() < 0.3 else str(self.texts[self.lang]["numbers"][value])

    def sum(self) -> list[Turn]:
        text, sign = self.texts[self.lang], self.random.choice("++-")
        a, b = self.random.randrange(11), self.random.randrange(11)
        a, b = (max(a, b), min(a, b)) if sign == "-" else (a, b)
        c = a + b if sign == "+" else a - b
        asked = self.pick(text["sum_ask"][sign], a=kept(self.number(a)), b=kept(self.number(b)))
        words = text["numbers"]
        said = expand(text["sum_say"][sign], self.random, a=words[a], b=words[b], c=words[c])
        return [(asked, self.styled(capital(said)))]

    def big(self) -> list[Turn]:
        asked = self.ask("big_ask")
        while "{n}" in asked:
            asked = asked.replace("{n}", kept(self.large()), 1)
        while "{m}" in asked:
            asked = asked.replace(
                "{m}", kept(self.random.choice([self.large(), self.number(self.random.randrange(21))])), 1
            )
        return [(asked, self.say("big_say"))]

    def large(self) -> str:
        """A number the model never counts with: above ten, as digits or in words."""
        text = self.texts[self.lang]
        if self.random.random() < 0.5:
            return str(self.random.randrange(11, 10 ** self.random.choice([2, 3, 4])))
        ones = self.random.randrange(1, 10)
        if self.lang == "zh":
            return self.random.choice(
                [text["numbers"][10 + ones], text["numbers"][1 + ones] + "十" + text["numbers"][ones]]
            )
        return self.random.choice(
            [
                text["numbers"][10 + ones],
                self.random.choice(text["tens"]),
                self.random.choice(text["tens"][:8]) + " " + text["numbers"][ones],
            ]
        )

    def count(self) -> list[Turn]:
        text, end = self.texts[self.lang], self.random.randrange(3, 11)
        joined = ("，" if self.lang == "zh" else ", ").join(text["numbers"][1 : end + 1])
        return [(self.ask("count_ask", n=self.number(end)), capital(joined) + ("。" if self.lang == "zh" else "."))]

    def repeat(self) -> list[Turn]:
        text, strangers = self.texts[self.lang], self.strangers[self.lang]
        pool = [*text["foods"], *text["names"], *text["colours"], *text["cities"], *self.stories[self.lang]["heroes"]]
        words = [self.random.choice(pool) for _ in range(self.random.randint(1, 3))]
        if self.random.random() < 0.5:
            words = strangers.words(self.random.randint(1, 4))
        phrase = ("" if self.lang == "zh" else " ").join(words)
        end = "。" if self.lang == "zh" else "."
        return [
            (self.ask("repeat_ask", w=phrase if self.lang == "zh" else phrase.lower()), capital(phrase.lower()) + end)
        ]

    def told(self, key: str, number: int) -> list[str]:
        return self.random.sample(self.texts[self.lang][key], number)

    def joke(self) -> list[Turn]:
        first, *more = self.told("jokes", self.random.choice([1, 1, 2, 3]))
        return [(self.ask("joke_ask"), first), *((self.ask("more_ask"), joke) for joke in more)]

    def fun(self) -> list[Turn]:
        first, *more = self.told("fun", self.random.choice([1, 1, 2]))
        return [(self.ask("fact_ask"), first), *((self.ask("more_ask"), fact) for fact in more)]

    def riddle(self) -> list[Turn]:
        (question, answer), (_, wrong) = self.random.sample(self.texts[self.lang]["riddles"], 2)
        first = (self.ask("riddle_ask"), question)
        draw = self.random.random()
        if draw < 0.4:
            return [first, (self.ask("riddle_give_up"), self.say("riddle_tell", b=answer))]
        if draw < 0.7:
            return [
                first,
                (
                    self.pick(["{b}", "is it {b}"] if self.lang == "en" else ["{b}", "是{b}"], b=kept(answer)),
                    self.say("riddle_right", b=answer),
                ),
            ]
        if draw < 0.8:
            return [first, (kept(wrong), self.say("riddle_wrong", b=answer))]
        return [first]

    def tale(self, hero: str = "") -> str:
        story = self.stories[self.lang]
        hero = hero or self.random.choice(story["heroes"])
        slots = {name: self.random.choice(values) for name, values in story["slots"].items()}
        if self.lang == "zh" and slots["thing"].startswith("一封"):
            slots["thing"] = "长信"
        drop = {self.random.choice([1, 3, 4]) for _ in range(self.random.randrange(3))}
        plan = [options for index, options in enumerate(story["plan"]) if index not in drop]
        sentences = [with_articles(capital(self.pick(options, hero=hero, **slots))) for options in plan]
        return ("" if self.lang == "zh" else " ").join(sentences)

    def story(self) -> list[Turn]:
        hero = self.random.choice(self.stories[self.lang]["heroes"])
        about = self.random.random() < 0.45
        if about and self.random.random() < 0.3:
            hero = self.strangers[self.lang].hero()
        asked = self.ask("story_about", hero=hero) if about else self.ask("story_ask")
        return [(asked if self.lang == "zh" else asked.replace("a a", "an a"), self.tale(hero))]

    def memory(self) -> list[Turn]:
        kind = self.random.choice(["name", "name", "name", "food", "food", "city", "colour", "hobby"])
        text = self.texts[self.lang]
        if kind not in self.known and self.random.random() < 0.12:
            return [(self.ask(f"{kind}_ask"), self.say(f"{kind}_none"))]
        turns: list[Turn] = []
        if kind not in self.known or self.random.random() < 0.2:
            value = self.random.choice(text[{"city": "cities", "hobby": "hobbies"}.get(kind, f"{kind}s")])
            if self.random.random() < 0.2 and kind != "colour":
                value = self.strangers[self.lang].word()
                value = value.capitalize() if kind in ("name", "city") else value
            self.known[kind] = value
            turns.append((self.ask(f"{kind}_tell", x=value), self.say(f"{kind}_ok", x=value)))
            turns += [turn for _ in range(self.random.choice([0, 0, 1, 2])) for turn in self.turns_without_memory()]
        if self.random.random() < 0.85:
            turns.append((self.ask(f"{kind}_ask"), self.say(f"{kind}_say", x=self.known[kind])))
        return turns

    def turns_without_memory(self) -> list[Turn]:
        return self.random.choice(
            [
                self.joke,
                self.unknown,
                lambda: self.paired("capital"),
                self.sum,
                lambda: self.simple("howare"),
                lambda: self.simple("praise"),
                lambda: self.simple("can"),
                self.fact,
            ]
        )()

    def huh(self) -> list[Turn]:
        return [(self.ask("huh_ask"), self.say("huh_say"))]

    def refusal(self) -> str:
        own = f"unknown_{self.persona['id']}"
        return self.say(own if own in self.texts[self.lang] and self.random.random() < 0.8 else "unknown_say")

    def unknown(self) -> list[Turn]:
        return [(self.strangers[self.lang].question(), self.refusal())]

    def offer(self) -> list[Turn]:
        """An offer of a joke, a riddle or a story, and what the person says to it."""
        text, en = self.texts[self.lang], self.lang == "en"
        asked, offered = self.random.choice([self.unknown, lambda: self.simple("bored"), lambda: self.simple("sad")])()[
            0
        ]
        if not offered.endswith(("?", "？")) or not re.search("joke|story|笑话|故事", offered):
            offered += (" " if en else "") + str(text["unknown_offer"])
        draw = self.random.random()
        if draw < 0.25:
            return [(asked, offered), (self.ask("no_ask"), self.say("no_say"))]
        if draw < 0.4:
            wish, answer = self.random.choice(
                [
                    (self.pick(["a story", "the story"] if en else ["故事", "听故事"]), self.tale()),
                    (self.pick(["a joke", "the joke"] if en else ["笑话", "听笑话"]), self.told("jokes", 1)[0]),
                ]
            )
            return [(asked, offered), (wish, answer)]
        joke = ("joke" if en else "笑话") in offered or ("story" if en else "故事") not in offered
        return [(asked, offered), (self.ask("yes_ask"), self.told("jokes", 1)[0] if joke else self.tale())]

    def cut(self) -> list[Turn]:
        """A story breaks off in the history and is told on when the person asks for it."""
        [(asked, told)] = self.story()
        sentences = re.split(r"(?<=[.!?]) |(?<=[。！？])", told.strip())
        sentences = [sentence for sentence in sentences if sentence]
        at, space = self.random.randrange(2, len(sentences) - 1), " " if self.lang == "en" else ""
        heard = space.join(sentences[:at])
        if self.random.random() < 0.5:
            heard = heard[: -self.random.randrange(2, 12)].rstrip()
        return [(asked, heard, "cut"), (self.ask("cut_ask"), space.join(sentences[at:]))]
