"""Turn written questions into what a recogniser delivers: lower case, no punctuation, fillers, misheard words.

Pure: randomness comes from the caller. A word between KEEP marks is never changed (the country in a question about its
capital must survive, or the answer could not be known).
"""

from random import Random
from typing import Any

KEEP = "\x01"
QUESTION_WORDS_ZH = ("吗", "呢", "什么", "谁", "几", "哪")
QUESTION_WORDS_EN = ("what", "who", "how", "where", "why", "when", "can", "do", "are", "is")


def plain(text: str) -> str:
    """Text without its marks."""
    return text.replace(KEEP, "")


def kept(text: str) -> str:
    """Mark every word of text as never to be changed."""
    return " ".join(f"{KEEP}{word}{KEEP}" for word in text.split(" "))


class Recogniser:
    """Mishears one language, by the tables `sounds_like` and `fillers` of its corpus."""

    def __init__(self, texts: dict[str, Any], slips: list[str], random: Random) -> None:
        self.sounds_like: dict[str, Any] = texts["sounds_like"]
        self.fillers: list[str] = texts["fillers"]
        self.slips, self.random = slips, random

    def words(self, text: str) -> str:
        """One hearing of a text written with spaces; a third of all texts stays clean."""
        rate = self.rate()
        out = [self.random.choice(self.fillers)] if self.random.random() < 0.1 else []
        for word in text.split(" "):
            out += self.word(word, rate)
        return " ".join(out) or plain(text)

    def signs(self, text: str) -> str:
        """One hearing of a text in Chinese characters: homophones and lost characters."""
        rate = self.rate() / 2
        out, keep = [], False
        for sign in text:
            if sign == KEEP:
                keep = not keep
            elif not keep and self.random.random() < rate:
                same = self.sounds_like.get(sign, sign)
                out.append(self.random.choice(same + ("" if sign not in self.sounds_like else sign)))
            else:
                out.append(sign)
        head = self.random.choice(self.fillers) if self.random.random() < 0.1 else ""
        return head + "".join(out)

    def rate(self) -> float:
        return self.random.choice([0, 0, 0.06, 0.12, 0.2, 0.32])

    def word(self, word: str, rate: float) -> list[str]:
        if KEEP in word:
            return [plain(word)]
        draw = self.random.random() / rate if rate else 1.0
        similar = self.sounds_like.get(word)
        if draw < 0.6 and similar:
            return [self.random.choice(similar)]
        if draw < 0.7 and similar:
            return []
        if draw < 0.78:
            return [word, self.random.choice(self.slips)]
        if draw < 0.84 and len(word) > 4:
            return [word[:-1] if self.random.random() < 0.5 else word + "s"]
        return [word]


def typed(text: str, zh: bool, random: Random) -> str:
    """What a person types: capital first letter and a mark at the end, mostly."""
    text = plain(text)
    if zh:
        mark = "？" if any(word in text for word in QUESTION_WORDS_ZH) else random.choice("。！")
    else:
        mark = "?" if text.split(" ")[0].lower() in QUESTION_WORDS_EN else random.choice(".!")
        text = text[:1].upper() + text[1:]
        text = " ".join("I" + w[1:] if w in ("i", "i'm", "i'd", "i'll") else w for w in text.split(" "))
    return text + (mark if random.random() < 0.85 else "")
